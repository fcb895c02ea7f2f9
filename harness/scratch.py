"""A temporary folder that is gone after use, even where its process was killed: the next one clears up."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch() -> Iterator[Path]:
    """A new folder ``tb-PID-...``."""
    _clear_up()
    folder = Path(tempfile.mkdtemp(prefix=f"tb-{os.getpid()}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_up() -> None:
    """Remove the folders of processes that were killed before they could; another user's stay."""
    if not Path("/proc/self").exists():  # then nothing tells which of them live
        return
    for folder in Path(tempfile.gettempdir()).glob("tb-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            shutil.rmtree(folder, ignore_errors=True)
