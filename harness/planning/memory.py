"""How much memory a trial needs at most: of its GPU, or where it has none of the machine."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from dataclasses import dataclass
from math import floor
from pathlib import Path

import torch

MARGIN = 1.15  # between trials of one kind, and for what cannot be seen from here
GIB = 2**30
MOST = 30  # trials on a device: beyond, their processes are what takes it


class Peak:
    """The most memory since it was made, in bytes. On the CPU that of the whole process, torch and all."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        elif Path("/proc/self/clear_refs").exists():
            with suppress(OSError):  # a container may forbid it
                Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (man 5 proc)

    def bytes(self) -> int:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device) + self._context()
        for line in _status():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # no Linux: since the process began
        return most if sys.platform == "darwin" else most * 1024

    def _context(self) -> int:
        """What the process holds of the GPU beside tensors: CUDA itself. Right where nobody else uses it."""
        free, total = torch.cuda.mem_get_info(self._device)
        return max(0, total - free - torch.cuda.memory_reserved(self._device))


def _status() -> list[str]:
    try:
        return Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return []


@dataclass(frozen=True)
class Fit:
    """How many trials share a device of ``total`` bytes when each needs ``peak``, and the fraction to ask for."""

    peak: int
    total: int

    @property
    def trials(self) -> int:
        return min(MOST, floor(self.total / (self.peak * MARGIN)))

    @property
    def fraction(self) -> float:
        """Rounded down, so that as many as fit are placed; 1 where not even one does."""
        return floor(10_000 / max(1, self.trials)) / 10_000


def total(device: torch.device) -> int:
    """Bytes of the GPU."""
    return torch.cuda.get_device_properties(device).total_memory
