"""JobQueue: the queue of jobs."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from dataclasses import replace

from ..storage.record import Record
from ..storage.store import Store
from ..training.job import Flow, Job, JobFailed, is_done


class JobQueue:
    """The flows, and what they wait for. Each job is handed out once: first those with the most work ahead, so that
    what is left for the end is short; among equals in the order in which they were asked for."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self.store, self._clock = store, clock
        self._finished = store.finished()
        self._ready: dict[str, dict[int, Job]] = {}  # by trial, and by the epochs until which
        self._order: list[tuple[float, int, str]] = []  # a heap of trials; what does not hold any more is passed over
        self._numbers = itertools.count()
        self._pausing: list[tuple[float, int, Job]] = []  # a heap, by when they may be tried again
        self._waiting: dict[str, list[Flow]] = {}  # by job
        self._open: dict[Flow, set[str]] = {}
        self.running: set[str] = set()

    def add(self, flow: Flow) -> None:
        self._advance(flow)

    def pop(self) -> Job | None:
        """The next job, or None where nothing can be started now: a trial is trained in one place at a time, and of
        its jobs the shorter comes first, since the longer goes on from there."""
        while self._pausing and self._pausing[0][0] <= self._clock():
            self._offer(heapq.heappop(self._pausing)[2])
        busy, passed = {id_.partition("-")[0] for id_ in self.running}, []
        job = None
        while self._order and job is None:
            entry = heapq.heappop(self._order)
            key = entry[2]
            if -entry[0] != self._ahead(key):
                continue
            if key in busy:
                passed.append(entry)
            else:
                job = self._ready[key].pop(min(self._ready[key]))
                self._push(key)
        for entry in passed:
            heapq.heappush(self._order, entry)
        if job is not None:
            self.running.add(job.id)
        return job

    @property
    def pausing(self) -> bool:
        """Whether a job waits to be tried again."""
        return bool(self._pausing)

    def retry_later(self, job: Job, pause: float) -> None:
        """A job that was not done may be tried again after ``pause`` seconds."""
        self.running.discard(job.id)
        heapq.heappush(self._pausing, (self._clock() + pause, next(self._numbers), job))

    def _offer(self, job: Job) -> None:
        there = self._ready.setdefault(job.trial.key, {})
        before, old = self._ahead(job.trial.key), there.get(job.target_epoch)
        there[job.target_epoch] = (
            replace(
                job, keep_weights=job.keep_weights or old.keep_weights, work_ahead=max(job.work_ahead, old.work_ahead)
            )
            if old
            else job
        )
        if self._ahead(job.trial.key) != before:
            self._push(job.trial.key)

    def _ahead(self, key: str) -> float | None:
        """Of a trial that is ready: the most of its jobs."""
        return max((job.work_ahead for job in self._ready.get(key, {}).values()), default=None)

    def _push(self, key: str) -> None:
        ahead = self._ahead(key)
        if ahead is None:
            self._ready.pop(key, None)
        else:
            heapq.heappush(self._order, (-ahead, next(self._numbers), key))

    def complete(self, job: Job, record: Record) -> None:
        """A job is done, and the store holds ``record`` of it: what waits for it goes on."""
        self.running.discard(job.id)
        if record.status != "pruned":
            self._finished.add(job.trial.key)
        for flow in self._waiting.pop(job.id, []):
            self._open[flow].discard(job.id)
            if not self._open[flow]:
                self._advance(flow)

    def fail(self, job: Job) -> None:
        """A job cannot be done now: what waits for it gets :class:`JobFailed`."""
        self.running.discard(job.id)
        for flow in self._waiting.pop(job.id, []):
            del self._open[flow]
            for waiting in self._waiting.values():
                if flow in waiting:
                    waiting.remove(flow)
            try:
                flow.throw(JobFailed())
            except (JobFailed, StopIteration):
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
                if job.target_epoch in self._ready.get(job.trial.key, ()) or (
                    id_ not in self._waiting and id_ not in self.running
                ):
                    self._offer(job)
                self._waiting.setdefault(id_, []).append(flow)
            return
        self._open.pop(flow, None)

    def _done(self, job: Job) -> bool:
        if job.trial.stage == "report" and not job.keep_weights:  # the many of a large plan: no file is read for them
            return job.trial.key in self._finished
        return is_done(job, self.store)
