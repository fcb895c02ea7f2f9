"""Where a user says that MLflow is, as an address that means the same in any folder."""

from __future__ import annotations

import re
from pathlib import Path

_DATABASE = "sqlite:///"


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
