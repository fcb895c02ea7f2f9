"""Stamps: what tells whether the records of a store have changed since they were read.

Of a large store a process of its own looks at them while the command still imports what it needs; so this file imports
nothing that takes long.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import paths

if TYPE_CHECKING:
    import numpy as np

LARGE = 1 << 20  # bytes of the folder of records, on most file systems that of twenty thousand
DIGITS = 20  # of a key
COUNT = 8  # bytes of a number of records
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True)
class Stamps:
    """Finished trials: their ``keys``, packed; what changes when the record of each does, (n, 2), and whether it is
    ``known`` (else only the record itself may be asked)."""

    keys: np.ndarray
    marks: np.ndarray
    known: np.ndarray


def stamped(place: str, suffix: str, length: int) -> tuple[list[str], array[int]]:
    """The files of a local folder.

    Args:
        place: The folder; no link.
        suffix: How their names end.
        length: Of the names without it; no others are of interest.

    Returns:
        The names without the suffix; of each file the bytes and when it was written, one after the other.
    """
    names: list[str] = []
    marks = array("q")
    folder = os.open(place, _FOLDER)
    try:
        with os.scandir(folder) as entries:  # by its number: a path would be followed again for each
            for entry in entries:
                name = entry.name
                if len(name) == length + len(suffix) and name.endswith(suffix):
                    try:
                        about = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:  # it was moved just now
                        continue
                    names.append(name[:length])
                    marks.append(about.st_size)
                    marks.append(about.st_mtime_ns)
    finally:
        os.close(folder)
    return names, marks


class Look:
    """A process that looks at a store: first at all records, then for those that MLflow does not have. Each is told
    once, and None where the process could not tell it."""

    def __init__(self, place: str) -> None:
        command = [sys.executable, "-P", "-m", __name__, place]
        self._process: Any = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)  # noqa: S603
        self._told = False

    def stamps(self) -> tuple[bytes, bytes] | None:
        """The marks and the packed keys, as bytes."""
        if self._told:
            return None
        self._told = True
        number = int.from_bytes(self._process.stdout.read(COUNT), "little")
        marks, keys = (self._process.stdout.read(number * size) for size in (16, DIGITS // 2))
        if number and len(keys) == number * DIGITS // 2:
            return marks, keys
        self.end()
        return None

    def untracked(self) -> bytes | None:
        """The packed keys, as bytes."""
        if not self._told:
            self.stamps()
        if self._process.stdout.closed:
            return None
        with self._process.stdout as answer:
            keys = answer.read()
        return None if self._process.wait() else keys

    def end(self) -> None:
        """Whatever it is at."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


_looks: dict[str, Look] = {}  # by the store's path


def look_at(url: str) -> Look | None:
    """The process that looks at a store; None where there is none."""
    return _looks.get(url)


@contextmanager
def stamps_ahead(places: Iterable[str]) -> Iterator[None]:
    """Inside, another process looks at each large store, and this one may do something else until it asks the store,
    which takes that answer the first time.

    Args:
        places: Of the stores; what is none, or is elsewhere, is left alone.
    """
    begun = []
    for place in places:
        with suppress(OSError, RuntimeError, ValueError):  # whoever opens it says what is wrong
            url = str(Path(place).expanduser().resolve())
            is_large = "://" not in place and Path(url, paths.RECORDS[0]).stat().st_size >= LARGE
            if is_large and url not in _looks:
                _looks[url] = Look(url)
                begun.append(url)
    try:
        yield
    finally:
        for url in begun:
            _looks.pop(url).end()


def _answer(place: str) -> None:
    """Be that process."""
    folder, suffix = paths.RECORDS
    names, marks = stamped(f"{place}/{folder}", suffix, DIGITS)
    digits = "".join(names)
    if not re.fullmatch("[0-9a-f]*", digits):  # of a million one look, unless something else lies among them
        right = [bool(re.fullmatch("[0-9a-f]*", name)) for name in names]
        digits = "".join(compress(names, right))
        marks = array("q", compress(marks, (each for each in right for _ in range(2))))
    del names
    keys = bytes.fromhex(digits)
    for part in ((len(digits) // DIGITS).to_bytes(COUNT, "little"), marks.tobytes(), keys):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
    sys.stdout.buffer.write(_untracked(place, keys))


def _untracked(place: str, keys: bytes) -> bytes:
    """Which of these trials MLflow does not have."""
    import numpy as np

    from ..packed_keys import SIZE, of_files, positions

    name, suffix = paths.TRACKED
    tracked: list[str] = []
    with suppress(FileNotFoundError):
        folder = os.open(f"{place}/{name}", _FOLDER)
        tracked = os.listdir(folder)  # noqa: PTH208  (of a number there is no Path)
        os.close(folder)
    finished = np.frombuffer(keys, np.uint8).reshape(-1, SIZE)
    return finished[positions(finished, of_files(tracked, suffix)) < 0].tobytes()


if __name__ == "__main__":
    _answer(sys.argv[1])
