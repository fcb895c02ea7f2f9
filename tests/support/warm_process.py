"""`tailboard` processes that are forked from one that has imported its libraries already.

Each is a process of its own, with its own session, environment and pipes, that is signalled and killed like any other;
only the imports, which take several seconds of processor time, are made once. Ray is not among them, since it reads
the environment when it is imported.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from warm_workers import start_fork_server

LIBRARIES = (
    "scipy.stats", "mlflow.entities", "mlflow.store.tracking.sqlalchemy_store",
    "tailboard.harness.cli.app", "tailboard.harness.driver", "tailboard.harness.api",
    "tailboard.harness.tuning.optuna_study", "tailboard.harness.training.trial",
    "torch._dynamo",  # by what counts a network's operations
)  # fmt: skip
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(list(LIBRARIES))


def ray_start(words: Sequence[str], folder: str, environment: Mapping[str, str]) -> multiprocessing.process.BaseProcess:
    """``ray start WORDS``, in a session of its own; it says nothing, and its workers are forked too."""
    nothing = (os.devnull, os.devnull)
    process = FORKS.Process(target=_main, args=(["ray", "start", *words], folder, dict(environment), nothing))
    process.start()
    return process


def take_environment(environment: Mapping[str, str]) -> None:
    """This process has it, and nothing else: the fork server's is that of the first test."""
    os.environ.clear()
    os.environ.update(environment)


def _main(words: Sequence[str], folder: str, environment: Mapping[str, str], pipes: Sequence[str]) -> None:
    """The whole life of such a process."""
    os.setsid()
    gc.freeze()  # what collects garbage need not go through the libraries
    for number, pipe in enumerate(pipes, start=1):
        file = os.open(pipe, os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (  # those of before know whether their files could be sought in
        open(number, "w", encoding="utf-8", errors=errors, buffering=1, closefd=False)  # noqa: SIM115
        for number, errors in ((1, "strict"), (2, "backslashreplace"))
    )
    take_environment(environment)
    os.chdir(folder)
    tempfile.tempdir = None  # what it was in the environment before
    sys.argv = list(words)
    head = sys.argv[0] == "ray"
    end_fork_server = (lambda: None) if "RAY_ADDRESS" in environment else start_fork_server(outlives=head)
    try:
        if sys.argv[0].endswith(".py"):
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            _command(sys.argv[0])()
    finally:
        atexit._run_exitfuncs()  # a forked process of multiprocessing's would end without
        if not head:
            end_fork_server()


def _command(program: str) -> Callable[[], None]:
    if program == "ray":
        from ray.scripts.scripts import main
    else:
        from tailboard.harness.cli.app import main
    return main


class WarmProcess:
    """``tailboard WORDS``, or ``SCRIPT.py WORDS``, with what the tests use of ``subprocess.Popen``; its output is text
    from pipes."""

    def __init__(self, words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.args = list(words)
        with tempfile.TemporaryDirectory() as place:
            pipes = [f"{place}/{name}" for name in ("out", "err")]
            for pipe in pipes:
                os.mkfifo(pipe)
            self._process = FORKS.Process(target=_main, args=(self.args, str(folder), dict(environment), pipes))
            self._process.start()
            self.stdout, self.stderr = (open(pipe) for pipe in pipes)  # noqa: SIM115, PTH123
        self.pid: int = self._process.pid  # type: ignore[assignment]

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self._process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that is still to be read of both pipes, once the process has ended."""
        said = ["", ""]

        def read(number: int, pipe: IO[str]) -> None:
            said[number] = pipe.read()

        readers = [
            threading.Thread(target=read, args=each, daemon=True) for each in enumerate((self.stdout, self.stderr))
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return said[0], said[1]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)
