"""progress.json: what a driver tells other shells of its run, and no record holds.

It is written now and then by a thread, so that a store that does not answer never holds up the run, and removed at the
end. One that a killed driver left behind is told by the lease.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import Field, ValidationError

from ..errors import StoreError
from ..spec.canonical import CanonicalModel
from ..storage import paths
from ..storage.store import Store

FILE = paths.PROGRESS
EVERY_SECONDS, EVERY_REMOTE_SECONDS = 2.0, 5.0
END_SECONDS = 10.0  # how long a store that does not answer may keep a driver that has nothing else to do


class Running(CanonicalModel, frozen=True):
    """A trial that trains: its key, its words, the rows that it is for, and the epochs that are done; or that is the
    ``fit`` of an estimator, which counts as one epoch."""

    key: str
    trial: str
    rows: tuple[str, ...]
    epoch: int
    epochs: int
    fit: bool = False


class Progress(CanonicalModel, frozen=True):
    """``at`` and ``began`` in seconds since 1970; ``left`` in seconds, None where nothing can be said yet; ``spec``,
    ``report`` and ``defaults`` say what the run is for; ``broken`` are the keys that are not finished in this run."""

    at: float
    began: float
    host: str
    pid: int
    spec: str
    report: bool
    defaults: bool
    planned: int
    left: float | None = Field(default=None, ge=0)
    dashboard: str = ""
    running: tuple[Running, ...] = ()
    broken: tuple[str, ...] = ()


class StatusFileWriter:
    """The thread that writes what ``tell`` returns: Progress, but for who tells it and when."""

    def __init__(self, store: Store, tell: Callable[[], dict[str, Any]]) -> None:
        self._store, self._tell = store, tell
        self._who: dict[str, Any] = {"host": socket.gethostname(), "pid": os.getpid(), "began": time.time()}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Write no more; waits for a write that is under way."""
        self._ended.set()
        self._thread.join(END_SECONDS)

    def _work(self) -> None:
        wait = EVERY_SECONDS if self._store.local else EVERY_REMOTE_SECONDS
        while True:
            self._write()
            if self._ended.wait(wait):
                break
        with suppress(Exception):  # see _write
            self._store.remove(FILE)

    def _write(self) -> None:
        with suppress(Exception):  # whatever a store raises: what is only to be looked at never stops a run
            told = Progress(at=time.time(), **self._who, **self._tell())
            self._store.write(FILE, told.model_dump_json().encode())


def read(store: Store) -> Progress | None:
    """What the last driver told; None where there is nothing, or nothing that can be read."""
    try:
        return Progress.model_validate(json.loads(store.read(FILE)))
    except (OSError, StoreError, ValueError, RecursionError, ValidationError):
        return None
