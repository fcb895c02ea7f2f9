"""How busy the machine is before something is timed on it; each script that times says it first."""

from __future__ import annotations

import os
import sys


def say_load() -> float:
    """Print the mean number of processes that ran or waited in the last minute, and return it."""
    load = os.getloadavg()[0]
    busy = ": other programs are at work, and only ratios of times say something" if load > 0.5 else ""
    print(f"load before {load:.1f} on {os.cpu_count()} processors{busy}", file=sys.stderr, flush=True)
    return load
