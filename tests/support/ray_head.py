"""A Ray head on loopback that asks for a token, for drivers that join it."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

# Else the workers of two heads on one machine would be given the same ports.
ANY_PORT = ("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0")


class RayHead:
    """``environment`` is what a driver needs to join; ``sessions`` leads to all of its processes.

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
        command = [
            Path(sys.executable).with_name("ray"), "start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}",
            "--include-dashboard=false", "--disable-usage-stats", "--no-monitor", "--include-log-monitor=false",
            *ANY_PORT, *words,
        ]  # fmt: skip
        alone = {name: value for name, value in (os.environ | self.environment).items() if name != "RAY_ADDRESS"}
        process = subprocess.Popen(
            command, cwd=self.folder, env=alone, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.session = process.pid
        assert process.wait(timeout=120) == 0

    def close(self) -> None:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                if int(stat.read_text().rpartition(")")[2].split()[3]) == self.session:
                    os.kill(int(stat.parent.name), signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)
