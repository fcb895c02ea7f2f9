"""What a run has started ends with it, and nothing else does."""

import subprocess

import psutil
import pytest

from tailboard.harness.scheduling import processes
from tailboard.harness.scheduling.processes import terminate_children


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_what_was_started_within_ends_and_what_the_caller_had_is_left_alone(monkeypatch):
    monkeypatch.setattr(processes, "TERMINATION_SECONDS", 0.2)
    earlier, stopped = subprocess.Popen(["sleep", "60"]), []
    with pytest.raises(ValueError, match="of the block"), terminate_children(lambda: stopped.append(True)):
        within = subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True)
        below = int(within.stdout.readline())
        raise ValueError("of the block")
    assert stopped and not is_alive(within.pid) and not is_alive(below) and is_alive(earlier.pid)
    earlier.kill()
    earlier.wait()
