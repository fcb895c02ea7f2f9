"""SQLite files of a store.

A new file appears whole: a library that is killed while it lays out its tables leaves one that it cannot open. A file
of a remote store is worked on as a local copy, which is written back from time to time and at the end.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, unquote

from .lease import overtaken
from .store import Store
from .temporary import scratch

BACK_SECONDS = 30.0


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


@contextmanager
def copied(store: Store, name: str, write: bool) -> Iterator[Path]:
    """The copy's path; nothing is there yet where the store has no such file.

    What a process that is killed had not written back is lost: nothing may be in it that its owner cannot find again.
    """
    with scratch() as folder:
        copy = folder / name
        if store.has(name):
            copy.write_bytes(store.read(name))
        if not write:
            yield copy
            return
        back = _Back(store, copy)
        try:
            yield copy
        finally:
            back.end()


class _Back:
    """The thread that writes the copy back, wherever it has changed."""

    def __init__(self, store: Store, copy: Path) -> None:
        self._store, self._copy, self._ended = store, copy, threading.Event()
        self._written = copy.read_bytes() if copy.exists() else b""
        self._thread = threading.Thread(target=self._work, name=copy.name, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()
        self._write()

    def _work(self) -> None:
        while not self._ended.wait(BACK_SECONDS):
            try:
                self._write()
            except (OSError, sqlite3.Error) as error:  # the next time, or at the end
                logging.getLogger(__name__).warning("%s could not be written back: %s", self._copy.name, error)

    def _write(self) -> None:
        if not self._copy.exists():
            return
        whole = self._copy.with_suffix(".whole")
        with closing(sqlite3.connect(self._copy)) as here, closing(sqlite3.connect(whole)) as there:
            here.backup(there)  # a transaction may be under way
        data = whole.read_bytes()
        whole.unlink()
        if data != self._written and not overtaken(self._store):
            self._store.write(self._copy.name, data)
            self._written = data
