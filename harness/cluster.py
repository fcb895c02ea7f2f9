"""Whether a cluster is there, and how many trials it holds at a time."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from .spec import Resources

GUARDED = "if it asks for a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH"


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


def places(have: Mapping[str, float], resources: Resources, slots: int | None, joined: bool = False) -> int:
    """How many trials run at a time, at most ``slots``. ClusterError where not even one fits.

    A cluster that was ``joined`` may grow: there ``slots`` is taken at its word, and an autoscaler sees so many wait.
    """
    if joined and slots:
        return slots
    fit = _fit(have, resources)
    if fit < 1:
        way = "or let the cluster grow to so many trials with --slots" if joined else "or use --address"
        raise ClusterError(f"{_shortage(have, resources)}; lower resources in the spec, {way}")
    return min(fit, slots) if slots else fit


def waits(have: Mapping[str, float], resources: Resources) -> str:
    """What is said where no trial fits yet; nothing where one does."""
    return "" if _fit(have, resources) else f"{_shortage(have, resources)}; waiting for machines that hold one"


def _fit(have: Mapping[str, float], resources: Resources) -> int:
    fit = [int(have.get("CPU", 0) / resources.cpu + 1e-9)]
    if resources.gpu:
        # A trial lives on one GPU: 0.4 of a GPU fits twice on each, not 2.5 times.
        per_gpu = int(1 / resources.gpu + 1e-9)
        fit.append(int(have.get("GPU", 0)) * per_gpu if per_gpu else int(have.get("GPU", 0) / resources.gpu))
    return min(fit)


def _shortage(have: Mapping[str, float], resources: Resources) -> str:
    asked = f"a trial asks for cpu: {resources.cpu:g}, gpu: {resources.gpu:g}"
    return f"{asked}, but Ray has cpu: {have.get('CPU', 0):g}, gpu: {have.get('GPU', 0):g}"
