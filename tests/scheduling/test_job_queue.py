"""Which trial comes next, and what becomes of one that broke: no Ray here, and a clock of our own."""

from __future__ import annotations

import copy
import os
import random
import subprocess
import sys
import threading
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from small_spec import SMALL
from tailboard.harness.scheduling import timeouts
from tailboard.harness.scheduling.completion import FIRST_PAUSE, LONGEST_PAUSE, RetryPolicy, reason
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.timeouts import LOADING_SECONDS, SilenceMonitor
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Resources, plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training import cost
from tailboard.harness.training.cost import estimate_flops
from tailboard.harness.training.failures import timeout_record
from tailboard.harness.training.job import Flow, Job
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.methods.part import Part
from tailboard.methods.recipe import Recipe

RAW = SMALL | {"seeds": 30}
TRIALS = plan(parse(RAW))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path, clock) -> JobQueue:
    return JobQueue(Store(tmp_path), clock)


def flow(*jobs: Job) -> Flow:
    yield list(jobs)


def jobs(*aheads: float) -> list[Job]:
    return [Job(trial, 2, work_ahead=ahead) for trial, ahead in zip(TRIALS, aheads, strict=False)]


def taken(queue: JobQueue) -> list[int]:
    """The seeds in the order in which they are handed out."""
    return [job.trial.seed for job in iter(queue.pop, None)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_the_most_work_goes_first_and_equals_in_the_order_in_which_they_were_asked_for(aheads):
    queue = JobQueue(Store("memory://order"))
    queue.add(flow(*jobs(*aheads)))
    assert taken(queue) == sorted(range(len(aheads)), key=lambda seed: (-aheads[seed], seed))


def test_a_job_that_more_waits_for_goes_up_and_is_handed_out_once(queue):
    one, two = jobs(1, 2)
    queue.add(flow(one))
    queue.add(flow(two))
    queue.add(flow(Job(one.trial, 2, keep_weights=True, work_ahead=3)))
    first = queue.pop()
    assert (first.trial.seed, first.keep_weights) == (0, True), "its weights are wanted by one of the two"
    assert taken(queue) == [1]


def test_a_job_pauses_and_is_the_same_job_after(queue, clock):
    queue.add(flow(*jobs(5, 1)))
    first = queue.pop()
    queue.retry_later(first, 10)
    assert taken(queue) == [1]
    clock.now = 9.9
    assert queue.pop() is None and queue.has_paused, "there is something to come"
    clock.now = 10
    assert queue.pop() == first


def test_a_trial_is_in_one_place_at_a_time_and_keeps_its_turn(queue):
    early, late = Job(TRIALS[0], 1, work_ahead=9), Job(TRIALS[0], 2, work_ahead=8)
    queue.add(flow(early, late, *jobs(0, 1)[1:]))
    assert queue.pop() == early
    assert queue.pop().trial.seed == 1
    queue.retry_later(early, 0)
    assert queue.pop() == early
    assert queue.pop() is None


def test_larger_tails_networks_and_dearer_methods_are_more_work():
    def of(**changes):
        return estimate_flops(plan(parse(RAW | changes))[0], {})

    base = of()
    assert of(training=RAW["training"] | {"epochs": 4}) == 2 * base
    assert of(methods="SAM-A") == pytest.approx(2 * base, rel=0.1)
    assert of(methods="SAM-A + Balanced Softmax") == pytest.approx(of(methods="SAM-A"))
    assert of(network="resnet20") > 2 * base
    assert of(network="wrn-28-10") > 100 * of(network="resnet20")
    assert of(data=RAW["data"] | {"imbalance_factor": 1}) > 2 * base


def test_the_small_network_s_operations_are_those_of_its_layers():
    """Two for each multiply-add of convolutions and linear layers, by hand."""
    from tailboard.harness.registry.networks import network
    from tailboard.harness.training.cost import _operations

    hand = 0

    def count(layer, inputs, output):
        nonlocal hand
        if isinstance(layer, torch.nn.Conv2d):
            hand += 2 * output.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
        if isinstance(layer, torch.nn.Linear):
            hand += 2 * layer.in_features * layer.out_features

    model = network("small", 1, 10).eval()
    for layer in model.modules():
        layer.register_forward_hook(count)
    model(torch.zeros(1, 1, 28, 28))
    assert _operations("small", (1, 28, 28), 10) == hand > 0


@pytest.mark.parametrize("name", ["small", "small-3", "resnet20", "resnet18", "resnet50"])
def test_our_networks_are_counted_as_torch_counts_and_draw_nothing(name):
    state = torch.get_rng_state()
    assert cost._of_layers(name, (3, 32, 32), 10) == cost._of_torch(name, (3, 32, 32), 10) > 0
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_a_count_of_operations_leaves_no_folder_of_a_compiler_s_cache_and_needs_none_of_our_networks(tmp_path):
    code = """
import sys
from tailboard.harness.training.cost import _operations
assert _operations("small", (1, 28, 28), 10) and "torch._dynamo" not in sys.modules
assert _operations("torchvision:resnet18", (3, 64, 64), 10) and "torch._dynamo" in sys.modules
"""
    environment = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    subprocess.run([sys.executable, "-c", code], env=environment | {"TMPDIR": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_job_is_not_copied():
    """Tune copies the configuration of a trial several times."""
    job = jobs(0)[0]
    assert copy.deepcopy({"job": job})["job"] is job


# What is tried again


def test_pauses_double_up_to_a_bound_and_end():
    retries, job = RetryPolicy(Resources(retries=9)), jobs(0)[0]
    pauses = [retries.backoff(job, "a worker died", 0) for _ in range(10)]
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[8] == LONGEST_PAUSE and pauses[9] is None
    assert retries.backoff(jobs(0, 0)[1], "a worker died", 0) == FIRST_PAUSE, "each has its own"
    assert RetryPolicy(Resources(retries=0)).backoff(job, "a worker died", 0) is None


def test_where_memory_ran_out_its_kind_gets_twice_the_share_and_no_try_is_spent():
    retries, (job, other) = RetryPolicy(Resources(gpu=0.2, retries=1)), jobs(0, 0)
    dear = Job(plan(parse(RAW | {"methods": "SAM-A"}))[0], 2)
    why = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
    shares = []
    for share in (0.2, 0.4, 0.8):
        assert retries.backoff(job, why, share) == 0
        shares.append(retries.gpu_fraction(other))
    assert shares == [0.4, 0.8, 1.0]
    assert retries.gpu_fraction(dear) == 0.2
    assert retries.backoff(other, why, 0.2) == 0, "one that began with the small share too"
    assert retries.gpu_fraction(other) == 1.0, "and what is known is not forgotten"
    assert retries.backoff(job, why, 1.0) == FIRST_PAUSE, "alone, it is like any other fault"
    assert retries.backoff(job, why, 1.0) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Traceback\n  File x\nOSError: [Errno 28] full\n", "OSError: [Errno 28] full"),
        ("ray.exceptions.ActorDiedError: The actor died\n", "a worker died"),
        ("Traceback\ntorch.OutOfMemoryError: CUDA out of memory\n", "torch.OutOfMemoryError: CUDA out of memory"),
        ("", "a worker died"),
    ],
)  # fmt: skip
def test_the_reason_is_the_last_line_that_says_one(tmp_path, text, told):
    (tmp_path / "error.txt").write_text(text)
    assert reason(str(tmp_path / "error.txt")) == told
    assert reason(None) == "a worker died"


# What is the method's own fault


class Exhausts(Part):
    said: Exception = torch.OutOfMemoryError("CUDA out of memory")

    def build(self, scene):
        def loss(logits, y, epsilon):
            raise self.said

        return loss


def test_out_of_memory_alone_on_a_device_is_recorded_and_beside_others_it_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("tailboard.harness.training.trial.recipe_of", lambda *_: Recipe(loss=Exhausts()))
    with pytest.raises(torch.OutOfMemoryError):
        run_trial(Job.of(TRIALS[0]), TrialContext(store=str(tmp_path)))
    assert not Store(tmp_path).finished()
    record = run_trial(Job.of(TRIALS[0]), TrialContext(store=str(tmp_path), alone=True))
    assert record.status == "failed" and "OutOfMemoryError: CUDA out of memory" in record.reason
    assert "Traceback" in record.log


def test_what_cuda_s_libraries_say_of_a_full_device_is_the_same(tmp_path, monkeypatch):
    said = RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")
    monkeypatch.setattr(Exhausts, "said", said)
    monkeypatch.setattr("tailboard.harness.training.trial.recipe_of", lambda *_: Recipe(loss=Exhausts()))
    with pytest.raises(RuntimeError, match="ALLOC_FAILED"):
        run_trial(Job.of(TRIALS[0]), TrialContext(store=str(tmp_path)))
    assert run_trial(Job.of(TRIALS[0]), TrialContext(store=str(tmp_path), alone=True)).status == "failed"


LOOKS = """
from tailboard.methods.recipe import Part, Recipe, register

class Looks(Part):
    def build(self, scene):
        return open("priors.json")

register("Looks", Recipe(loss=Looks()))
"""


def test_a_file_that_a_plugin_does_not_find_is_its_own_fault(tmp_path):
    (tmp_path / "looks.py").write_text(LOOKS)
    spec = parse(RAW | {"methods": {"name": "Looks", "plugin": "looks.py"}}, tmp_path)
    record = run_trial(Job.of(plan(spec)[0]), TrialContext(store=str(tmp_path / "s"), plugins=spec.plugins))
    assert record.status == "failed" and record.reason.startswith("FileNotFoundError")
    assert 'open("priors.json")' in record.log or "priors.json" in record.log


def test_a_trial_that_trains_for_too_long_is_recorded_with_what_it_had(tmp_path):
    record = run_trial(Job.of(TRIALS[0]), TrialContext(store=str(tmp_path), time_limit=1e-9))
    assert (record.status, record.epochs) == ("failed", 1)
    assert record.reason.startswith("TimeLimit: ") and "after 1 epochs" in record.reason
    assert Store(tmp_path).finished() == {TRIALS[0].key}
    assert run_trial(Job.of(TRIALS[1]), TrialContext(store=str(tmp_path), time_limit=1e9)).status == "complete"


def test_a_trial_that_says_nothing_is_stopped_once_and_one_that_speaks_is_not(clock):
    silence = SilenceMonitor(10, clock)
    silence.heard("silent")
    for clock.now in range(0, 200, 5):
        silence.heard("speaks")
        stopped = list(silence.exhausted())
        assert stopped == (["silent"] if clock.now == 10 + LOADING_SECONDS + 5 else [])
    assert silence.end("silent") == 10 + LOADING_SECONDS + 5
    assert silence.why == "TimeLimit: no epoch ended within 10 s"
    assert silence.end("speaks") == silence.end("unknown") == 0
    patient = SilenceMonitor(None, clock)
    patient.heard("silent")
    clock.now = 1e9
    assert not list(patient.exhausted())


def test_seeds_that_are_trained_as_one_have_the_limit_each(clock):
    silence = SilenceMonitor(100, clock)
    silence.heard("five", seeds=5)
    clock.now = 500 + LOADING_SECONDS
    assert not list(silence.exhausted())
    clock.now += 1
    assert list(silence.exhausted()) == ["five"]


def test_the_record_of_a_trial_that_was_stopped_from_outside_can_be_read(tmp_path):
    store = Store(tmp_path)
    store.write_record(timeout_record(TRIALS[0], "TimeLimit: no epoch ended within 10 s"))
    record = store.record(TRIALS[0].key)
    assert isinstance(record, Record) and record.status == "failed"


@pytest.mark.parametrize("seed", range(3))
def test_no_order_and_no_fault_loses_or_repeats_a_job(tmp_path, clock, seed):
    """A crowd of flows, some of which ask for the same trials, with random faults: each job is done once."""
    rng, store = random.Random(seed), Store(tmp_path)  # noqa: S311
    queue, done = JobQueue(store, clock), []

    def chain(*links: list[Job]) -> Flow:
        for link in links:
            records = yield link
            assert {id_: record.key for id_, record in records.items()} == {job.id: job.trial.key for job in link}

    for _ in range(12):
        picked = rng.sample(TRIALS, 4)
        queue.add(chain(*([Job(trial, 2, work_ahead=rng.random())] for trial in picked)))
    running: list[Job] = []
    while len(queue) or running:
        clock.now += 1
        while len(running) < 3 and (job := queue.pop()):
            running.append(job)
        assert len({job.trial.key for job in running}) == len(running)
        if running:
            job = running.pop(rng.randrange(len(running)))
            if rng.random() < 0.3:
                queue.retry_later(job, rng.choice([0, 1, 5]))
                continue
            done.append(job.id)
            record = timeout_record(job.trial, "stands for any record")
            store.write_record(record)
            queue.complete(job, record)
    assert len(done) == len(set(done)) == len(store.finished())


@pytest.mark.slow
def test_a_trial_that_says_nothing_is_seen_where_it_stands(monkeypatch):
    monkeypatch.setattr(timeouts, "STACK_DUMP_SECONDS", 1.0)  # a busy machine may keep a thread waiting
    told: list[str] = []

    def stands_here(until=1):
        while len(told) < until:
            time.sleep(0.01)

    def loads():
        while len(told) < 2:
            time.sleep(0.01)

    with timeouts.StackDumpWatchdog(0.1, told.append) as watchdog:
        for _ in range(10):
            time.sleep(0.05)
            watchdog.heard()
        assert told == [], "it was heard of all the time"
        stands_here()
        time.sleep(1.5)
    assert len(told) == 1 and "in stands_here\n" in told[0]
    monkeypatch.setattr(timeouts, "STACK_DUMP_AGAIN_SECONDS", 0.1)
    with timeouts.StackDumpWatchdog(0.1, told.append):
        loads()
        stands_here(until=4)
    assert "in loads\n" in told[1] and "in stands_here\n" in told[3], "what it stands in at last"
    threads = threading.active_count()
    with timeouts.StackDumpWatchdog(None, told.append):
        assert threading.active_count() <= threads, "without a limit nobody watches"
