"""SQLite files of a store.

A new file appears whole: a library that is killed while it lays out its tables leaves one that it cannot open. What
somebody else may have made is not opened where it lies, since SQLite rolls back what a journal beside it says, and
deletes the file that the journal names: it is worked on as a copy, which is written back from time to time and at the
end. MLflow's is too large for that; it is opened where nothing beside it or in it can do harm.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import stat
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from ..errors import StoreError
from .lease import overtaken
from .store import Store
from .temporary import temporary_folder

BACK_SECONDS, LOCAL_BACK_SECONDS = 30.0, 2.0
BESIDE = ("-journal", "-wal", "-shm")
_NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")  # ends a journal that names another file, to be deleted with it
# What computes without bound when a table is read or written: views, virtual tables, triggers but for those that only
# refuse, columns that call functions.
_COMPUTES = re.compile(
    r"create\s+(temp\w*\s+)?(view|virtual)\b|\bas\s*\([^)]*\(|create\s+(temp\w*\s+)?trigger\b"
    r"(?!.*\bbegin\s+select\s+raise\s*\(\s*abort\s*,\s*'[^']*'\s*\)\s*;\s*end\s*$)",
    re.IGNORECASE | re.DOTALL,
)


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


def require_harmless(path: Path, name: str) -> None:
    """Refuse a database of which nobody knows who made it where it would do harm outside of itself, or compute for
    ever. It is not opened for that: no journal is looked at, and nothing written.

    Args:
        path: The file.
        name: What it is called in the error.

    Raises:
        StoreError: with what is wrong.
    """
    for beside in (path.with_name(path.name + ending) for ending in BESIDE):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(beside.lstat().st_mode) or beside.read_bytes().endswith(_NAMES_ANOTHER):
                raise StoreError(f"{name} is not opened: {beside.name} beside it leads to another file; move it away")
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as database:
            texts = [str(text) for (text,) in database.execute("select sql from sqlite_schema where sql is not null")]
    except sqlite3.Error as error:
        raise StoreError(f"{name} cannot be read: {error}") from error
    if found := next(filter(_COMPUTES.search, texts), ""):
        raise StoreError(f"{name} is not opened: it holds {' '.join(found.split())[:60]!r}, which no run of ours makes")


@contextmanager
def local_copy(store: Store, name: str, write: bool) -> Iterator[Path]:
    """A database of the store as a file on this machine. What a process that is killed had not written back is lost:
    nothing may be in it that its owner cannot find again.

    Args:
        store: Where it is kept.
        name: Its path there.
        write: Whether it is written back.

    Returns:
        A context with the copy's path; nothing is there yet where the store has no such file.
    """
    with temporary_folder() as folder:
        copy = folder / name
        if store.has(name):
            copy.write_bytes(store.read(name))
            require_harmless(copy, f"{store}/{name}")
        if not write:
            yield copy
            return
        back = _WriteBack(store, copy)
        try:
            yield copy
        finally:
            back.end()


class _WriteBack:
    """The thread that writes the copy back, wherever it has changed."""

    def __init__(self, store: Store, copy: Path) -> None:
        self._store, self._copy, self._ended = store, copy, threading.Event()
        self._seconds = LOCAL_BACK_SECONDS if store.local else BACK_SECONDS
        self._written = self._whole()
        self._thread = threading.Thread(target=self._work, name=copy.name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self._write()

    def _work(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self._write()
            except (OSError, sqlite3.Error) as error:  # the next time, or at the end
                logging.getLogger(__name__).warning("%s could not be written back: %s", self._copy.name, error)

    def _write(self) -> None:
        data = self._whole()
        if data != self._written and not overtaken(self._store):
            self._store.write(self._copy.name, data)
            self._written = data

    def _whole(self) -> bytes:
        """What is committed; nothing where there is no file yet."""
        if not self._copy.exists():
            return b""
        whole = self._copy.with_suffix(".whole")
        with closing(sqlite3.connect(self._copy)) as here, closing(sqlite3.connect(whole)) as there:
            here.backup(there)  # a transaction may be under way
        data = whole.read_bytes()
        whole.unlink()
        return data
