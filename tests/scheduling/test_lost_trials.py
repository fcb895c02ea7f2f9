"""Tune gives a trial up without a word where its worker's last one does not end in time: it is tried again."""

from __future__ import annotations

import threading
from unittest.mock import MagicMock

import pytest
from ray.tune.experiment import Trial
from ray.tune.search import ConcurrencyLimiter, Searcher

from small_spec import SMALL
from tailboard.harness.scheduling.completion import CompletionHandler, Result, RetryPolicy
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.ray_trials import _Callback, _JobSearcher
from tailboard.harness.scheduling.timeouts import SilenceMonitor
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Resources, plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Flow, Job

# Its worker has no time to become ready for the next trial, and no other thread a turn meanwhile.
LATE = """
import os, sys
from tailboard.methods.recipe import Recipe, register

os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = "0"
sys.setswitchinterval(5.0)
register("Late", Recipe())
"""


def flow(trial) -> Flow:
    yield [Job.of(trial)]


class TrialWithoutFolder(Trial):
    """Ray gives it one."""

    error_file = None


class Tune:
    """What Tune does of its own with a run of one slot: it asks for trials, and says what becomes of them."""

    def __init__(self, folder, trials):
        self.now, self.trials = 0.0, []
        self.queue, stopping = JobQueue(Store(folder), lambda: self.now), threading.Event()
        for trial in trials:
            self.queue.add(flow(trial))
        retries, self.observer = RetryPolicy(Resources()), MagicMock()
        searcher = _JobSearcher(self.queue, retries, stopping, MagicMock())
        self.limiter = ConcurrencyLimiter(searcher, max_concurrent=1)
        handler = CompletionHandler(self.queue, retries, self.observer, Result(), stopping)
        self.callback = _Callback(handler, self.observer, stopping, MagicMock(), SilenceMonitor(None))

    def ask(self):
        name = f"t{len(self.trials)}"
        found = self.limiter.suggest(name)
        if found in (None, Searcher.FINISHED):
            return found
        trial = TrialWithoutFolder("train", config=found, trial_id=name, evaluated_params=dict(found), stub=True)
        self.trials.append(trial)
        return trial

    def step(self):
        self.callback.on_step_begin(0, self.trials)


@pytest.fixture
def tune(tmp_path):
    return Tune(tmp_path, plan(parse(SMALL | {"seeds": 2})))


def test_a_trial_that_tune_gives_up_without_a_word_is_tried_again(tune):
    first = tune.ask()
    tune.step()
    assert tune.ask() is None and not tune.observer.on_retry.called, "it is under way"
    first.status = Trial.ERROR
    tune.step()
    tune.step()
    (told,) = tune.observer.on_retry.call_args_list
    assert told.args[:2] == (first.config["job"].trial, "its worker was not ready in time")
    other = tune.ask()
    assert other.config["job"] != first.config["job"], "its place is free at once"
    assert tune.ask() is None
    tune.limiter.on_trial_complete(other.trial_id, error=True)
    other.status = Trial.ERROR
    tune.callback.on_trial_error(0, tune.trials, other)
    tune.now = 10.0
    assert tune.ask().config["job"] == first.config["job"]


def test_one_that_begins_and_fails_within_a_step_fails_once(tune):
    tune.step()
    first = tune.ask()
    first.status = Trial.ERROR
    tune.callback.on_trial_error(0, tune.trials, first)
    tune.step()
    (told,) = tune.observer.on_retry.call_args_list
    assert told.args[1] == "a worker died"


def test_of_a_trial_that_has_ended_tune_keeps_no_more_than_its_name(tune):
    first = tune.ask()
    first.temporary_state.ray_actor = "its worker"
    first.run_metadata.last_result = {"config": dict(first.config), "in_store": True}
    tune.callback.on_trial_complete(0, tune.trials, first)
    tune.limiter.on_trial_complete(first.trial_id)
    tune.step()
    assert first.config["job"], "Tune has still to stop it"
    first.set_ray_actor(None)
    tune.step()
    assert tune.trials == [first], "Tune looks for files where its list is empty"
    other = tune.ask()
    tune.step()
    assert tune.trials == [other] and list(tune.callback.open.values()) == [other]
    assert not any([first.config, first.evaluated_params, first.run_metadata.last_result, tune.callback.ended])


@pytest.mark.slow
def test_a_run_goes_on_though_no_worker_is_ready_in_time(launcher, tmp_path, shared_ray, shared_mlflow):
    spec = SMALL | {"methods": {"name": "Late", "plugin": "late.py"}, "seeds": 2}
    job = launcher(tmp_path, spec, {"late.py": LATE}, **shared_ray, **shared_mlflow)
    done = job.run_one_at_a_time()
    assert done.returncode == 0, done.stderr
    assert [record["status"] for record in job.records().values()] == ["complete"] * 2
    assert done.stderr.count("its worker was not ready in time; tried again in 1 s") == 1
