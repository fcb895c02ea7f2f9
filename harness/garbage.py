"""Python's collector of garbage, where it is in the way: it goes through all objects again and again while libraries
are imported, which make hundreds of thousands and no garbage.
"""

from __future__ import annotations

import atexit
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside = 0


@contextmanager
def uncollected() -> Iterator[None]:
    """Inside, no thread collects garbage; blocks of several threads may overlap, and one may stand in another."""
    global _inside  # noqa: PLW0603
    with _lock:
        _inside += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                gc.enable()


def leave_at_exit() -> None:
    """When this process ends, what it has made goes with it, and is not searched for garbage before."""
    atexit.register(gc.freeze)
