"""The lock on the test set: closed while a method is built, trains and is scored; its labels stay outside.

It stops a method that reads test images by mistake or in passing. Against one that is written to cheat, the proof is
elsewhere: a trial run again on a machine that has other test images must give the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_depth = 0  # of the process, not of the thread: a method may start threads


class TestSetLocked(Exception):
    """A method asked for test images while it was being built or trained."""

    __test__ = False  # for pytest, which would take the name for a test's


@contextmanager
def locked() -> Iterator[None]:
    """Inside, no pool is loaded and no ``test`` of a pool or split is given out."""
    global _depth  # noqa: PLW0603
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1


def refuse_if_locked(what: str) -> None:
    if _depth:
        raise TestSetLocked(f"the test set is locked while a method is at work, but {what}")


class Guarded:
    """A class whose attribute ``test`` is behind the lock."""

    def __getattribute__(self, name: str) -> Any:
        if name == "test":
            refuse_if_locked("it was asked for")
        return object.__getattribute__(self, name)
