"""Where MLflow is, and whose word that is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..spec.resources import absolute
from ..spec.schema import Spec
from ..storage import paths
from ..storage.sqlite import address
from ..storage.store import Store


def tracking_uri(spec: Spec, store: Store) -> str:
    """Where MLflow is: the spec's uri, else MLFLOW_TRACKING_URI, else a SQLite file in a local store."""
    chosen = spec.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI")
    return absolute(chosen, Path()) if chosen else own_database(store)


def own_database(store: Store) -> str:
    """The SQLite file in a local store; of a bucket in the current folder."""
    return address(store.path(paths.MLFLOW) if store.local else Path(paths.MLFLOW).resolve())


def is_ours(spec: Spec) -> bool:
    """Whether a report may write to where a stored spec says that MLflow is: a stranger's store may name any server,
    which would be shown the user's password, or any file. So the user names it too, or it is the store's own."""
    named = os.environ.get("MLFLOW_TRACKING_URI")
    return spec.tracking.uri in (None, named, named and absolute(named, Path()))


def path_of_file(uri: str) -> Path | None:
    """The path that a ``file:`` address, or a path itself, stands for, its links resolved; None of any other."""
    parts = urlsplit(uri)
    return Path(unquote(parts.path)).resolve() if parts.scheme in ("", "file") and not parts.netloc else None


def masked(text: str) -> str:
    """Without the user and password that an address in it may hold, and without those of the environment."""
    for name in ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"):
        text = text.replace(os.environ.get(name) or "\0", "***")
    text = re.sub(r"://[^/\s]*@", "://***@", text)
    return re.sub(r"([?&](?:password|passwd|token|secret)=)[^&\s]*", r"\1***", text, flags=re.IGNORECASE)


def unreachable(reason: str) -> str:
    """What a user is told where MLflow could not be written to."""
    return f"MLflow could not be written to ({reason}); the next run or report fills in what is missing"
