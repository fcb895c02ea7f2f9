"""Signals and child processes: Ctrl-C or SIGTERM once drains, twice stops; what a run has started ends with it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

TERMINATION_SECONDS = 10.0


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as Ctrl-C does: what was begun is cleared up, and the exit code is the same."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Ray sets a handler of its own when it starts, which exits with code 1: what it does meanwhile is an interrupt
    too, and it is taken away again."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


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


@contextmanager
def terminate_children(stop: Callable[[], None]) -> Iterator[None]:
    """After the block, and an error in it, ``stop`` is called; what was started within the block has ended then.

    What the caller's process had started before, such as a notebook's own workers, is left alone.
    """
    before = set(psutil.Process().children())
    try:
        yield
    finally:
        started = [child for child in psutil.Process().children() if child not in before]
        family = [*started, *_descendants(started)]  # asked before: an orphan has another parent
        try:
            stop()
        finally:
            _, alive = psutil.wait_procs(family, timeout=TERMINATION_SECONDS)
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(alive, timeout=TERMINATION_SECONDS)


def _descendants(processes: Iterable[psutil.Process]) -> Iterator[psutil.Process]:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            yield from process.children(recursive=True)
