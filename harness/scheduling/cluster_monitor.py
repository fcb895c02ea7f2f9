"""A driver whose cluster is gone ends by itself. Ray waits a minute for a head that is dead, then aborts the process:
no table, nothing cleared up, and an exit code that says the user was wrong.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psutil

from ..errors import INTERRUPTED
from ..storage.temporary import remove_own

TRY_SECONDS, MISSED = 2.0, 12  # given up after so many tries in vain: 25 to 50 s
UNWIND_SECONDS = 6.0  # for the driver to end by itself

Endpoint = tuple[str, int]


class ClusterMonitor:
    """A context; once told what to ``watch`` it connects there again and again, to the end of the block.

    Where nothing answers for a while, ``tell`` gets a line, ``stopping`` is set and the main thread interrupted; the
    block then ends without an error. But Ray mostly holds the main thread in a question to the dead head: then the
    process ends here, as one that was killed does, but for what it leaves behind.
    """

    def __init__(self, stopping: threading.Event, tell: Callable[[str], None]) -> None:
        self._stopping, self._tell, self._over, self._lost = stopping, tell, threading.Event(), False
        self._leaving = threading.Lock()

    def __enter__(self) -> ClusterMonitor:
        return self

    def __exit__(self, *_: Any) -> bool:
        try:
            with self._leaving:
                self._over.set()
        except KeyboardInterrupt:  # sent just now, to a thread that is on its way out
            if not self._lost:
                raise
            self._over.set()
        return self._lost

    def watch(self, endpoints: Sequence[Endpoint]) -> None:
        """Begin to try the endpoints ``endpoints`` again and again, in a thread of its own."""
        threading.Thread(target=self._work, args=(endpoints,), name="cluster-monitor", daemon=True).start()

    def _work(self, endpoints: Sequence[Endpoint]) -> None:
        missed = 0
        while missed < MISSED:
            if self._over.wait(TRY_SECONDS):
                return
            missed = 0 if all(map(_answers, endpoints)) else missed + 1
        self._lost = True
        self._tell("the cluster is lost: its head, or Ray on this machine, does not answer any more")
        self._stopping.set()
        with self._leaving:  # who has left already is not interrupted
            if not self._over.is_set():
                os.kill(os.getpid(), signal.SIGINT)
        if not self._over.wait(UNWIND_SECONDS):
            self._tell("interrupted; the same command goes on where this one was, once the cluster is there again")
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            remove_own()
            os._exit(INTERRUPTED)


def _answers(endpoint: Endpoint) -> bool:
    try:
        socket.create_connection(endpoint, timeout=TRY_SECONDS).close()
    except OSError:
        return False
    return True
