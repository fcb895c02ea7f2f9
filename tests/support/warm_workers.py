"""Ray's workers forked from a process that has imported what they import, which takes several seconds of processor
time in each. They are processes of their own, with their own environment and files, that Ray starts, watches and kills.

The raylet runs this file in place of Ray's own `setup_worker.py`. It asks the fork server for a worker and lives
as long as that: whichever of the two ends, the other does.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import random
import re
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

SETUP = re.compile(r"(\S+/)setup_worker\.py")
CONTEXT = "--serialized-runtime-env-context"
PART = 1 << 20  # bytes of one request, at most


def replace_setup(name: str) -> None:
    """A raylet that this process starts has its workers from the fork server of that name."""
    start = subprocess.Popen.__init__

    def changed(self: Any, words: Any, *args: Any, **others: Any) -> None:
        if isinstance(words, list) and any("--python_worker_command=" in str(word) for word in words):
            words = [SETUP.sub(f"{__file__} {name} \\1setup_worker.py", str(word), count=1)
                     if str(word).startswith("--python_worker_command=") else word for word in words]  # fmt: skip
        start(self, words, *args, **others)

    subprocess.Popen.__init__ = changed  # type: ignore[method-assign]


def start_fork_server(outlives: bool) -> Callable[[], None]:
    """Fork off this process what forks the workers, for the raylet that this process starts.

    Args:
        outlives: Whether it is there when this process is not; else it ends with it.

    Returns:
        What ends it.
    """
    name = f"workers-{uuid.uuid4().hex}"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.bind(f"\0{name}")
    server.listen()
    ours, theirs = socket.socketpair()
    if forked := os.fork():
        server.close()
        theirs.close()
        replace_setup(name)
        return partial(_end, forked, ours)
    try:
        ours.close()
        os.setpgid(0, 0)  # as Ray's processes: what a terminal sends to the driver's group is not for them
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        _serve(server, None if outlives else theirs)
    finally:
        os._exit(0)


def _end(fork_server: int, tie: socket.socket) -> None:
    tie.close()
    with suppress(ChildProcessError):  # its end was seen already
        os.waitpid(fork_server, 0)


def _serve(server: socket.socket, driver: socket.socket | None) -> None:
    """Fork a worker at each request, until there is no driver any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no worker that has ended is waited for
    set_by_imports: dict[str, str] = {}
    watched = [server, *([driver] if driver else [])]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if driver in ready:
            return
        asked, _ = server.accept()
        message, files, _, _ = socket.recv_fds(asked, PART, 3)
        if not message:
            continue
        request = json.loads(message)
        os.environ.clear()
        os.environ.update(set_by_imports | request["environment"])
        import tailboard.harness.scheduling.ray_trials  # with Ray, in the environment that all workers of a raylet have
        import tailboard.harness.scheduling.ray_tune
        import tailboard.harness.scheduling.worker  # noqa: F401

        set_by_imports |= {name: os.environ[name] for name in os.environ.keys() - request["environment"].keys()}
        gc.freeze()  # what collects garbage in the workers need not go through the libraries
        if not os.fork():
            server.close()
            if driver:
                driver.close()
            _become(request, asked, files)
        for number in files:
            os.close(number)
        asked.close()


def _become(request: dict[str, Any], asked: socket.socket, files: list[int]) -> None:
    """The whole life of a worker."""
    status = 1
    try:
        os.setpgid(0, 0)  # the raylet kills the group of each
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number, file in enumerate(files):
            os.dup2(file, number)
            os.close(file)
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, closefd=False)  # noqa: SIM115
            for number, mode in enumerate("rww")
        )
        os.chdir(request["folder"])
        os.setpriority(os.PRIO_PROCESS, 0, request["priority"])
        random.seed()
        sys.argv = request["words"]
        sys.path[0] = os.path.dirname(sys.argv[0])  # noqa: PTH120
        threading.Thread(target=_ends_with, args=(asked,), daemon=True).start()
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _ends_with(other: socket.socket) -> None:
    """Killed once the process that Ray started in its place is gone."""
    with suppress(OSError):
        other.recv(1)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """What the raylet runs: NAME SETUP_WORKER WORKER WORDS..."""
    name, setup, *words = sys.argv[1:]
    context = json.loads(next((word.partition("=")[2] for word in words if word.startswith(CONTEXT)), "{}"))
    variables, python = context.pop("env_vars", {}), context.pop("py_executable", sys.executable)
    environment = dict(os.environ) | variables
    other = python != sys.executable or any(context.values()) or "$" in "".join(variables.values())
    if other or "PYTHONPATH" in environment:  # what a fork cannot give
        os.execv(sys.executable, [sys.executable, setup, *words])  # noqa: S606
    request = {
        "words": [word for word in words if not word.startswith((CONTEXT, "--language="))],
        "environment": environment, "folder": os.getcwd(),  # noqa: PTH109
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PART)
        server.connect(f"\0{name}")
        socket.send_fds(server, [json.dumps(request).encode()], [0, 1, 2])
        with suppress(OSError):
            server.recv(1)


if __name__ == "__main__":
    main()
