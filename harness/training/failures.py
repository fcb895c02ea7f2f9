"""Failures of a trial: errors that only their messages tell apart, and the record of a trial that was stopped since it
reported no epoch within its time limit.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ...methods.plugin import plugin_line
from ..spec.schema import Trial
from ..storage.record import Record

TIMEOUT_REASON = "TimeLimit: no epoch ended within"  # begins the reason of a trial that was stopped from outside
# torch's own, CUDA's, and what CUDA's libraries say where others have filled the device.
OUT_OF_MEMORY = re.compile("OutOfMemoryError|CUDA.*out of memory|_ALLOC_FAILED")
OF_A_FILE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


def is_out_of_memory(text: str) -> bool:
    """Whether a device had too little memory."""
    return bool(OUT_OF_MEMORY.search(text))


def is_of_a_plugin(error: Exception) -> bool:
    """Whether a method's own file opened a file that is not there, or not for it: no other machine cures that."""
    return isinstance(error, OF_A_FILE) and plugin_line(error) is not None


def timeout_record(trial: Trial, why: str, seconds: float = 0.0, log: str = "") -> Record:
    """The record of a trial that was stopped from outside: its own process wrote none.

    Args:
        trial: What was stopped.
        why: In words.
        seconds: How long it had run.
        log: The stack at which it hung.

    Returns:
        The record, which is not written yet.
    """
    now = datetime.now(UTC)
    return Record(
        key=trial.key,
        trial=trial,
        status="failed",
        reason=why,
        log=log,
        train_seconds=seconds,  # it held its place for so long
        wall_seconds=seconds,
        started=(now - timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        finished=now.isoformat(timespec="seconds"),
    )
