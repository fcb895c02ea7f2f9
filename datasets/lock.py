"""The lock on data sets: closed while a method is built, trains and is scored.

While it is closed no data set is loaded, and no file that one was loaded from, or is kept in, is opened. Test labels
are kept apart: they are opened in another process (``harness/training/scoring_server.py``) and never enter this one.
The lock is for whoever opens them by hand. Against a method that is written to cheat, which may start processes of its
own, the proof is elsewhere: a trial run again on a machine that has other test images must give the same weights.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

_depth = 0  # of the process, not of the thread: a method may start threads
_recording: list[set[str]] = []
_guarded: set[str] = set()
_labels_read = False
_CODE = (".py", ".pyc", ".so")  # opened while loading too, by imports


class TestSetLocked(Exception):
    """A method asked for test images or labels while it was being built, trained or scored."""

    __test__ = False  # for pytest, which would take the name for a test's


@contextmanager
def locked() -> Iterator[None]:
    """Inside, no data set is loaded, and no guarded file opened."""
    global _depth  # noqa: PLW0603
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


@contextmanager
def loading() -> Iterator[set[str]]:
    """Inside, a data set is loaded. The set holds the files that were opened, which are guarded from then on."""
    refuse_if_locked("a data set was loaded")
    note_labels()
    _watch()
    opened: set[str] = set()
    _recording.append(opened)
    try:
        yield opened
    finally:
        _recording.remove(opened)
        guard(opened)


def import_readers() -> None:
    """Import what reads tables. Asked for before :func:`loading`: these imports open files that are no data, such as
    that of a time zone, and what a data set was loaded from is opened by nobody while a method is at work."""
    import pandas as pd  # noqa: F401
    import pyarrow.parquet as pq  # noqa: F401
    import sklearn.model_selection  # noqa: F401


def note_labels() -> None:
    """Labels of a test set are read in this process, and may be in its memory from now on."""
    global _labels_read  # noqa: PLW0603
    _labels_read = True


def has_read_labels() -> bool:
    """Whether labels of a test set may be in this process's memory: it then runs no method."""
    return _labels_read


def guard(files: Iterable[str]) -> None:
    """These files, and those that lie in these folders, are not opened while the lock is closed."""
    _watch()
    _guarded.update(map(os.path.realpath, files))


def refuse_if_locked(what: str) -> None:
    """TestSetLocked while the lock is closed; ``what`` ends its sentence."""
    if _depth:
        raise TestSetLocked(f"the test set is locked while a method is at work, but {what}")


def _watch(hooked: list[Callable] = []) -> None:  # noqa: B006  (a process can have the hook once, and never loses it)
    if not hooked:
        hooked.append(_audit)
        sys.addaudithook(_audit)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    """Called by Python at every ``open``, whoever opens."""
    if event != "open" or not (_depth or _recording) or not isinstance(args[0], (str, bytes, os.PathLike)):
        return
    path = os.path.realpath(os.fsdecode(args[0]))
    if _depth and not _guarded.isdisjoint((path, os.path.dirname(path))):  # noqa: PTH120  (a Path costs more)
        refuse_if_locked(f"the file {path} was opened")
    code = path.endswith(_CODE) or ".dist-info/" in path
    if not code and not path.startswith(("/proc/", "/dev/", "/sys/")):
        for opened in _recording:
            opened.add(path)
