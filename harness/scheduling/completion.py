"""What becomes of a job that has ended, well or badly."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .observer import Watcher
from .queue import Agenda, Job, Lost
from .retries import Retries
from .timeouts import overdue


@dataclass
class Result:
    """``interrupted``: a signal, or the loss of its cluster, stopped the sweep. ``broken``: what the infrastructure
    broke once too often, by key. ``error``: what went wrong in the driver."""

    interrupted: bool = False
    broken: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None


@dataclass
class Endings:
    """Tells the agenda and the watcher; an error in that stops the sweep and is kept in the result."""

    agenda: Agenda
    retries: Retries
    watcher: Watcher
    result: Result
    stopping: threading.Event

    def done(self, job: Job, whole: bool) -> None:
        """The store has what the job is for, and ``whole``: the trial's record."""
        with self._kept():
            self._settle(job, whole)

    def hung(self, job: Job, why: str, seconds: float) -> None:
        """Stopped from outside, since it said nothing for so many seconds: the method's fault."""
        with self._kept():
            store = self.agenda.store
            store.write_record(overdue(job.trial, why, seconds, store.silent(job.trial.key)))
            self._settle(job, whole=True)

    def failed(self, job: Job, why: str, share: float) -> None:
        """The infrastructure's fault; ``share`` is the part of a GPU that it had."""
        with self._kept():
            pause = self.retries.pause(job, why, share)
            if pause is None:
                self._break(job, why)
            else:
                self.watcher.retried(job.trial, why, pause)
                self.agenda.again(job, pause)

    def _settle(self, job: Job, whole: bool) -> None:
        try:
            self.agenda.settle(job)
        except Lost as error:
            self._break(job, str(error))
        else:
            if whole:
                self.watcher.finished(job.trial)

    def _break(self, job: Job, why: str) -> None:
        self.result.broken[job.trial.key] = why
        self.watcher.broken(job.trial, why)
        self.agenda.lose(job)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Tune would log what is raised in a callback and go on: it is raised again once Tune has stopped."""
        try:
            yield
        except Exception as error:
            self.result.error = error
            self.stopping.set()
