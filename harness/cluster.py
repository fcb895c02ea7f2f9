"""Whether a cluster is there, and how many trials it holds at a time."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .spec import Resources

GIB = 2**30


class ClusterError(Exception):
    """Ray cannot be started or reached, or cannot hold a trial; the message is written for the user."""


def knock(address: str) -> None:
    """ClusterError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    if address.startswith("ray://"):
        raise ClusterError(f"--address {address}: run this on a node of the cluster, with --address auto or HOST:PORT")
    where = urlsplit(address if "://" in address else f"//{address}")
    try:
        port = where.port
    except ValueError as error:
        raise ClusterError(f"--address {address}: {error}") from error
    if where.hostname is None or port is None:  # such as auto and local
        return
    try:
        socket.create_connection((where.hostname, port), timeout=10).close()
    except OSError as error:
        raise ClusterError(f"--address {address}: nobody listens there ({error})") from error


def options(resources: Resources, slots: int | None, address: str | None, folder: Path) -> dict[str, Any]:
    """What ``ray.init`` is given, to join a cluster or to start one on this machine with its files in ``folder``."""
    # What a worker died of is told in one line by the watcher; ray's own tracebacks are kept out of it.
    found: dict[str, Any] = {"address": address or "local", "log_to_driver": False, "logging_level": logging.CRITICAL}
    if found["address"] != "local":
        return found
    found["include_dashboard"] = False
    if slots:  # else as many as Ray finds, which knows of a container's limits
        found["num_cpus"] = math.ceil(slots * resources.cpu)
    if len(str(folder)) <= 40:  # a longer one does not fit a Unix socket's 107 bytes
        found["_temp_dir"] = str(folder)
    return found


def bundle(resources: Resources, gpu: float) -> dict[str, float]:
    """What Ray sets aside for one trial, ``gpu`` being its share of one."""
    asked = {"CPU": resources.cpu, "GPU": gpu, "memory": int(resources.memory * GIB)}
    return {name: amount for name, amount in asked.items() if amount}


def places(have: Mapping[str, float], resources: Resources, slots: int | None, joined: bool = False) -> int:
    """How many trials are asked for at a time: as many as fit, at most ``slots``; or just those ``slots`` of a cluster
    that was joined, which may grow. ClusterError where not even one fits."""
    if joined and slots:
        return slots
    fit = [int(have.get("CPU", 0) / resources.cpu + 1e-9)]
    if resources.memory:
        fit.append(int(have.get("memory", 0) / (resources.memory * GIB)))
    if resources.gpu:
        # A trial lives on one GPU: 0.4 of a GPU fits twice on each, not 2.5 times.
        per_gpu = int(1 / resources.gpu + 1e-9)
        fit.append(int(have.get("GPU", 0)) * per_gpu if per_gpu else int(have.get("GPU", 0) / resources.gpu))
    if min(fit) < 1:
        asks = {"cpu": resources.cpu, "gpu": resources.gpu, "memory": resources.memory}
        there = {"cpu": have.get("CPU", 0), "gpu": have.get("GPU", 0), "memory": have.get("memory", 0) / GIB}
        named = [name for name in asks if asks[name] or name != "memory"]
        raise ClusterError(
            f"a trial asks for {_listed(asks, named)}, but Ray has {_listed(there, named)}; lower resources in the "
            "spec, use --address, or say with --slots how many trials a cluster that grows shall hold"
        )
    return min(*fit, slots) if slots else min(fit)


def _listed(amounts: Mapping[str, float], named: Sequence[str]) -> str:
    return ", ".join(f"{name}: {amounts[name]:g}" for name in named)
