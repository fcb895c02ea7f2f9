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
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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

import ray
from ray import tune
from ray.tune.search import Searcher

from .cluster import ClusterError, knock, places
from .flag import Flag
from .interrupt import drained_by_signals
from .needs import Needs
from .scratch import scratch
from .spec import Resources, Trial
from .store import Store


class Watcher(Protocol):
    """Who is told, in the driver's process, what happens to the trials."""

    def started(self, key: str) -> None: ...
    def epoch(self, key: str, line: dict[str, float]) -> None: ...
    def finished(self, key: str) -> None: ...
    def broken(self, key: str, reason: str) -> None: ...


@dataclass
class Result:
    """``interrupted``: a signal stopped the sweep. ``broken``: what the infrastructure broke once too often."""

    interrupted: bool = False
    broken: dict[str, str] = field(default_factory=dict)


class _NotSaved:
    """Tune pickles what it is given to restore a sweep from; ours resumes from the store, so there is nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Queue(_NotSaved, Searcher):
    """Hands out keys in order, each once those that it needs are done, until the sweep is being stopped."""

    def __init__(
        self,
        keys: Sequence[str],
        needs: Mapping[str, Sequence[str]],
        stopping: threading.Event,
        failed: Collection[str] = (),
    ) -> None:
        super().__init__(metric="epoch", mode="max")
        undone = {*keys, *failed}
        self.blocked = {key: open_ for key in keys if (open_ := undone.intersection(needs.get(key, ())))}
        self._ready = deque(key for key in keys if key not in self.blocked)
        self._running: dict[str, str] = {}
        self._stopping = stopping

    def suggest(self, trial_id: str) -> Any:
        if self._stopping.is_set():
            return Searcher.FINISHED
        if not self._ready:  # None asks Tune to come again: something that runs may free one that waits
            return None if self.blocked and self._running else Searcher.FINISHED
        self._running[trial_id] = self._ready.popleft()
        return {"key": self._running[trial_id]}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        key = self._running.pop(trial_id)
        if error or not result or not result.get("done"):
            return
        for other in [other for other, needed in self.blocked.items() if key in needed]:
            self.blocked[other].remove(key)
            if not self.blocked[other]:
                del self.blocked[other]
                self._ready.append(other)

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        pass


class _Callback(_NotSaved, tune.Callback):
    """Passes on what Tune says, in the driver's process."""

    def __init__(self, watcher: Watcher, result: Result, stopping: threading.Event, flag: Any) -> None:
        self._watcher, self._result, self._stopping, self._flag = watcher, result, stopping, flag
        self._told = False

    def on_step_begin(self, iteration: int, trials: list, **info: Any) -> None:
        if self._stopping.is_set() and not self._told:
            self._flag.raise_.remote()
            self._told = True

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._watcher.started(trial.config["key"])

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        if "line" in result:
            self._watcher.epoch(trial.config["key"], result["line"])

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        if trial.last_result.get("record"):
            self._watcher.finished(trial.config["key"])

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        key, reason = trial.config["key"], _reason(trial)
        self._result.broken[key] = reason
        self._watcher.broken(key, reason)


def _reason(trial: Any) -> str:
    """The last line of the error's file, where Tune has just written it; nothing is there of a worker that died."""
    with suppress(OSError):
        lines = Path(trial.error_file or "").read_text(errors="replace").strip().splitlines()
        told = [line.strip() for line in lines if re.match(r"\s*[\w.]+(Error|Exception|Drained)\b", line)]
        if told and "ActorDied" not in told[-1] and "ray.exceptions" not in told[-1]:
            return told[-1]
    return "a worker died"


def _train(config: dict[str, Any], trials: dict[str, str], setting: Any, flag: Any) -> None:
    """What runs in a worker: one trial. The store is asked once more, lest a finished trial run again."""
    from .trial import Drained, run_trial

    trial = Trial.model_validate_json(trials[config["key"]])
    store = Store(setting.store)
    if not store.is_done(trial.key, trial.key in setting.kept):
        try:
            run_trial(
                trial,
                setting,
                report=lambda line: tune.report({"epoch": line["epoch"], "line": line}),
                draining=lambda: ray.get(flag.up.remote()),
            )
        except Drained:
            return tune.report({"epoch": -1, "record": False})
    complete = store.outcome(trial.key).status == "complete"
    return tune.report({"epoch": trial.training.epochs, "record": True, "done": complete})


def sweep(
    wanted: Needs,
    setting: Any,
    resources: Resources,
    watcher: Watcher,
    *,
    slots: int | None = None,
    address: str | None = None,
) -> Result:
    """Run every wanted trial that the store has not finished. Returns when all are done or a signal drained the sweep.

    ``slots`` trials run at a time; None fills the machine or the cluster. ClusterError where Ray cannot be had.
    """
    done = wanted.done(Store(setting.store))
    todo = {trial.key: trial.model_dump_json() for trial in wanted.trials if trial.key not in done}
    result, stopping = Result(), threading.Event()
    if not todo:
        return result
    with _ray(resources, slots, address) as (places, folder), drained_by_signals(stopping):
        queue = _Queue(list(todo), wanted.of, stopping, wanted.failed(Store(setting.store)))
        flag = ray.remote(num_cpus=0)(Flag).remote()
        train = tune.with_parameters(_train, trials=todo, setting=setting, flag=flag)
        share = {"cpu": resources.cpu, "gpu": resources.gpu} if resources.gpu else {"cpu": resources.cpu}
        tune.Tuner(
            tune.with_resources(train, share),
            tune_config=tune.TuneConfig(
                search_alg=queue,
                num_samples=len(todo),
                max_concurrent_trials=places,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=resources.retries),
                callbacks=[_Callback(watcher, result, stopping, flag)],
            ),
        ).fit()
    result.interrupted = stopping.is_set()
    for key in () if result.interrupted else queue.blocked:
        result.broken[key] = "not run: the trial whose network it starts from did not end well"
        watcher.broken(key, result.broken[key])
    return result


@contextmanager
def _ray(resources: Resources, slots: int | None, address: str | None) -> Iterator[tuple[int, Path]]:
    """Ray, joined at ``address`` or started on this machine; the number of places, and a folder that goes with it."""
    with scratch() as folder:
        try:
            _start(_options(resources, slots, address, folder))
            yield places(ray.cluster_resources(), resources, slots), folder
        finally:
            ray.shutdown()


def _start(options: dict[str, Any]) -> None:
    knock(options["address"])
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        what = "started" if options["address"] == "local" else f"reached at {options['address']}"
        raise ClusterError(f"Ray cannot be {what}: {' '.join(str(error).split())}") from error


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
