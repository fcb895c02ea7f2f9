"""A temporary folder that is gone after use; where its process was killed, the next run clears up."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A new folder ``tb-PID-...``."""
    folder = Path(tempfile.mkdtemp(prefix=f"tb-{os.getpid()}-"))
    try:
        yield folder
    finally:
        _remove(folder)


def remove_own() -> None:
    """Remove this process's own, which is about to end where it stands."""
    for folder in Path(tempfile.gettempdir()).glob(f"tb-{os.getpid()}-*"):
        _remove(folder)


def remove_stale() -> None:
    """Remove the folders of processes that were killed before they could; another user's stay."""
    living = {entry.name for entry in Path("/proc").glob("[0-9]*")}  # a thread's number is not listed
    if str(os.getpid()) not in living:  # no such listing here: nothing tells which of them live
        return
    for folder in Path(tempfile.gettempdir()).glob("tb-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdecimal() and pid not in living and folder.stat().st_uid == os.getuid():
            _remove(folder)


def _remove(folder: Path) -> None:
    """Ray's agents outlive their driver for a while and may write a log just as its folder is being emptied."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
