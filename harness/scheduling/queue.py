"""JobQueue: the jobs that flows ask for, and which of them a worker takes next.

    asked for ──> ready ──pop──> running ──complete──> done: the flows that wait for it go on
                    ^               │ │
                    │  retry_later  │ └─────fail─────> failed: those flows get JobFailed, and end
                    └──── paused <──┘

A job that the store holds is done when it is asked for. One that several flows ask for is one job. Its record is read
once, and handed to them all.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..storage.record import Record
from ..storage.store import Store
from ..training.job import Flow, Job, JobFailed, record_of


@dataclass(eq=False)
class _Waiting:
    """A flow, the jobs for which it waits, and the records of the others that it asked for: both by the jobs' ids."""

    flow: Flow
    jobs: set[str]
    records: dict[str, Record]


class JobQueue:
    """Hands out each job once: first those with the most work ahead, so that what is left for the end is short; among
    equals in the order in which they were asked for.

    Args:
        store: What it holds is done.
        clock: Seconds, for what pauses.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self.store, self._clock = store, clock
        self.finished = store.finished()  # trials that have a record
        self.running: set[str] = set()  # jobs
        self._ready: dict[str, dict[int, Job]] = defaultdict(dict)  # by trial and target epoch
        self._order: list[tuple[float, int, str]] = []  # a heap of the trials that were ready when they were pushed
        self._paused: list[tuple[float, int, Job]] = []  # a heap, by the moment when a job may be tried again
        self._waiting: dict[str, list[_Waiting]] = defaultdict(list)  # by job
        self._open: set[_Waiting] = set()
        self._numbers = itertools.count()

    def __len__(self) -> int:
        """The flows that are not done."""
        return len(self._open)

    @property
    def has_paused(self) -> bool:
        """Whether a job waits to be tried again."""
        return bool(self._paused)

    def add(self, flow: Flow, records: Mapping[str, Record] | None = None) -> None:
        """Let a flow go on until it asks for jobs that are not done, and take these.

        Args:
            flow: The flow.
            records: Of the jobs for which it waited; None where it begins.
        """
        while (jobs := _next(flow, records)) is not None:
            found = {job.id: self._record(job) for job in jobs}
            records = {id_: record for id_, record in found.items() if record}
            missing = {job.id: job for job in jobs if job.id not in records}
            if missing:
                waiting = _Waiting(flow, set(missing), records)
                self._open.add(waiting)
                for job in missing.values():
                    self._ask(job, waiting)
                return

    def pop(self) -> Job | None:
        """The next job, or None where nothing can be started now: a trial is trained in one place at a time, and of
        its jobs the shorter comes first, since the longer goes on from there."""
        while self._paused and self._paused[0][0] <= self._clock():
            self._make_ready(heapq.heappop(self._paused)[2])
        busy, passed_over, job = {id_.partition("-")[0] for id_ in self.running}, [], None
        while self._order and job is None:
            entry = heapq.heappop(self._order)
            ready = self._ready.get(entry[2])
            if not ready:  # they were handed out by another entry
                continue
            if entry[2] in busy:
                passed_over.append(entry)
                continue
            job = ready.pop(min(ready))
            self.running.add(job.id)
            if ready:  # the longer ones keep the trial's turn
                passed_over.append(entry)
            else:
                del self._ready[entry[2]]
        for entry in passed_over:
            heapq.heappush(self._order, entry)
        return job

    def retry_later(self, job: Job, pause: float) -> None:
        """A job that was not done may be tried again after ``pause`` seconds."""
        self.running.discard(job.id)
        heapq.heappush(self._paused, (self._clock() + pause, next(self._numbers), job))

    def complete(self, job: Job, record: Record) -> None:
        """A job is done, and the store holds ``record`` of it: the flows that waited for it alone go on."""
        self.running.discard(job.id)
        if record.status != "pruned":
            self.finished.add(job.trial.key)
        for waiting in self._waiting.pop(job.id, []):
            waiting.jobs.discard(job.id)
            waiting.records[job.id] = record
            if not waiting.jobs:
                self._open.discard(waiting)
                self.add(waiting.flow, waiting.records)

    def fail(self, job: Job) -> None:
        """A job cannot be done in this run: the flows that wait for it get :class:`JobFailed`, and end.

        Raises:
            AssertionError: where a flow goes on without it.
        """
        self.running.discard(job.id)
        for waiting in self._waiting.pop(job.id, []):
            self._open.discard(waiting)
            for id_ in waiting.jobs - {job.id}:
                self._waiting[id_].remove(waiting)
            try:
                waiting.flow.throw(JobFailed())
            except (JobFailed, StopIteration):
                continue
            raise AssertionError("a flow ends where one of its jobs is lost")

    def _ask(self, job: Job, waiting: _Waiting) -> None:
        """Take a job, unless it runs or pauses already; one that is ready becomes what both askers want."""
        if job.target_epoch in self._ready.get(job.trial.key, ()) or (
            job.id not in self._waiting and job.id not in self.running
        ):
            self._make_ready(job)
        self._waiting[job.id].append(waiting)

    def _make_ready(self, job: Job) -> None:
        ready = self._ready[job.trial.key]
        asked = ready.get(job.target_epoch)
        ready[job.target_epoch] = job = job.merged(asked) if asked else job
        heapq.heappush(self._order, (-job.work_ahead, next(self._numbers), job.trial.key))

    def _record(self, job: Job) -> Record | None:
        if job.is_final and job.trial.key not in self.finished:  # the many of a large plan: no file is read for them
            return None
        return record_of(job, self.store)


def _next(flow: Flow, records: Mapping[str, Record] | None) -> list[Job] | None:
    """What a flow asks for next; None where it has ended."""
    try:
        return next(flow) if records is None else flow.send(records)
    except StopIteration:
        return None
