"""The files in which decoded images are kept on a machine: made without a copy, bounded by the disk, and cleared."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np

from .catalog import DataError
from .files import cache
from .rows import Rows

DECODE_SECONDS = 3600.0  # how long another process may take to decode
DECODING = ".decoding-"  # begins the name of a file that is being filled
LEAST_FREE = 2**30  # bytes of the disk that are left to others


def new_array(shape: tuple[int, ...]) -> np.ndarray:
    """An array of bytes to decode images into, in a file that becomes the kept one without another copy. It is gone
    with the array where that does not come.

    Raises:
        DataError: where the disk has not as much space.
    """
    folder, size = cache() / "arrays", int(np.prod(shape, dtype=np.int64))
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    writable = os.access(folder, os.W_OK)
    folder = folder if writable else Path(tempfile.gettempdir())
    for left in folder.glob(f"{DECODING}*.npy"):  # of a process that was killed
        with suppress(OSError):
            if time.time() - left.stat().st_mtime > DECODE_SECONDS:
                left.unlink()
    needed, free = size if writable else 2 * size, shutil.disk_usage(folder).free
    if free - needed < LEAST_FREE:
        raise DataError(
            f"{shape[0]:,} decoded images of {'x'.join(map(str, shape[1:]))} take {needed / 2**30:.1f} GiB, and "
            f"{folder} has {free / 2**30:.1f}: ask for a smaller size, clear what is kept with tailboard data clear, "
            "or set XDG_CACHE_HOME to a larger disk"
        )
    path = folder / f"{DECODING}{uuid.uuid4().hex}.npy"
    array = np.lib.format.open_memmap(path, "w+", np.uint8, shape=shape)
    with path.open("r+b") as file, suppress(AttributeError):  # a hole in a file is a fault where the disk is full
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    weakref.finalize(array, path.unlink, missing_ok=True)
    return array


def is_being_decoded(path: str) -> bool:
    """Whether a file is one of :func:`new_array`'s, and none that images are read from."""
    return Path(path).name.startswith(DECODING)


def kept() -> dict[str, int]:
    """What is kept decoded on this machine, by folder, and its bytes; also of what was never finished."""
    folder = cache() / "arrays"
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return {str(entry): _bytes(entry) for entry in entries if entry.is_dir() or entry.suffix == ".npy"}


def clear(name: str = "") -> dict[str, int]:
    """Remove what is kept decoded: of a data set, or all. A trial that has it open keeps it until it ends; whoever
    needs it next decodes it again.

    Returns:
        What was removed, as of :func:`kept`.

    Raises:
        OSError: where it cannot be removed.
    """
    stem = f"{name.replace(':', '-')}-"
    removed = {path: size for path, size in kept().items() if not name or Path(path).name.startswith(stem)}
    for path in map(Path, removed):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        path.with_suffix(".lock").unlink(missing_ok=True)
    return removed


def save(array: np.ndarray | Rows, path: Path) -> None:
    """Write an array to ``path``: by a new name where it lies in a file of :func:`new_array`'s beside its folder."""
    file = Path(getattr(array, "filename", None) or "")
    if file.name.startswith(DECODING) and file.parent == path.parent.parent:
        array.flush()  # type: ignore[attr-defined]
        file.rename(path)
    else:
        np.save(path, array, allow_pickle=False)


def _bytes(path: Path) -> int:
    files = path.iterdir() if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)
