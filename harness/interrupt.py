"""Ctrl-C and SIGTERM, which a cluster's scheduler sends before it takes the machine back: once drains, twice stops."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def drained_by_signals(stopping: threading.Event) -> Iterator[None]:
    """The first signal sets ``stopping``, the second raises KeyboardInterrupt."""

    def receive(number: int, frame: Any) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    before = {number: signal.signal(number, receive) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
