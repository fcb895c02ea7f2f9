"""Agenda: what may be trained next. A flow is a generator that yields jobs, and goes on once all of them are done."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass

from .spec import Trial
from .store import Store, StoreError


class Lost(Exception):
    """A job that the infrastructure broke once too often: thrown into the flows that wait for it."""


@dataclass(frozen=True)
class Job:
    """Train a trial until so many epochs are done, and score it there; ``keep``: its weights are wanted too."""

    trial: Trial
    until: int
    keep: bool = False

    @property
    def id(self) -> str:
        return f"{self.trial.key}-{self.until:04d}"

    @property
    def whole(self) -> bool:
        return self.until == self.trial.training.epochs


Flow = Generator[list[Job], None, None]


def is_done(job: Job, store: Store) -> bool:
    """Whether the store holds what a job is for: the score after its epochs, or the record of one that broke before.

    A trial that one search let end early is not done for another that wants more of it; and one that was trained to
    its end has no score on the way unless it rested there.
    """
    key = job.trial.key
    if not job.whole and store.has(f"rungs/{job.id}.json"):
        return True
    try:
        record = store.record(key)
    except (StoreError, FileNotFoundError):
        return False
    if record.status in ("failed", "diverged"):
        return job.whole or record.epochs <= job.until
    return job.whole and record.status == "complete" and (not job.keep or store.has(f"weights/{key}.pt"))


class Agenda:
    """The flows, and what they wait for. Jobs are handed out in the order in which they were asked for, each once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._finished = store.finished()
        self._ready: deque[Job] = deque()
        self._waiting: dict[str, list[Flow]] = {}  # by job
        self._open: dict[Flow, set[str]] = {}
        self.running: set[str] = set()

    def add(self, flow: Flow) -> None:
        self._advance(flow)

    def take(self) -> Job | None:
        """The next job, or None where nothing can be started now: a trial is trained in one place at a time."""
        busy = {id_.partition("-")[0] for id_ in self.running}
        job = next((job for job in self._ready if job.trial.key not in busy), None)
        if job is None:
            return None
        self._ready.remove(job)
        self.running.add(job.id)
        return job

    def settle(self, job: Job) -> None:
        """A job is done: what waits for it goes on. Lost where the store has nothing of it."""
        self.running.discard(job.id)
        if not is_done(job, self._store):
            raise Lost(f"no record at {self._store}: do the workers share that folder?")
        if job.whole:
            self._finished.add(job.trial.key)
        for flow in self._waiting.pop(job.id, []):
            self._open[flow].discard(job.id)
            if not self._open[flow]:
                self._advance(flow)

    def lose(self, job: Job) -> None:
        """A job cannot be done now: what waits for it gets :class:`Lost`."""
        self.running.discard(job.id)
        for flow in self._waiting.pop(job.id, []):
            del self._open[flow]
            for waiting in self._waiting.values():
                if flow in waiting:
                    waiting.remove(flow)
            try:
                flow.throw(Lost())
            except (Lost, StopIteration):
                continue
            raise AssertionError("a flow ends where one of its jobs is lost")

    def __len__(self) -> int:
        """The flows that are not done."""
        return len(self._open)

    def _advance(self, flow: Flow) -> None:
        while (jobs := next(flow, None)) is not None:
            missing = {job.id: job for job in jobs if not self._done(job)}
            if not missing:
                continue
            self._open[flow] = set(missing)
            for id_, job in missing.items():
                if id_ not in self._waiting and id_ not in self.running:
                    self._ready.append(job)
                self._waiting.setdefault(id_, []).append(flow)
            return
        self._open.pop(flow, None)

    def _done(self, job: Job) -> bool:
        if job.trial.stage == "report" and not job.keep:  # the many of a large plan: no file is read for them
            return job.trial.key in self._finished
        return is_done(job, self._store)
