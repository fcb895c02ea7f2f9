"""What a spec says of a run, and no key holds but the threads and the seeds that are fused: what a trial gets, and
where MLflow is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, field_validator

from .canonical import CanonicalModel, omitted_at

_DATABASE = "sqlite:///"


class Resources(CanonicalModel, frozen=True):
    """What one trial gets. ``cpu`` also fixes its threads, which change the bits of its numbers. ``price`` is that of
    an hour of it, in whichever money. With ``fuse_seeds`` the seeds of a row are trained as one, in one worker, where
    its method can: for networks that leave a GPU idle."""

    later: ClassVar[frozenset[str]] = frozenset({"price", "fuse_seeds"})

    cpu: float = Field(default=1, gt=0)
    gpu: float = Field(default=0, ge=0)
    memory: float = Field(default=0, ge=0)  # GiB of main memory that its machine must have for it; 0 does not ask
    retries: int = Field(default=3, ge=0)  # of what the infrastructure broke
    checkpoint_seconds: float = Field(default=60, ge=0)
    time_limit: float | None = Field(default=None, gt=0)  # seconds of training, over all resumes
    price: float | None = omitted_at(None, gt=0)
    fuse_seeds: bool = omitted_at(False)


class Tracking(CanonicalModel, frozen=True):
    """Where MLflow is; without a uri, MLFLOW_TRACKING_URI or a SQLite file in the store."""

    uri: str | None = None
    experiment: str = "tailboard"

    @field_validator("uri")
    @classmethod
    def _no_password(cls, uri: str | None) -> str | None:
        """The plan is stored and published; a password must not be in it."""
        where = urlsplit(uri or "")
        told = where.password or (where.username and where.scheme.startswith("http"))  # a token may stand for the user
        if told or {"password", "passwd", "token", "secret"} & {name.lower() for name, _ in parse_qsl(where.query)}:
            raise ValueError("keep the password out of the spec: use MLFLOW_TRACKING_USERNAME and _PASSWORD")
        return uri


def absolute(uri: str, folder: Path) -> str:
    """An address whose file, where it names one by a relative path, is below a folder.

    Args:
        uri: ``sqlite:///mlflow.db``, ``./mlruns``, or whatever else MLflow takes, which stays as it is.
        folder: Where a relative path begins.
    """
    if uri.startswith(_DATABASE):
        path, mark, options = uri.removeprefix(_DATABASE).partition("?")
        if path and not path.startswith(("/", ":", "file:")):
            return f"{_DATABASE}{(folder / path).resolve()}{mark}{options}"
    if uri.startswith((".", "~")) or re.fullmatch(r"[^:]*/[^:]*", uri):
        return str((folder / Path(uri).expanduser()).resolve())
    return uri
