"""What Python and the C library do with memory, where that costs time: the collector of garbage while libraries are
imported and while a large table is made, and glibc while a worker trains.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Read by glibc where a process starts; later is too late for the thread that trains. A step takes and frees hundreds of
# megabytes, which by default go back to the system each time, and are handed out again page by page, filled with zeros:
# some percent of a step of a ResNet-20 on a CPU. With these they stay with the worker until its trial is over: all
# threads share one heap, which takes all sizes, is not cut back, and lies in large pages where the system has them. No
# number depends on it.
TUNABLES = ":".join([
    "glibc.malloc.arena_max=1",
    "glibc.malloc.mmap_max=0",
    "glibc.malloc.trim_threshold=1099511627776",
    "glibc.malloc.hugetlb=1",
])  # fmt: skip

_lock = threading.Lock()
_inside, _collecting = 0, True


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside, no thread collects garbage: it would go through all objects again and again while libraries are imported
    or records are read, which make hundreds of thousands and no garbage. Blocks of several threads may overlap, and one
    may stand in another; who has switched the collector off himself finds it so."""
    global _inside, _collecting  # noqa: PLW0603
    with _lock:
        _collecting = _collecting if _inside else gc.isenabled()
        _inside += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside and _collecting:
                gc.enable()


def leave_at_exit() -> None:
    """When this process ends, what it has made goes with it, and is not searched for garbage before."""
    atexit.register(gc.freeze)


def give_back() -> None:
    """What is free goes back to the system, and of a GPU to the other trials on it: the next trial may be small, and
    another worker's large. Nothing of the main memory where the C library is not glibc."""
    cuda = sys.modules.get("torch.cuda")
    if cuda and cuda.is_initialized():
        gc.collect()  # a method that refers to itself would stay, with the images that it has, until some later one
        cuda.empty_cache()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows
        return


def without_tunables() -> dict[str, str]:
    """The environment for a process that a worker starts: it never gives memory back, so it goes without these."""
    return {name: value for name, value in os.environ.items() if (name, value) != ("GLIBC_TUNABLES", TUNABLES)}
