"""Time limits: a trial that reports no epoch for longer than its limit is stopped, and its record says so."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ..storage.retry import RETRY_SECONDS
from ..training.failures import TIMEOUT_REASON

STACK_DUMP_SECONDS = 10.0  # beyond its limit: it may still be heard of
STACK_DUMP_AGAIN_SECONDS = 10.0


LOADING_SECONDS = 60.0 + RETRY_SECONDS  # to load data, to score, and to write to a store that errs for a while


@dataclass
class SilenceMonitor:
    """When each running trial was last heard of."""

    limit: float | None  # seconds; None waits for ever
    clock: Callable[[], float] = time.monotonic
    _heard: dict[str, tuple[float, int]] = field(default_factory=dict)  # when, and of how many seeds as one
    _stopped: dict[str, float] = field(default_factory=dict)

    @property
    def why(self) -> str:
        """The reason of a trial that is stopped here."""
        return f"{TIMEOUT_REASON} {self.limit or 0:g} s"

    @property
    def running(self) -> bool:
        """Whether any trial is."""
        return bool(self._heard)

    def heard(self, name: str, seeds: int = 1) -> None:
        """Note that the trial ``name`` has reported now, in which so many seeds are trained as one: each has the limit
        for its share of an epoch."""
        self._heard[name] = self.clock(), seeds

    def exhausted(self) -> Iterator[str]:
        """The trials that are to be stopped now, each once."""
        if self.limit is None:
            return
        for name, (heard, seeds) in self._heard.items():
            silent = self.clock() - heard
            if silent > self.limit * seeds + LOADING_SECONDS and name not in self._stopped:
                self._stopped[name] = silent
                yield name

    def end(self, name: str) -> float:
        """A trial has ended; for how many seconds it had said nothing, where it was stopped here for that, else 0."""
        self._heard.pop(name, None)
        return self._stopped.pop(name, 0.0)


class StackDumpWatchdog:
    """A context in a worker: where the thread that began it stands is told whenever it was not ``heard`` of for its
    limit and a little more, and again every so many seconds for as long as it is not, so that the record of a trial
    that is then stopped can say what it hung in at last: at first it may have waited for its data."""

    def __init__(self, limit: float | None, tell: Callable[[str], None]) -> None:
        self._limit, self._tell, self._thread = limit, tell, threading.get_ident()
        self._heard, self._over = threading.Event(), False

    def heard(self) -> None:
        """Note that the training has reported now."""
        self._heard.set()

    def __enter__(self) -> StackDumpWatchdog:
        if self._limit is not None:
            threading.Thread(target=self._work, args=(self._limit + STACK_DUMP_SECONDS,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over = True
        self._heard.set()

    def _work(self, seconds: float) -> None:
        while not self._over:
            silent = seconds
            while not self._heard.wait(silent) and (frame := sys._current_frames().get(self._thread)):
                with suppress(Exception):  # a store that is away: then the record has no log
                    self._tell("".join(traceback.format_stack(frame))[-100_000:])
                silent = STACK_DUMP_AGAIN_SECONDS
            self._heard.clear()
