"""A plan, run by Ray Tune: the only file that imports ray.

Tune places the trials, reuses the workers and tries again what the infrastructure broke. What is finished is the
store's to say, so the same command goes on where it was, and nothing of Tune's own state is kept.
"""

from __future__ import annotations

import logging
import math
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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

from .agenda import Agenda, Job, Lost, is_done
from .cluster import GUARDED, ClusterError, knock, places, waits
from .flag import Flag
from .flows import Watcher
from .interrupt import drained_by_signals
from .scratch import clear_up, scratch
from .spec import Resources, Trial
from .store import Store


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

    def __init__(self, agenda: Agenda, stopping: threading.Event) -> None:
        super().__init__(metric="epoch", mode="max")
        self._agenda, self._stopping = agenda, stopping
        self.running: dict[str, Job] = {}  # by Tune's name of the trial

    def suggest(self, trial_id: str) -> Any:
        if self._stopping.is_set():
            return Searcher.FINISHED
        job = self._agenda.take()
        if job is None:  # None asks Tune to come again: something that runs may free one that waits
            return None if self.running else Searcher.FINISHED
        self.running[trial_id] = job
        return {"trial": job.trial.model_dump_json(), "until": job.until}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """The callback below is told next, and knows more."""

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


class _Callback(_NotSaved, tune.Callback, tune.Stopper):
    """Passes on what Tune says, in the driver's process, and ends a sweep that is being stopped once nothing trains."""

    def __init__(
        self, queue: _Queue, agenda: Agenda, watcher: Watcher, result: Result, stopping: threading.Event, flag: Any
    ) -> None:
        self._queue, self._agenda, self._watcher, self._result = queue, agenda, watcher, result
        self._stopping, self._flag, self._told, self._idle = stopping, flag, False, False

    def __call__(self, trial_id: str, result: dict) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stopping.is_set() and self._idle  # what waits for a machine would wait on

    def on_step_begin(self, iteration: int, trials: list, **info: Any) -> None:
        self._idle = all(trial.status != "RUNNING" for trial in trials)
        if self._stopping.is_set() and not self._told:
            self._flag.raise_.remote()
            self._told = True

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._watcher.started(self._queue.running[trial.trial_id].trial)

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        if "line" in result:
            self._watcher.epoch(self._queue.running[trial.trial_id].trial, result["line"])

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        job = self._queue.running.pop(trial.trial_id)
        if not trial.last_result.get("record"):  # it was drained
            return
        with self._kept():
            try:
                self._agenda.settle(job)
            except Lost as error:
                self._break(job, str(error))
            else:
                if trial.last_result["record"] == "whole":
                    self._watcher.finished(job.trial)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        with self._kept():
            self._break(self._queue.running.pop(trial.trial_id), _reason(trial))

    def _break(self, job: Job, reason: str) -> None:
        self._result.broken[job.trial.key] = reason
        self._watcher.broken(job.trial, reason)
        self._agenda.lose(job)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Tune would log what is raised in a callback and go on: it is raised again once Tune has stopped."""
        try:
            yield
        except Exception as error:
            self._result.error = error
            self._stopping.set()


def _reason(trial: Any) -> str:
    """The last line of the error's file, where Tune has just written it; nothing is there of a worker that died."""
    with suppress(OSError):
        lines = Path(trial.error_file or "").read_text(errors="replace").strip().splitlines()
        told = [line.strip() for line in lines if re.match(r"\s*[\w.]+(Error|Exception|Drained)\b", line)]
        if told and "ActorDied" not in told[-1] and "ray.exceptions" not in told[-1]:
            return told[-1]
    return "a worker died"


def _train(config: dict[str, Any], setting: Any, flag: Any) -> None:
    """What runs in a worker: one job. The store is asked once more, lest a finished trial run again."""
    from .trial import Drained, run_trial

    trial, until = Trial.model_validate_json(config["trial"]), config["until"]
    store = Store(setting.store)
    if not is_done(Job(trial, until, keep=trial.key in setting.kept), store):
        try:
            run_trial(
                trial,
                setting,
                report=lambda line: tune.report({"epoch": line["epoch"], "line": line}),
                draining=lambda: ray.get(flag.up.remote()),
                until=until,
            )
        except Drained:
            return tune.report({"epoch": -1})
    what = "whole" if store.has(f"records/{trial.key}.json") else "rung"
    return tune.report({"epoch": trial.training.epochs, "record": what})


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
    with _ray(resources, slots, address) as (places, folder), drained_by_signals(stopping):
        if wait := waits(ray.cluster_resources(), resources):
            watcher.waiting(wait)
        queue = _Queue(agenda, stopping)
        flag = ray.remote(num_cpus=0)(Flag).remote()
        callback = _Callback(queue, agenda, watcher, result, stopping, flag)
        train = tune.with_parameters(_train, setting=setting, flag=flag)
        share = {"cpu": resources.cpu, "gpu": resources.gpu} if resources.gpu else {"cpu": resources.cpu}
        tune.Tuner(
            tune.with_resources(train, share),
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
                failure_config=tune.FailureConfig(max_failures=resources.retries),
                callbacks=[callback],
                stop=callback,
            ),
        ).fit()
    if result.error:
        raise result.error
    result.interrupted = stopping.is_set()
    return result


@contextmanager
def _ray(resources: Resources, slots: int | None, address: str | None) -> Iterator[tuple[int, Path]]:
    """Ray, joined at ``address`` or started on this machine; the number of places, and a folder that goes with it."""
    with scratch() as folder:
        try:
            _start(_options(resources, slots, address, folder))
            yield places(ray.cluster_resources(), resources, slots, address not in (None, "local")), folder
        finally:
            ray.shutdown()


def _start(options: dict[str, Any]) -> None:
    knock(options["address"])
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        where = "started" if options["address"] == "local" else f"reached at {options['address']} ({GUARDED})"
        raise ClusterError(f"Ray cannot be {where}: {' '.join(str(error).split())}") from error


def _options(resources: Resources, slots: int | None, address: str | None, folder: Path) -> dict[str, Any]:
    # What a worker died of is told in one line by the watcher; ray's own tracebacks are kept out of it.
    options: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "logging_level": logging.CRITICAL}
    if address and address != "local":
        return options
    options["include_dashboard"] = False
    if slots:  # else as many as Ray finds, which knows of a container's limits
        options["num_cpus"] = math.ceil(slots * resources.cpu)
    if len(str(folder)) <= 40:  # a longer one does not fit a Unix socket's 107 bytes
        options["_temp_dir"] = str(folder)
    return options
