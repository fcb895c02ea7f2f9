"""A new SQLite file appears whole: killed while it lays out its tables, a library leaves one that it cannot open."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote


def address(path: Path | str) -> str:
    """The database at a path, as SQLAlchemy names it, whatever characters the path has."""
    return f"sqlite:///{quote(str(path), safe='/ :@')}"


def path_of(uri: str) -> Path | None:
    """The file that :func:`address` names; None where a uri names none, or one with options."""
    there = uri.startswith("sqlite:///") and "?" not in uri
    return Path(unquote(uri.removeprefix("sqlite:///"))) if there else None


def make_whole(path: Path, make: Callable[[Path], object]) -> None:
    """``make`` lays out a new database at the path that it is given; ``path`` is that database, if none was there."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        make(part)
        with suppress(FileExistsError):  # another process was first
            path.hardlink_to(part)
    finally:
        part.unlink(missing_ok=True)
