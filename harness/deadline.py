"""A trial that says nothing for longer than its time limit is stopped, and its record says so.

A trial looks at its own clock after each epoch. This is for one that never comes so far, whose method waits for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from .patience import PATIENCE_SECONDS
from .record import Record
from .spec import Trial

LOADING_SECONDS = 60.0 + PATIENCE_SECONDS  # to load data, to score, and to write to a store that errs for a while


@dataclass
class Patience:
    """When each running trial was last heard of."""

    limit: float | None  # seconds; None waits for ever
    clock: Callable[[], float] = time.monotonic
    _heard: dict[str, float] = field(default_factory=dict)
    _stopped: dict[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether any trial is."""
        return bool(self._heard)

    def heard_of(self, name: str) -> None:
        self._heard[name] = self.clock()

    def exhausted(self) -> Iterator[str]:
        """The trials that are to be stopped now, each once."""
        if self.limit is None:
            return
        for name, heard in self._heard.items():
            if self.clock() - heard > self.limit + LOADING_SECONDS and name not in self._stopped:
                self._stopped[name] = f"TimeLimit: no epoch ended within {self.limit:g} s"
                yield name

    def end(self, name: str) -> str:
        """A trial has ended; why, where it was stopped here."""
        self._heard.pop(name, None)
        return self._stopped.pop(name, "")


def overdue(trial: Trial, why: str) -> Record:
    """The record of a trial that was stopped from outside: its own process wrote none."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Record(key=trial.key, trial=trial, status="failed", reason=why, started=now, finished=now)
