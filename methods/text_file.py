"""The text of a file that a user names. It is a stranger's as often as not: a pipe is not waited for, and a device or a
huge file is not read into memory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

LARGEST = 1 << 20  # bytes: no spec, plugin or list of shares comes near


def read_text(path: Path, largest: int = LARGEST) -> str:
    """The text of a regular file.

    Args:
        path: The file.
        largest: The most bytes that it may have.

    Returns:
        Its text, without the byte order mark that some editors write.

    Raises:
        OSError: where it cannot be read, is no regular file or is larger. UnicodeDecodeError where it is not UTF-8.
        ValueError: where the path holds a character that no path has.
    """
    number = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError("it is no file but a folder, a pipe or a device")
        with os.fdopen(number, "rb", closefd=False) as file:
            data = file.read(largest + 1)
    finally:
        os.close(number)
    if len(data) > largest:
        raise OSError(f"it is larger than {largest >> 10} KiB")
    return data.decode("utf-8-sig")
