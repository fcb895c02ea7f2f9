"""The processes that a sweep starts end with it: Ray lets go of its workers and does not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

PATIENCE_SECONDS = 10.0


@contextmanager
def ends_with_us(stop: Callable[[], None]) -> Iterator[None]:
    """After the block, and an error in it, ``stop`` is called; whatever descends from this process has ended then."""
    try:
        yield
    finally:
        family = psutil.Process().children(recursive=True)  # asked before: an orphan has another parent
        try:
            stop()
        finally:
            _, alive = psutil.wait_procs(family, timeout=PATIENCE_SECONDS)
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(alive, timeout=PATIENCE_SECONDS)
