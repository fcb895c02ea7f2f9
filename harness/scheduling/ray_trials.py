"""What Ray Tune is asked for, and what runs in its workers. Imported once Ray has started, and by each worker.

Tune places the trials and reuses the workers. What comes next is the queue's to say, and what is finished the
store's, so the same command goes on where it was, and nothing of Tune's own state is kept.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, partial
from importlib import import_module
from typing import Any

import ray.exceptions
from ray import tune
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..spec.schema import Resources
from ..training.job import fused_trials
from ..training.stop_decision import StopDecision
from .completion import CompletionHandler, Result, RetryPolicy, reason
from .observer import RunObserver
from .queue import JobQueue
from .resources import StartedRay, bundle
from .stop_signal import FolderStopSignal, StopSignal, now_and_then
from .timeouts import SilenceMonitor

# Seconds for the thread of a worker's last trial to end, before the next one begins: Tune's own two may be too few on a
# machine with much to do. Read in the worker, which imports this file before.
os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "60")


class _NotSaved:
    """Tune pickles what it is given to restore a run from; ours resumes from the store, so there is nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _JobSearcher(_NotSaved, Searcher):
    """Hands out the queue's jobs until it is empty or the run is being stopped; the queue counts how many run."""

    def __init__(self, queue: JobQueue, retries: RetryPolicy, stopping: threading.Event, stop_signal: Any) -> None:
        super().__init__(metric="epoch", mode="max")
        self._queue, self._retries, self._stopping, self._stop_signal = queue, retries, stopping, stop_signal
        self._most = math.inf

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        self._most = max_concurrent
        return True  # else Tune would count too, and a trial that it has lost would be counted for ever

    def suggest(self, trial_id: str) -> Any:
        if self._stopping.is_set():
            return Searcher.FINISHED
        job = self._queue.pop() if len(self._queue.running) < self._most else None
        if job is None:  # None asks Tune to come again: something that runs or pauses may free one that waits
            return None if self._queue.running or self._queue.has_paused else Searcher.FINISHED
        self._stop_signal.assign(job.trial.key, trial_id)
        return {"job": job, "gpu": self._retries.gpu_fraction(job), "holder": trial_id}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """The callback below is told next, and knows more."""

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


@dataclass(eq=False)
class _Callback(_NotSaved, tune.Callback, tune.Stopper):
    """Passes on what Tune says, in the driver's process, and ends a run that is being stopped once nothing trains."""

    completion: CompletionHandler
    observer: RunObserver
    stopping: threading.Event
    stop_signal: Any
    silence: SilenceMonitor
    told: float = -math.inf
    idle: bool = False
    open: dict[str, Any] = field(default_factory=dict)  # Tune's trials that have not ended here, by id
    ended: dict[str, Any] = field(default_factory=dict)  # those that have, and that Tune may not be done with
    seen: int = 0  # of Tune's trials

    def __call__(self, trial_id: str, result: dict) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.stopping.is_set() and self.idle  # what waits for a machine would wait on

    def on_step_begin(self, iteration: int, trials: list, **info: Any) -> None:
        self._end_lost(trials)
        self._forget_ended(trials)
        self.idle = not self.silence.running
        if self.stopping.is_set() and time.monotonic() - self.told > 1:  # again: the stop_signal may have to start anew
            self.stop_signal.stop()
            self.told = time.monotonic()
        for name in self.silence.exhausted():
            ray.kill(self.open[name].temporary_state.ray_actor)

    def _end_lost(self, trials: list) -> None:
        """Tune tells nobody of a trial that it gives up since its worker's last one did not end in time: what waits for
        it would wait for ever. It still counts the trial among those to come, and so keeps one idle worker of its
        share of a GPU more."""
        self._open(trials)
        for trial in [trial for trial in self.open.values() if trial.status == trial.ERROR]:
            self._end(trials, trial)
            why = "its worker was not ready in time"
            self.completion.on_failure(trial.config["job"], why, trial.config["gpu"])

    def _open(self, trials: list) -> None:
        self.open |= {trial.trial_id: trial for trial in trials[self.seen :]}
        self.seen = len(trials)

    def _forget_ended(self, trials: list) -> None:
        """Trials whose workers Tune has let go leave its list, through which it walks at each step, and are emptied: it
        keeps tens of kilobytes of each that nobody reads. The last stays, since Tune looks for files where there is
        none."""
        ended = [*self.ended.values()]
        for trial in [each for each in ended if each.temporary_state.ray_actor is None and each is not trials[-1]]:
            trials.remove(trial)
            self.seen -= 1
            _empty(self.ended.pop(trial.trial_id))

    def _end(self, trials: list, trial: Any) -> float:
        """As :meth:`SilenceMonitor.end`."""
        self._open(trials)  # it may have begun and ended in one step of Tune's
        self.open.pop(trial.trial_id, None)
        return self.silence.end(trial.trial_id)

    def _heard(self, trial: Any) -> None:
        self.silence.heard(trial.trial_id, len(fused_trials(trial.config["job"].trial)))

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._heard(trial)
        self.observer.on_trial_start(trial.config["job"].trial)

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        self._heard(trial)
        if line := result.pop("line", None):  # Tune keeps the rest
            self.observer.on_epoch(trial.config["job"].trial, line)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._end(trials, trial)
        self.ended[trial.trial_id] = trial
        job = trial.config["job"]
        self.observer.on_trial_pause(job.trial)
        if trial.last_result.get("in_store"):  # else it was drained
            self.completion.on_success(job)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        silent = self._end(trials, trial)
        self.ended[trial.trial_id] = trial
        job = trial.config["job"]
        if silent:
            self.completion.on_timeout(job, self.silence.why, silent)
        else:
            self.completion.on_failure(job, reason(trial.error_file), trial.config["gpu"])


@cache
def _placement(**needs: float) -> tune.PlacementGroupFactory:
    """One for all trials that need the same, since Tune keeps that of each to the end of the run."""
    return tune.PlacementGroupFactory([needs])


def _empty(trial: Any) -> None:
    """Let go what Tune holds of a trial beside its name and its state."""
    of_run = trial.run_metadata
    for content in (trial.config, trial.evaluated_params, of_run.last_result, of_run.metric_analysis,
                    of_run.metric_n_steps):  # fmt: skip
        content.clear()
    trial.experiment_tag = ""


@dataclass(frozen=True)
class _StopSignalActor:
    """Of a cluster: a process beside the driver answers, each worker once a second at most. A node that goes away takes
    none of the driver's word with it."""

    actor: Any

    def stop(self) -> None:
        self.actor.stop.remote()

    def assign(self, trial: str, holder: str) -> None:
        self.actor.assign.remote(trial, holder)

    def should_stop(self, trial: str, holder: str) -> StopDecision:
        try:
            return ray.get(self.actor.should_stop.remote(trial, holder))
        except ray.exceptions.RayError:  # the driver is dead, and what is left of its run goes after it
            return StopDecision.MOVED


def _train(config: dict[str, Any], context: Any, stop_signal: FolderStopSignal | _StopSignalActor) -> None:
    """What runs in a worker."""
    from .worker import run_job

    job = config["job"]
    should_stop = partial(stop_signal.should_stop, job.trial.key, config["holder"])
    if isinstance(stop_signal, _StopSignalActor):
        should_stop = now_and_then(should_stop)
    tune.report({"epoch": -1})  # its silence counts from here, as its own watchdog counts: a process may start slowly
    report = lambda line: tune.report({"epoch": line["epoch"], "line": line})  # noqa: E731
    context = replace(context, alone=config["gpu"] >= 1)
    tune.report({"epoch": -1, "in_store": run_job(job, context, report, should_stop)})


def fit(
    queue: JobQueue,
    context: Any,
    resources: Resources,
    observer: RunObserver,
    result: Result,
    stopping: threading.Event,
    started: StartedRay,
) -> None:
    """Train all that is on the queue, until it is empty or the run was stopped and nothing trains any more.

    Args:
        queue: What is trained.
        context: What a worker must know beside its job.
        resources: What each trial takes.
        observer: Is told what becomes of the trials.
        result: Gets what was not finished, and what went wrong in the driver.
        stopping: Is set where the run is to be stopped.
        started: Where it is trained.
    """
    stop_signal = _start_stop_signal(started)
    retries, silence = RetryPolicy(resources), SilenceMonitor(resources.time_limit)
    searcher = _JobSearcher(queue, retries, stopping, stop_signal)
    completion = CompletionHandler(queue, retries, observer, result, stopping)
    callback = _Callback(completion, observer, stopping, stop_signal, silence)
    train = tune.with_parameters(_train, context=context, stop_signal=stop_signal)
    with _untagged(), nullcontext() if started.joined else _inherited_environment():
        tune.Tuner(
            tune.with_resources(train, lambda config: _placement(**bundle(resources, config["gpu"]))),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,  # as many as the queue has
                max_concurrent_trials=started.slots,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(started.folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),  # what is tried again is the queue's to say
                callbacks=[callback],
                stop=callback,
            ),
        ).fit()


def _start_stop_signal(started: StartedRay) -> FolderStopSignal | _StopSignalActor:
    """What tells the workers to stop; an actor lives where the driver does."""
    if not started.joined:
        folder = started.folder / "signal"
        folder.mkdir()
        return FolderStopSignal(folder)
    near: Any = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    kept = ray.remote(num_cpus=0, scheduling_strategy=near, max_restarts=-1, max_task_retries=-1)
    return _StopSignalActor(kept(StopSignal).remote())


def _untagged() -> AbstractContextManager[None]:
    """Inside, Tune does not look for the kinds of its callbacks, for telemetry that is off: it would import all of
    MLflow for that, before the first trial begins."""
    return _replaced("ray.air._internal.usage", tag_callbacks=lambda callbacks: False)


def _inherited_environment() -> AbstractContextManager[None]:
    """Inside, Tune gives its actors no environment: on this machine they have the driver's. With one, none of the
    workers that Ray has begun meanwhile would fit them, and they would wait for new ones."""
    return _replaced("ray.tune.execution.class_cache", DEFAULT_ENV_VARS={}, ENV_VARS_TO_PROPAGATE=set())


@contextmanager
def _replaced(module: str, **others: Any) -> Iterator[None]:
    """Inside, these names of a module of Ray's mean something else; nothing where another Ray has none of them: a run
    begins later then, and trains the same."""
    try:
        where = import_module(module)
        given = {name: getattr(where, name) for name in others}
    except (ImportError, AttributeError):
        yield
        return
    vars(where).update(others)
    try:
        yield
    finally:
        vars(where).update(given)
