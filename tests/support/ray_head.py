"""A Ray head on loopback that asks for a token, for drivers that join it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from warm_process import ray_start

# Else the workers of two heads on one machine would be given the same ports.
ANY_PORT = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")


class RayHead:
    """``environment`` is what a driver needs to join.

    Args:
        port: On which nobody listens yet.
        words: More of ``ray start``: what the node has, such as ``--num-cpus=2``.
    """

    def __init__(self, port: int, *words: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
        (self.folder / "token").write_text(secrets.token_hex(32))
        self.environment = {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "RAY_TMPDIR": str(self.folder), "RAY_ADDRESS": f"127.0.0.1:{port}",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # both sides keep to loopback, or they would miss each other
        }  # fmt: skip
        alone = {name: value for name, value in (os.environ | self.environment).items() if name != "RAY_ADDRESS"}
        words = (
            "--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--include-dashboard=false",
            "--disable-usage-stats", "--no-monitor", "--include-log-monitor=false", *ANY_PORT, *words,
        )  # fmt: skip
        process = ray_start(words, str(self.folder), alone)
        self._session = process.pid
        process.join(timeout=120)
        assert process.exitcode == 0

    def close(self) -> None:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[3]) == self._session:
                    os.kill(int(stat.parent.name), signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
