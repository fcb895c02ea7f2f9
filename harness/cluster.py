"""Whether a cluster is there, and how many trials it holds at a time."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from .spec import Resources


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


def places(have: Mapping[str, float], resources: Resources, slots: int | None) -> int:
    """How many trials fit at a time, at most ``slots``. ClusterError where not even one does."""
    fit = [int(have.get("CPU", 0) / resources.cpu + 1e-9)]
    if resources.gpu:
        # A trial lives on one GPU: 0.4 of a GPU fits twice on each, not 2.5 times.
        per_gpu = int(1 / resources.gpu + 1e-9)
        fit.append(int(have.get("GPU", 0)) * per_gpu if per_gpu else int(have.get("GPU", 0) / resources.gpu))
    if min(fit) < 1:
        raise ClusterError(
            f"a trial asks for cpu: {resources.cpu:g}, gpu: {resources.gpu:g}, but Ray has cpu: "
            f"{have.get('CPU', 0):g}, gpu: {have.get('GPU', 0):g}; lower resources in the spec, or use --address"
        )
    return min(*fit, slots) if slots else min(fit)
