"""The time left: right within a factor of two on real queues and searches whose trials take simulated seconds."""

import heapq
import itertools
import random
from types import SimpleNamespace
from typing import Any

import pytest

from tailboard.harness.monitoring import eta
from tailboard.harness.monitoring.eta import EtaEstimator, Work
from tailboard.harness.monitoring.progress import RunProgress
from tailboard.harness.planning.fused_seeds import with_fused_seeds
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training.cost import estimate_flops
from tailboard.harness.training.job import Job
from tailboard.harness.tuning.optuna_study import InMemory
from tailboard.harness.tuning.results import SearchResult

EPOCHS = 20
SECOND = 1e-7  # of one operation
STARTUP = 3.0  # epochs of ERM until a process trains its first trial


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(eta, "monotonic", clock)
    return clock


class Simulation:
    """A run whose trials take as long as their operations, times the speed of their method."""

    def __init__(self, raw: dict[str, Any], folder: Any, clock: Clock, slots: int, slower: dict[str, float]) -> None:
        self.spec, self.store, self.clock, self.slots, self.slower = parse(raw), Store(folder), clock, slots, slower
        self.random, self.looks, self.done = random.Random(0), [], {}  # noqa: S311
        request = RunRequest(self.spec)
        self.progress = RunProgress(self.spec.shots, self.flops)
        results = {row: SearchResult(search, (), {}, False) for row, search in request.plan.searches.items()}
        self.progress.add(self.spec, results)
        self.progress.expect(request.plan.prerequisites)
        self.queue = JobQueue(self.store)
        observer = SimpleNamespace(
            on_configurations=self.progress.propose,
            on_search_end=self.progress.end_search,
            on_trial_end=self.progress.end,
            on_abandoned=pytest.fail,
        )
        fill_queue(self.queue, request, InMemory(), observer)  # type: ignore[arg-type]

    def flops(self, trial) -> float:
        return estimate_flops(trial, {})

    def seconds(self, job: Job) -> float:
        """Of an epoch."""
        slower = self.slower.get(job.trial.method.name, 1.0)
        return SECOND * slower * self.flops(job.trial) / job.trial.training.epochs

    def run(self) -> list[tuple[float, float | None]]:
        """After each event: the time, and what is said to be left."""
        events, numbers, places = [], itertools.count(), [STARTUP] * self.slots
        while True:
            while places and (job := self.queue.pop()) is not None:
                self.progress.start(job.trial)
                at = self.clock.now + places.pop() * self.seconds(job)
                for epoch in range(self.done.get(job.trial.key, 0), job.target_epoch):
                    at += self.seconds(job) * self.random.uniform(0.8, 1.2)
                    heapq.heappush(events, (at, next(numbers), job, epoch))
                heapq.heappush(events, (at + self.seconds(job) / 2, next(numbers), job, None))
            if not events:
                return self.looks
            self.clock.now, _, job, epoch = heapq.heappop(events)
            if epoch is None:
                places.append(0.0)
                self.end(job)
            else:
                self.progress.epoch(job.trial, epoch)
                self.done[job.trial.key] = epoch + 1
            self.looks.append((self.clock.now, self.progress.seconds_left()))

    def end(self, job: Job) -> None:
        record = Record(
            key=job.trial.key, trial=job.trial, epochs=job.target_epoch,
            status="complete" if job.is_final else "pruned",
            counts=(60,) * 10, accuracy={"last_ema": (self.random.uniform(10, 90),) * 10},
            train_seconds=job.target_epoch * self.seconds(job),
        )  # fmt: skip
        (self.store.write_record if job.is_final else self.store.write_rung)(record)
        if job.keep_weights:
            self.store.write_tensors(f"weights/{job.trial.key}.pt", {})
        self.progress.pause(job.trial)
        self.queue.complete(job, record)
        if job.is_final:
            self.progress.end(record)


EQUAL = {"methods": ["ERM", "Focal Loss", "Reweighting"]}
UNEQUAL = {"methods": ["ERM", "SAM-A", "M2m", {"name": "Joint-SSL", "values": {"extra.width": 256}}]}
TUNE = {"tune": {"trials": 8, "parameters": ["all", "lr"], "sampler": "random"}}


@pytest.mark.slow
@pytest.mark.parametrize("slots", [1, 8, 64])
@pytest.mark.parametrize("tune", [{}, TUNE], ids=["", "tuned"])
@pytest.mark.parametrize("methods", [EQUAL, UNEQUAL], ids=["equal", "unequal"])
def test_the_time_left_is_right_within_a_factor_of_two(tmp_path, clock, methods, tune, slots):
    """At each tenth of a run with two data sets, one twice as large; the declared costs of two methods are not true."""
    raw = {
        "name": "t", "network": "small", "training": {"epochs": EPOCHS}, "seeds": 3,
        "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": head} for head in (60, 120)],
    }  # fmt: skip
    begin = clock.now
    looks = Simulation(raw | methods | tune, tmp_path, clock, slots, {"SAM-A": 1.5, "M2m": 0.7}).run()
    for tenth in range(1, 10):
        at = begin + (clock.now - begin) * tenth / 10
        told, left = max(look for look in looks if look[0] <= at)
        truth = clock.now - told
        if left is None:
            assert at - begin < 6 * (truth + told - begin) / EPOCHS, "no trial has told of two epochs"
        else:
            assert truth / 2 <= left <= 2 * truth, (tenth, left / truth)
    assert looks[-1][1] == 0


def test_fused_seeds_take_one_place_for_as_long_as_all_of_them(clock):
    raw = {"name": "t", "network": "small", "training": {"epochs": EPOCHS}, "seeds": 3, "methods": ["ERM", "cRT"]}
    raw |= {"data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}]}
    spec = with_fused_seeds(parse(raw | {"resources": {"fuse_seeds": True}}))
    progress = RunProgress(spec.shots, lambda trial: estimate_flops(trial, {}))
    progress.add(spec, {})
    fused, _, _, *alone = plan(spec)
    for trial in (fused, *alone):
        progress.start(trial)
    for trial in alone:
        progress.end(Record(key=trial.key, trial=trial, status="failed", counts=(60,) * 10, epochs=0))
    for epoch in range(5):
        progress.epoch(fused, epoch)
        clock.now += 30
    assert progress.seconds_left() == pytest.approx(30 * (EPOCHS - 5)), "three places are idle"


@pytest.fixture
def erm() -> Work:
    return Work("ERM", 2.0, 10)


def test_nothing_is_said_before_a_trial_has_told_of_two_epochs(clock, erm):
    """When the first began is not known: a process may start slowly."""
    estimator = EtaEstimator()
    for seconds in (100, 5, 5):
        assert estimator.seconds_left([erm], [], 1) is None or seconds == 5
        clock.now += seconds
        estimator.heard("key", erm, 1)
    assert estimator.seconds_left([erm], [], 1) == pytest.approx(50)


def test_each_method_has_its_speed_and_the_others_that_of_all(erm):
    estimator = EtaEstimator()
    estimator.observe(erm, 1, 4.0)
    estimator.observe(Work("SAM", 4.0, 0), 1, 2.0)
    assert estimator.seconds_left([erm], [], 1) == pytest.approx(40)
    assert estimator.seconds_left([Work("SAM", 4.0, 10)], [], 1) == pytest.approx(20)
    assert estimator.seconds_left([Work("M2m", 3.0, 10)], [], 1) == pytest.approx(30), "6 s for 6 operations"


def test_no_chain_is_done_sooner_than_its_links_and_what_waits_begins_when_a_place_is_free(erm):
    estimator = EtaEstimator()
    estimator.observe(erm, 1, 1.0)
    long, short = Work("ERM", 2.0, 30), Work("ERM", 2.0, 4)
    assert estimator.seconds_left([long, short], [(long, 30), (short, 4)], 2) == pytest.approx(30)
    assert estimator.seconds_left([long, short, long], [(long, 30), (short, 4)], 2) == pytest.approx(32)
    assert estimator.seconds_left([long, short, erm], [(short, 4)], 1) == pytest.approx(44)
    assert estimator.seconds_left([short, erm], [(short, 4)] * 64, 64) == pytest.approx(14)
    assert estimator.seconds_left([short, erm], [(short, 4)] * 63, 64) == pytest.approx(10), "a place is free"
    search = Work("ERM", 2.0, 40, serial=0.5, then=[erm, short])
    assert estimator.seconds_left([search, erm, short], [(search, 5)], 64) == pytest.approx(20 + 10)
    assert estimator.seconds_left([search, erm, short], [(search, 5)], 1) == pytest.approx(40 + 10 + 4)
