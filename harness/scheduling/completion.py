"""What follows when a job has ended: its record is kept, or it is tried again after a growing pause, or given up."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..spec.schema import Resources
from ..storage.record import Record
from ..training.failures import is_out_of_memory, timeout_record
from ..training.job import Job, record_of
from .observer import RunObserver
from .queue import JobQueue

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds


@dataclass
class Result:
    """``interrupted``: a signal, or the loss of its cluster, stopped the run. ``broken``: what the infrastructure
    broke once too often, by key. ``error``: what went wrong in the driver."""

    interrupted: bool = False
    broken: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None


@dataclass
class RetryPolicy:
    """How often each job has failed, and the share of a GPU that trials of its kind need."""

    resources: Resources
    _failures: Counter[str] = field(default_factory=Counter)
    _shares: dict[tuple[str, str, int], float] = field(default_factory=dict)

    def gpu_fraction(self, job: Job) -> float:
        """The part of a GPU that the job gets now; 0 where trials run on the CPU."""
        return self._shares.get(_kind(job), self.resources.gpu)

    def backoff(self, job: Job, reason: str, share: float) -> float | None:
        """How long to wait before a job is tried again.

        Args:
            job: What has failed.
            reason: What of.
            share: The part of a GPU that it had.

        Returns:
            Seconds; None where it has failed too often.
        """
        if is_out_of_memory(reason) and 0 < share < 1:
            self._shares[_kind(job)] = max(self.gpu_fraction(job), min(1.0, 2 * share))
            return 0.0
        self._failures[job.id] += 1
        if self._failures[job.id] > self.resources.retries:
            return None
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures[job.id] - 1, 10))


@dataclass
class CompletionHandler:
    """Tells the queue and the observer; an error in that stops the run and is kept in the result."""

    queue: JobQueue
    retries: RetryPolicy
    observer: RunObserver
    result: Result
    stopping: threading.Event

    def on_success(self, job: Job) -> None:
        """The worker says that the store has what the job is for."""
        with self._kept():
            record = record_of(job, self.queue.store)
            if record is None:
                self._abandon(job, f"no record at {self.queue.store}: do the workers share that folder?")
            else:
                self._complete(job, record)

    def on_timeout(self, job: Job, why: str, seconds: float) -> None:
        """A job was stopped from outside, since it said nothing for too long: the method's fault.

        Args:
            job: What was stopped.
            why: In words.
            seconds: How long it had run.
        """
        with self._kept():
            store = self.queue.store
            record = record_of(job, store)  # it may hang after its last word
            if record is None:
                record = timeout_record(job.trial, why, seconds, store.silent(job.trial.key))
                store.write_record(record)
            self._complete(job, record)

    def on_failure(self, job: Job, why: str, share: float) -> None:
        """The infrastructure has broken a job: it is tried again, or given up.

        Args:
            job: What has failed.
            why: In words.
            share: The part of a GPU that it had.
        """
        with self._kept():
            pause = self.retries.backoff(job, why, share)
            if pause is None:
                self._abandon(job, why)
            else:
                self.observer.on_retry(job.trial, why, pause)
                self.queue.retry_later(job, pause)

    def _complete(self, job: Job, record: Record) -> None:
        self.queue.complete(job, record)
        if record.status != "pruned":  # one that rests at a rung has not ended
            self.observer.on_trial_end(record)

    def _abandon(self, job: Job, why: str) -> None:
        self.result.broken[job.trial.key] = why
        self.observer.on_abandoned(job.trial, why)
        self.queue.fail(job)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Tune would log what is raised in a callback and go on: it is raised again once Tune has stopped."""
        try:
            yield
        except Exception as error:
            self.result.error = error
            self.stopping.set()


def _kind(job: Job) -> tuple[str, str, int]:
    """What memory depends on."""
    return job.trial.network, job.trial.method.name, job.trial.training.batch_size


def reason(error_file: str | None) -> str:
    """What a failed attempt died of, in one line, from the file in which Tune has just written its traceback; there is
    none of a worker that was killed."""
    try:
        lines = Path(error_file or "").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    told = [line.strip() for line in lines if re.match(r"\s*[\w.]+(Error|Exception|Drained)\b", line)]
    if told and "ActorDied" not in told[-1] and "ray.exceptions" not in told[-1]:
        return told[-1]
    return "a worker died"
