"""A temporary folder that is gone after use; where its process was killed, the next run clears up."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 36  # characters of a folder's path below which Ray's sockets have names of at most 107 bytes
SHORT = Path("/tmp")  # noqa: S108  (a folder is made in it that nobody else may enter)


@contextmanager
def temporary_folder(short: bool = False) -> Iterator[Path]:
    """A new folder ``tb-PID-...`` that nobody else may enter.

    Args:
        short: Sockets will lie in it: it is made in ``SHORT`` where the folder for temporary files has a long path.
    """
    prefix = f"tb-{os.getpid()}-"
    usual = Path(tempfile.gettempdir())
    too_long = short and len(str(usual / f"{prefix}12345678")) > LONGEST
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=SHORT if too_long else usual))
    try:
        yield folder
    finally:
        _remove(folder)


def _folders(pid: int | str) -> Iterator[Path]:
    """What :func:`temporary_folder` may have made in processes of this number."""
    for place in {Path(tempfile.gettempdir()), SHORT}:
        yield from place.glob(f"tb-{pid}-*")


def remove_own() -> None:
    """Remove this process's own, which is about to end where it stands."""
    for folder in _folders(os.getpid()):
        _remove(folder)


def remove_stale() -> None:
    """Remove the folders of processes that were killed before they could; another user's stay."""
    living = {entry.name for entry in Path("/proc").glob("[0-9]*")}  # a thread's number is not listed
    if str(os.getpid()) not in living:  # no such listing here: nothing tells which of them live
        return
    for folder in _folders("*"):
        pid = folder.name.split("-")[1]
        if pid.isdecimal() and pid not in living and folder.lstat().st_uid == os.getuid():
            _remove(folder)


def _remove(folder: Path) -> None:
    """Ray's agents outlive their driver for a while and may write a log just as its folder is being emptied."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
