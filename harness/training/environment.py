"""What changes the bits of a trial and is not in its key: recorded beside it."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("tailboard", "torch", "torchvision", "numpy", "ray", "optuna", "mlflow")


@cache
def commit() -> str:
    """The git commit of this installation, ``+changes`` behind it where files differ; empty outside a checkout."""
    folder = Path(__file__).parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603, S607

    try:
        git("ls-files", "--error-unmatch", "environment.py")  # else the checkout is another project's
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


@cache
def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def environment(device: torch.device, libraries: Iterable[str] = ()) -> dict[str, Any]:
    """Versions, commit and hardware; no host name, no user, no path. ``libraries`` are packages that the trial needs
    beside those of every trial."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: version(name) for name in (*PACKAGES, *libraries)},
        "commit": commit(),
        "processor": _processor(),
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": device.type,
    }
    if device.type == "cuda":
        facts |= {"gpu": torch.cuda.get_device_name(device), "cuda": torch.version.cuda}
    return facts
