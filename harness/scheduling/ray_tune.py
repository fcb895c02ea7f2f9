"""A plan, run by Ray Tune: the only file that imports ray.

Tune places the trials and reuses the workers. What comes next is the queue's to say, and what is finished the
store's, so the same command goes on where it was, and nothing of Tune's own state is kept.
"""

from __future__ import annotations

import gc
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

# Read by ray when it is imported: no telemetry, no files of Tune's own, and a signal handler that is ours. And by the
# process that reads its logs, which nobody here is told of: it looks for new ones each minute, not ten times a second.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
if (os.environ.get("RAY_ADDRESS") or "local") == "local":
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # no cluster to join: bind to loopback only
os.environ |= {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_LOG_MONITOR_MANY_FILES_THRESHOLD": "0",
    "LOG_NAME_UPDATE_INTERVAL_S": "60",
}

import ray.exceptions
from ray import tune
from ray._private.services import canonicalize_bootstrap_address
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import ClusterError
from ..spec.schema import Resources
from ..storage.temporary import remove_stale, temporary_folder
from ..training.stop_decision import StopDecision
from .cluster_monitor import ClusterMonitor, Endpoint
from .completion import CompletionHandler, Result, RetryPolicy, reason
from .observer import RunObserver
from .processes import children_apart, drained_by_signals, sigterm_kept, terminate_children
from .queue import JobQueue
from .resources import GUARDED, bundle, check_reachable, check_space, options, places, waits
from .stop_signal import FolderStopSignal, StopSignal, now_and_then
from .timeouts import SilenceMonitor
from .worker_memory import TUNABLES


class _NotSaved:
    """Tune pickles what it is given to restore a run from; ours resumes from the store, so there is nothing."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _JobSearcher(_NotSaved, Searcher):
    """Hands out the queue's jobs until it is empty or the run is being stopped."""

    def __init__(self, queue: JobQueue, retries: RetryPolicy, stopping: threading.Event, stop_signal: Any) -> None:
        super().__init__(metric="epoch", mode="max")
        self._queue, self._retries, self._stopping, self._stop_signal = queue, retries, stopping, stop_signal

    def suggest(self, trial_id: str) -> Any:
        if self._stopping.is_set():
            return Searcher.FINISHED
        job = self._queue.pop()
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

    endings: CompletionHandler
    observer: RunObserver
    stopping: threading.Event
    stop_signal: Any
    patience: SilenceMonitor
    told: float = -math.inf
    idle: bool = False

    def __call__(self, trial_id: str, result: dict) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.stopping.is_set() and self.idle  # what waits for a machine would wait on

    def on_step_begin(self, iteration: int, trials: list, **info: Any) -> None:
        self.idle = not self.patience.running
        if self.stopping.is_set() and time.monotonic() - self.told > 1:  # again: the stop_signal may have to start anew
            self.stop_signal.stop()
            self.told = time.monotonic()
        for name in self.patience.exhausted():
            trial = next(trial for trial in trials if trial.trial_id == name)
            ray.kill(trial.temporary_state.ray_actor)

    def on_trial_start(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.patience.heard(trial.trial_id)
        self.observer.on_trial_start(trial.config["job"].trial)

    def on_trial_result(self, iteration: int, trials: list, trial: Any, result: dict, **info: Any) -> None:
        self.patience.heard(trial.trial_id)
        if line := result.pop("line", None):  # Tune keeps the rest
            self.observer.on_epoch(trial.config["job"].trial, line)

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self.patience.end(trial.trial_id)
        job = trial.config["job"]
        _forget_course(trial)
        self.observer.on_trial_pause(job.trial)
        if trial.last_result.get("in_store"):  # else it was drained
            self.endings.on_success(job)

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        silent = self.patience.end(trial.trial_id)
        job = trial.config["job"]
        _forget_course(trial)
        if silent:
            self.endings.on_timeout(job, self.patience.why, silent)
        else:
            self.endings.on_failure(job, reason(trial.error_file), trial.config["gpu"])


def _forget_course(trial: Any) -> None:
    """The course of what Tune takes for metrics, which it keeps of each trial to its own end: kilobytes that nobody
    reads."""
    trial.run_metadata.metric_analysis.clear()
    trial.run_metadata.metric_n_steps.clear()


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
    tune.report({"epoch": -1})  # its silence counts from here, as its own witness counts: a process may start slowly
    report = lambda line: tune.report({"epoch": line["epoch"], "line": line})  # noqa: E731
    context = replace(context, alone=config["gpu"] >= 1)
    tune.report({"epoch": -1, "in_store": run_job(job, context, report, should_stop)})


def run_jobs(
    queue: JobQueue,
    context: Any,
    resources: Resources,
    observer: RunObserver,
    *,
    slots: int | None = None,
    address: str | None = None,
) -> Result:
    """Train all that is on the queue. Returns when it is empty, a signal drained the run, or its cluster is lost.

    Args:
        queue: What is trained.
        context: What a worker must know beside its job.
        resources: What each trial takes.
        observer: Is told what becomes of the trials.
        slots: Trials at a time; None fills the machine or the cluster.
        address: A running cluster to join; None starts Ray on this machine.

    Returns:
        Whether a signal stopped it, and what was not finished and why.

    Raises:
        ClusterError: where Ray cannot be had.
    """
    result, stopping = Result(), threading.Event()
    remove_stale()
    if not len(queue):
        return result
    with (
        ClusterMonitor(stopping, observer.on_waiting) as vigil,
        _ray(resources, slots, address, observer) as (places, folder, stop_signal),
        drained_by_signals(stopping),
    ):
        vigil.watch(_endpoints())
        if wait := waits(_nodes(), resources):
            observer.on_waiting(wait)
        retries, patience = RetryPolicy(resources), SilenceMonitor(resources.time_limit)
        searcher = _JobSearcher(queue, retries, stopping, stop_signal)
        endings = CompletionHandler(queue, retries, observer, result, stopping)
        callback = _Callback(endings, observer, stopping, stop_signal, patience)
        train = tune.with_parameters(_train, context=context, stop_signal=stop_signal)
        tune.Tuner(
            tune.with_resources(train, lambda config: tune.PlacementGroupFactory([bundle(resources, config["gpu"])])),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,  # as many as the queue has
                max_concurrent_trials=places,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                storage_path=str(folder),
                verbose=0,
                failure_config=tune.FailureConfig(max_failures=0),  # what is tried again is the queue's to say
                callbacks=[callback],
                stop=callback,
            ),
        ).fit()
    if result.error:
        raise result.error
    result.interrupted = stopping.is_set()
    return result


@contextmanager
def _ray(
    resources: Resources, slots: int | None, address: str | None, observer: RunObserver
) -> Iterator[tuple[int, Path, FolderStopSignal | _StopSignalActor]]:
    """Ray, joined at ``address`` or started on this machine; the number of places, a folder that goes with it, and what
    tells its workers to stop."""
    with temporary_folder(short=True) as folder, terminate_children(_stop):
        ray_options = options(resources, slots, _resolved(address), folder)
        joined = ray_options["address"] != "local"
        observer.on_cluster_start(ray_options["address"] if joined else "")
        dashboard = _start(ray_options)
        observer.on_cluster(dashboard if joined else "")
        (folder / "signal").mkdir()
        stop_signal = _start_stop_signal() if joined else FolderStopSignal(folder / "signal")
        yield places(_nodes(), resources, slots, joined=joined), folder, stop_signal


def _resolved(address: str | None) -> str | None:
    """HOST:PORT where ``auto`` is asked for: that of the Ray that was started last on this machine."""
    if address != "auto":
        return address
    try:
        return canonicalize_bootstrap_address(address)
    except (ConnectionError, ValueError) as error:
        why = "no Ray runs on this machine; start one with ray start, or leave it out"
        raise ClusterError(f"--address auto: {why}") from error


def _stop() -> None:
    """Shut Ray down, and let no thread collect garbage meanwhile: a reference to something of Ray's that is let go
    while its core is shut down ends the process, with exit code 1 and no table."""
    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        gc.enable()


def _start(ray_options: dict[str, Any]) -> str:
    local = ray_options["address"] == "local"
    if local:
        check_space(Path(ray_options["_temp_dir"]).parent)
        os.environ.setdefault("GLIBC_TUNABLES", TUNABLES)  # Ray's own processes go by another allocator's
    check_reachable(ray_options["address"])
    try:
        with sigterm_kept(), children_apart():
            context: Any = ray.init(**ray_options)
        return context.address_info["webui_url"] or ""
    except Exception as error:  # Ray raises Exception itself where a node does not start in time
        what = "started" if local else f"reached at {ray_options['address']} ({GUARDED})"
        raise ClusterError(f"Ray cannot be {what}: {' '.join(str(error).split())}") from error


def _endpoints() -> list[Endpoint]:
    """Where the head and this node's raylet listen: this process is of no use without either."""
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    here = next(node for node in ray.nodes() if node["NodeID"] == _here())
    return [(host, int(port)), (here["NodeManagerAddress"], here["NodeManagerPort"])]


def _start_stop_signal() -> _StopSignalActor:
    """It lives where the driver does."""
    near: Any = NodeAffinitySchedulingStrategy(_here(), soft=True)
    kept = ray.remote(num_cpus=0, scheduling_strategy=near, max_restarts=-1, max_task_retries=-1)
    return _StopSignalActor(kept(StopSignal).remote())


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _here() -> str:
    return ray.get_runtime_context().get_node_id()
