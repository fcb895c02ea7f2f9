"""Signals and child processes: Ctrl-C, SIGTERM or a terminal that is closed once drains, twice stops; what a run has
started ends with it, and is in no group that such a signal is sent to.
"""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

TERMINATION_SECONDS = 10.0


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does: what was begun is cleared up, and the exit code is
    the same."""

    def receive(number: int, frame: Any) -> None:
        _leave_lost_terminal()
        raise KeyboardInterrupt

    with _handled(receive, signal.SIGTERM, signal.SIGHUP):
        yield


@contextmanager
def _handled(receive: Callable[[int, Any], None], *numbers: signal.Signals) -> Iterator[None]:
    """These signals are received so, but for those that are ignored, as nohup has it."""
    before = {number: signal.getsignal(number) for number in numbers}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in before:
        signal.signal(number, receive)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_lost_terminal() -> None:
    """What is written to a terminal that was closed is an error: from now on it is written nowhere."""
    for number in (0, 1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, number)
                os.close(nowhere)


_apart = False


@contextmanager
def children_apart() -> Iterator[None]:
    """Processes that are forked inside are in groups of their own: what a terminal, ``timeout`` or a batch system sends
    to this process's group is this process's to pass on."""
    global _apart  # noqa: PLW0603
    _apart = True
    try:
        yield
    finally:
        _apart = False


def _forked() -> None:
    if _apart:
        os.setpgid(0, 0)


os.register_at_fork(after_in_child=_forked)


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Ray sets a handler of its own when it starts, which exits with code 1: what it does meanwhile is an interrupt
    too, and it is taken away again.

    Raises:
        KeyboardInterrupt: where Ray has exited by a signal.
    """
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
        _leave_lost_terminal()
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    with _handled(receive, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield


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
