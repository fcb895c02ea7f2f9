"""A new database of MLflow's, as a copy of an empty one that is kept in tailboard's cache: MLflow lays out its tables
by each change that they ever went through, which takes seconds of the processor.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ...datasets.files import cache
from ..errors import StoreError
from ..storage.sqlite import make_whole, require_harmless

MOST_BYTES = 8 << 20  # of an empty database, which has less than one MiB


def lay_out(path: Path, version: str, make: Callable[[Path], object]) -> None:
    """Lay out a database, from the cache where it has an empty one.

    Args:
        path: Where nothing is yet.
        version: MLflow's: each has tables of its own.
        make: Has MLflow lay out its tables at the path that it is given.

    Raises:
        What ``make`` raises.
    """
    kept = cache() / "mlflow" / f"empty-{version}.db"
    try:
        if not _is_whole(kept):
            kept.unlink(missing_ok=True)
            make_whole(kept, lambda part: _make_empty(part, make))
        shutil.copyfile(kept, path)
    except (OSError, sqlite3.Error, StoreError):  # nothing can be kept there, or it is another's
        path.unlink(missing_ok=True)
        make(path)


def _is_whole(path: Path) -> bool:
    try:
        if not 0 < path.stat().st_size <= MOST_BYTES:
            return False
        require_harmless(path, str(path))
        with closing(sqlite3.connect(path)) as database:
            return database.execute("pragma quick_check").fetchone() == ("ok",)
    except (OSError, sqlite3.Error, StoreError):
        return False


def _make_empty(path: Path, make: Callable[[Path], object]) -> None:
    """Without the experiment that MLflow begins with, whose files are to lie where it was begun: it is made anew."""
    make(path)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("delete from experiments")
