"""Whether a cluster is there, and how many trials it holds at a time."""

from __future__ import annotations

import logging
import math
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import ClusterError
from ..memory import TUNABLES
from ..spec.schema import Resources
from ..storage.temporary import LONGEST

GIB = 2**30
RAY_FILES = 16 << 20  # bytes of logs and sockets, about: with 2 MiB a run of two trials does not end, with 20 it does
GUARDED = "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"
TRAINS = [f"{__package__}.preload"]  # what a worker imports before it trains
ANSWER_SECONDS = 10.0
_HTTP2_GREETING, _SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", 4


@dataclass(frozen=True)
class StartedRay:
    """A Ray that runs: how many trials it holds at a time, a folder that goes with it, and whether it was joined, or
    started on this machine."""

    slots: int
    folder: Path
    joined: bool


def check_reachable(address: str) -> None:
    """ClusterError where no Ray answers at HOST:PORT: Ray itself would try for minutes."""
    if address.startswith("ray://"):
        raise ClusterError(f"--address {address}: run this on a node of the cluster, with --address auto or HOST:PORT")
    try:
        where = urlsplit(address if "://" in address else f"//{address}")
        port = where.port
    except ValueError as error:
        raise ClusterError(f"--address {address}: {error}") from error
    if where.hostname is None or port is None:  # such as auto and local
        return
    try:
        with socket.create_connection((where.hostname, port), timeout=ANSWER_SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") != "1":
                _check_answers(address, connection)
    except OSError as error:
        raise ClusterError(f"--address {address}: nobody listens there ({error})") from error


def _check_answers(address: str, connection: socket.socket) -> None:
    """Ray speaks gRPC, and so HTTP/2, whose first answer is a frame of settings."""
    answer = b""
    with suppress(OSError):  # it hangs, or wants another language
        connection.sendall(_HTTP2_GREETING)
        answer = connection.recv(9, socket.MSG_WAITALL)
    if answer[3:4] != bytes([_SETTINGS]):
        raise ClusterError(f"--address {address}: something listens there, but does not answer as Ray does")


def options(
    resources: Resources, slots: int | None, address: str | None, folder: Path, jobs: int = 0
) -> dict[str, Any]:
    """What ``ray.init`` is given.

    Args:
        resources: What each trial takes.
        slots: Trials at a time; None fills the machine.
        address: A running cluster to join; None starts one on this machine.
        folder: Where its files go.
        jobs: How many trials, searches and groups of fused seeds there are.

    Returns:
        The arguments by name.
    """
    # What a worker died of is told in one line by the observer; ray's own tracebacks are kept out of it.
    settings: dict[str, Any] = {
        "address": address or "local",
        "log_to_driver": False,
        "logging_level": logging.CRITICAL,
    }
    if settings["address"] != "local":
        return settings
    settings["include_dashboard"] = False
    if slots:  # else as many as Ray finds, which knows of a container's limits
        settings["num_cpus"] = math.ceil(slots * resources.cpu)
    if _each_trains(resources, settings.get("num_cpus") or os.cpu_count() or 1, jobs):
        settings["_system_config"] = {"preload_python_modules": TRAINS}
    settings["_temp_dir"] = str(folder / "ray")  # Ray lets every user of the machine into it
    return settings


def environment_of_workers(resources: Resources) -> dict[str, str]:
    """What the workers of a Ray on this machine have in their environment, before they import anything: glibc's
    settings, which Ray's own processes pass over, and for trials of one CPU the one thread that Ray tells a worker of
    when it gets its trial, which is too late for what was imported by then."""
    return {"GLIBC_TUNABLES": TUNABLES} | ({"OMP_NUM_THREADS": "1"} if resources.cpu <= 1 else {})


def _each_trains(resources: Resources, cpus: int, jobs: int) -> bool:
    """Whether each of the workers that Ray starts with itself, one for each CPU, gets a trial: then it may import what
    trains at once, while the driver prepares the first trials."""
    return resources.cpu <= 1 and not resources.gpu and not resources.memory and jobs >= cpus


def check_space(folder: Path) -> None:
    """ClusterError where the disk of a folder has too little space for Ray's files: it then does not start, or trains
    and does not end."""
    free = shutil.disk_usage(folder).free
    if free < RAY_FILES:
        short = f"a path of at most {LONGEST - len(folder.name) - 1} characters"
        raise ClusterError(
            f"Ray cannot be started: {folder.parent} has {free >> 20} MiB free, and its files need {RAY_FILES >> 20}; "
            f"set TMPDIR to a folder with more space, and {short}"
        )


def bundle(resources: Resources, gpu: float) -> dict[str, float]:
    """What Ray sets aside for one trial, ``gpu`` being its share of one."""
    asked = {"CPU": resources.cpu, "GPU": gpu, "memory": int(resources.memory * GIB)}
    return {name: amount for name, amount in asked.items() if amount}


def slots_of(
    nodes: Sequence[Mapping[str, float]], resources: Resources, slots: int | None, joined: bool = False
) -> int:
    """How many trials run at a time.

    Args:
        nodes: What each node has. A trial lives on one of them: four of 2 CPUs hold none that asks for 4.
        resources: What each trial takes.
        slots: At most so many.
        joined: Whether the cluster may grow: then ``slots`` is taken at its word, and an autoscaler sees so many wait.

    Returns:
        The number.

    Raises:
        ClusterError: where not even one fits.
    """
    if joined and slots:
        return slots
    fit = sum(_fit(node, resources) for node in nodes)
    if fit < 1:
        way = "or let the cluster grow to so many trials with --slots" if joined else "or use --address"
        raise ClusterError(f"{_shortage(nodes, resources)}; lower resources in the spec, {way}")
    return min(fit, slots) if slots else fit


def waits(nodes: Sequence[Mapping[str, float]], resources: Resources) -> str:
    """What is said where no trial fits yet; nothing where one does."""
    some = any(_fit(node, resources) for node in nodes)
    return "" if some else f"{_shortage(nodes, resources)}; waiting for machines that hold one"


def _fit(have: Mapping[str, float], resources: Resources) -> int:
    fit = [int(have.get("CPU", 0) / resources.cpu + 1e-9)]
    if resources.memory:
        fit.append(int(have.get("memory", 0) / (resources.memory * GIB)))
    if resources.gpu:
        # A trial lives on one GPU: 0.4 of a GPU fits twice on each, not 2.5 times.
        per_gpu = int(1 / resources.gpu + 1e-9)
        fit.append(int(have.get("GPU", 0)) * per_gpu if per_gpu else int(have.get("GPU", 0) / resources.gpu))
    return min(fit)


def _shortage(nodes: Sequence[Mapping[str, float]], resources: Resources) -> str:
    most = {name: max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU", "memory")}
    asks = {"cpu": resources.cpu, "gpu": resources.gpu}
    available = {"cpu": most["CPU"], "gpu": most["GPU"]}
    if resources.memory:
        asks["memory"], available["memory"] = resources.memory, most["memory"] / GIB
    where = " on a node at most" if len(nodes) > 1 else ""
    return f"a trial asks for {_listed(asks)}, but Ray has {_listed(available)}{where}"


def _listed(amounts: Mapping[str, float]) -> str:
    return ", ".join(f"{name}: {amount:g}" for name, amount in amounts.items())
