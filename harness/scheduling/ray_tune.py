"""A plan, run by Ray Tune: Ray is started or joined here, and stopped. What Tune is asked for stands in
``ray_trials.py``; these two are the only files that import ray.
"""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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

import ray
from ray._private.services import canonicalize_bootstrap_address

from ..errors import ClusterError
from ..memory import uncollected
from ..spec.schema import Resources
from ..storage.temporary import remove_stale, temporary_folder
from .cluster_monitor import ClusterMonitor, Endpoint
from .completion import Result
from .observer import RunObserver
from .processes import children_apart, drained_by_signals, sigterm_kept, terminate_children
from .queue import JobQueue
from .resources import (
    GUARDED,
    StartedRay,
    check_reachable,
    check_space,
    environment_of_workers,
    options,
    slots_of,
    waits,
)


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
        ClusterMonitor(stopping, observer.on_waiting) as monitor,
        _ray(resources, slots, address, observer, len(queue)) as started,
        drained_by_signals(stopping),
    ):
        with uncollected():
            from .ray_trials import fit

        monitor.watch(_endpoints())
        if wait := waits(_nodes(), resources):
            observer.on_waiting(wait)
        fit(queue, context, resources, observer, result, stopping, started)
    if result.error:
        raise result.error
    result.interrupted = stopping.is_set()
    return result


@contextmanager
def _ray(
    resources: Resources, slots: int | None, address: str | None, observer: RunObserver, jobs: int
) -> Iterator[StartedRay]:
    """Ray, joined at ``address`` or started on this machine, for so many jobs at least."""
    with temporary_folder(short=True) as folder, terminate_children(_stop):
        ray_options = options(resources, slots, _resolved(address), folder, jobs)
        joined = ray_options["address"] != "local"
        observer.on_cluster_start(ray_options["address"] if joined else "")
        dashboard = _start(ray_options, {} if joined else environment_of_workers(resources))
        observer.on_cluster(dashboard if joined else "")
        yield StartedRay(slots_of(_nodes(), resources, slots, joined=joined), folder, joined)


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
    with uncollected():
        ray.shutdown()


def _start(ray_options: dict[str, Any], of_workers: Mapping[str, str]) -> str:
    local = ray_options["address"] == "local"
    if local:
        check_space(Path(ray_options["_temp_dir"]).parent)
    check_reachable(ray_options["address"])
    try:
        with sigterm_kept(), children_apart(), _environment(of_workers):
            context: Any = ray.init(**ray_options)
        return context.address_info["webui_url"] or ""
    except Exception as error:  # Ray raises Exception itself where a node does not start in time
        what = "started" if local else f"reached at {ray_options['address']} ({GUARDED})"
        raise ClusterError(f"Ray cannot be {what}: {' '.join(str(error).split())}") from error


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Processes that are started inside have these variables, but for those that the environment has already."""
    added = variables.keys() - os.environ.keys()
    os.environ |= {name: variables[name] for name in added}
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


def _endpoints() -> list[Endpoint]:
    """Where the head and this node's raylet listen: this process is of no use without either."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    here = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    return [(host, int(port)), (here["NodeManagerAddress"], here["NodeManagerPort"])]


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
