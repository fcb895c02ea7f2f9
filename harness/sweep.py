"""A plan, run by Ray Tune: the only file that imports ray.

Tune places the trials and reuses the workers. What comes next is the agenda's to say, and what is finished the
store's, so the same command goes on where it was, and nothing of Tune's own state is kept.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Read by ray when it is imported: no telemetry, no files of Tune's own, and a signal handler that is ours.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
if os.environ.get("RAY_ADDRESS", "local") == "local":
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # no cluster to join: bind to loopback only
os.environ |= {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

import ray.exceptions
from ray import tune
from ray.tune.search import Searcher

from .agenda import Agenda, Job, Lost
from .cluster import GUARDED, ClusterError, bundle, knock, options, places, waits
from .deadline import Patience, overdue
from .family import ends_with_us
from .flag import Flag
from .flows import Watcher
from .interrupt import drained_by_signals
from .retry import Retries, reason
from .scratch import clear_up, scratch
from .spec import Resources


@dataclass
class Result:
    """``interrupted``: a signal stopped the sweep. ``broken``: what the infrastructure broke once too often, by key.
    ``error``: what went wrong in the driver."""

    interrupted: bool = False
    broken: dict[str, str] = field(default_factory=dict)
    error: Exception | None = None


class _NotSaved:
    """Tune pickles what it is given to restore a sweep from; ours resumes from the store, so there is nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Queue(_NotSaved, Searcher):
    """Hands out the agenda's jobs until it is empty or the sweep is being stopped."""

    def __init__(self, agenda: Agenda, retries: Retries, stopping: threading.Event) -> None:
        super().__init__(metric="epoch", mode="max")
        self._agenda, self._retries, self._stopping = agenda, retries, stopping
        self.running: dict[str, Job] = {}  # by Tune's name of the trial

    def suggest(self, trial_id: str) -> Any:
        if self._stopping.is_set():
            return Searcher.FINISHED
        job = self._agenda.take()
        if job is None:  # None asks Tune to come again: something that runs or pauses may free one that waits
            return None if self.running or self._agenda.pausing else Searcher.FINISHED
        self.running[trial_id] = job
        return {"trial": job.trial.model_dump_json(), "until": job.until, "gpu": self._retries.share(job)}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """The callback below is told next, and knows more."""

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


@dataclass(eq=False)
class _Callback(_NotSaved, tune.Callback, tune.Stopper):
    """Passes on what Tune says, in the driver's process, and ends a sweep that is being stopped once nothing trains."""

    queue: _Queue
    agenda: Agenda
    retries: Retries
    watcher: Watcher
    result: Result
    stopping: threading.Event
    flag: Any
    patience: Patience
    told: bool = False
    idle: bool = False

    def __call__(self, trial_id: str, result: dict) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.stopping.is_set() and self.idle  # what waits for a machine would wait on

    def on_step_begin(self, iteration: int, trials: list, **info: Any) -> None:
        self.idle = not self.patience.running
        if self.stopping.is_set() and not self.told:
            self.flag.raise_.remote()
            self.told = True
        for name in self.patience.exhausted():
            trial = next(trial for trial in trials if trial.trial_id == name)
            ray.kill(trial.temporary_state.ray_actor)

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.patience.heard_of(trial.trial_id)
        self.watcher.started(self.queue.running[trial.trial_id].trial)

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        if "line" in result:
            self.patience.heard_of(trial.trial_id)
            self.watcher.epoch(self.queue.running[trial.trial_id].trial, result["line"])

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.patience.end(trial.trial_id)
        job = self.queue.running.pop(trial.trial_id)
        self.watcher.rested(job.trial)
        if trial.last_result.get("record"):  # else it was drained
            with self._kept():
                self._settle(job, trial.last_result["record"] == "whole")

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        hung = self.patience.end(trial.trial_id)
        job = self.queue.running.pop(trial.trial_id)
        with self._kept():
            if hung:
                self.agenda.store.write_record(overdue(job.trial, hung))
                self._settle(job, whole=True)
                return
            why = reason(trial.error_file)
            pause = self.retries.pause(job, why, trial.config["gpu"])
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


def _train(config: dict[str, Any], setting: Any, flag: Any) -> None:
    """What runs in a worker."""
    from .worker import done

    report = lambda line: tune.report({"epoch": line["epoch"], "line": line})  # noqa: E731
    tune.report({"epoch": -1, "record": done(config, setting, report, lambda: ray.get(flag.up.remote()))})


def sweep(
    agenda: Agenda,
    setting: Any,
    resources: Resources,
    watcher: Watcher,
    *,
    slots: int | None = None,
    address: str | None = None,
) -> Result:
    """Train all that is on the agenda. Returns when it is empty, or a signal drained the sweep.

    ``slots`` trials run at a time; None fills the machine or the cluster. ClusterError where Ray cannot be had.
    """
    result, stopping = Result(), threading.Event()
    clear_up()
    if not len(agenda):
        return result
    with _ray(resources, slots, address) as (places, folder, dashboard), drained_by_signals(stopping):
        watcher.joined(dashboard)
        if wait := waits(ray.cluster_resources(), resources):
            watcher.waiting(wait)
        retries, patience = Retries(resources), Patience(resources.time_limit)
        queue = _Queue(agenda, retries, stopping)
        flag = ray.remote(num_cpus=0)(Flag).remote()
        callback = _Callback(queue, agenda, retries, watcher, result, stopping, flag, patience)
        train = tune.with_parameters(_train, setting=setting, flag=flag)
        tune.Tuner(
            tune.with_resources(train, lambda config: tune.PlacementGroupFactory([bundle(resources, config["gpu"])])),
            tune_config=tune.TuneConfig(
                search_alg=queue,
                num_samples=-1,  # as many as the agenda has
                max_concurrent_trials=places,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),  # what is tried again is the agenda's to say
                callbacks=[callback],
                stop=callback,
            ),
        ).fit()
    if result.error:
        raise result.error
    result.interrupted = stopping.is_set()
    return result


@contextmanager
def _ray(resources: Resources, slots: int | None, address: str | None) -> Iterator[tuple[int, Path, str]]:
    """Ray, joined at ``address`` or started on this machine; the number of places, a folder that goes with it, and
    where its dashboard is."""
    with scratch() as folder, ends_with_us(ray.shutdown):
        wanted = options(resources, slots, address, folder)
        dashboard, joined = _start(wanted), wanted["address"] != "local"
        have = ray.cluster_resources()
        yield places(have, resources, slots, joined=joined), folder, dashboard if joined else ""


def _start(wanted: dict[str, Any]) -> str:
    knock(wanted["address"])
    try:
        context: Any = ray.init(**wanted)
        return context.address_info["webui_url"] or ""
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        what = "started" if wanted["address"] == "local" else f"reached at {wanted['address']} ({GUARDED})"
        raise ClusterError(f"Ray cannot be {what}: {' '.join(str(error).split())}") from error
