"""The lock on the test set: closed while a method is built, trains and is scored; its labels stay outside.

While it is closed no data set is loaded, no file that one was loaded from is opened, and the test images in memory are
sealed: bytes, not arrays. That stops mistakes and whoever looks for test labels in passing. Against a method that is
written to cheat, the proof is elsewhere: a trial run again on a machine that has other test images must give the same
weights.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_depth = 0  # of the process, not of the thread: a method may start threads
_loading = 0
_files: set[str] = set()  # what data sets were loaded from
_CODE = (".py", ".pyc", ".so")  # opened while loading too, by imports


class TestSetLocked(Exception):
    """A method asked for test images while it was being built or trained."""

    __test__ = False  # for pytest, which would take the name for a test's


@contextmanager
def locked() -> Iterator[None]:
    """Inside, no pool is loaded, no ``test`` of a pool or split is given out, and no file of a data set opened."""
    global _depth  # noqa: PLW0603
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


@contextmanager
def loading() -> Iterator[None]:
    """Inside, a data set is loaded: the files that are opened are its own."""
    global _loading  # noqa: PLW0603
    refuse_if_locked("a data set was loaded")
    _watch()
    _loading += 1
    try:
        yield
    finally:
        _loading -= 1


def refuse_if_locked(what: str) -> None:
    if _depth:
        raise TestSetLocked(f"the test set is locked while a method is at work, but {what}")


def _watch(hooked: list[Callable] = []) -> None:  # noqa: B006  (a process can have the hook once, and never loses it)
    if not hooked:
        hooked.append(_audit)
        sys.addaudithook(_audit)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    """Called by Python at every ``open``, whoever opens."""
    if event != "open" or not (_depth or _loading) or not isinstance(args[0], (str, bytes, os.PathLike)):
        return
    path = os.path.realpath(os.fsdecode(args[0]))
    if _loading:
        code = path.endswith(_CODE) or ".dist-info/" in path
        _files.update([] if code or path.startswith(("/proc/", "/dev/", "/sys/")) else [path])
    elif _depth and path in _files:
        refuse_if_locked(f"the file {path} was opened")


class Sealed:
    """Arrays as bytes, so that nobody finds labels who looks through the process's objects."""

    def __init__(self, **arrays: np.ndarray) -> None:
        self._bytes = {name: _bytes(array) for name, array in arrays.items()}

    def open(self) -> dict[str, np.ndarray]:
        """TestSetLocked while a method is at work."""
        refuse_if_locked("it was asked for")
        return {name: np.load(io.BytesIO(data), allow_pickle=False) for name, data in self._bytes.items()}


def _bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
