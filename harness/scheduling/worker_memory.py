"""What glibc does with the memory that a step of training frees: it stays with the worker until its trial is over.

A step takes and frees hundreds of megabytes. By default most of them go back to the system each time, which hands them
out again page by page, filled with zeros: a tenth of a step of a ResNet-20 on a CPU. No number depends on it.
"""

from __future__ import annotations

import ctypes

# Read by glibc where a process starts; later is too late for the thread that trains. All threads share one heap, which
# takes all sizes, is not cut back, and lies in large pages where the system has them.
TUNABLES = ":".join([
    "glibc.malloc.arena_max=1",
    "glibc.malloc.mmap_max=0",
    "glibc.malloc.trim_threshold=1099511627776",
    "glibc.malloc.hugetlb=1",
])  # fmt: skip


def give_back() -> None:
    """What is free goes back to the system: the next trial may be small, and another worker's large. Nothing where the
    C library is not glibc."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows
        return
