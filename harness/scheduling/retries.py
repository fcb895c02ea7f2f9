"""What the infrastructure broke is tried again: so many times, after a pause that doubles.

Where a device's memory ran out beside other trials, the next try gets twice the share of it, up to all of it; alone on
its device it is the trial's own fault, and its record says so (see ``training/trial.py``).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ..spec.schema import Resources
from ..training.failures import is_out_of_memory
from .queue import Job

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds


@dataclass
class Retries:
    """How often each job has failed, and the share of a GPU that trials of its kind need."""

    resources: Resources
    _failures: Counter[str] = field(default_factory=Counter)
    _shares: dict[tuple[str, str, int], float] = field(default_factory=dict)

    def share(self, job: Job) -> float:
        """The part of a GPU that the job gets now; 0 where trials run on the CPU."""
        return self._shares.get(_kind(job), self.resources.gpu)

    def pause(self, job: Job, reason: str, share: float) -> float | None:
        """The seconds to wait before the job is tried again, ``share`` being what it had; None where it has failed too
        often."""
        if is_out_of_memory(reason) and 0 < share < 1:
            self._shares[_kind(job)] = max(self.share(job), min(1.0, 2 * share))
            return 0.0
        self._failures[job.id] += 1
        if self._failures[job.id] > self.resources.retries:
            return None
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self._failures[job.id] - 1, 10))


def _kind(job: Job) -> tuple[str, str, int]:
    """What memory depends on."""
    return job.trial.network, job.trial.method.name, job.trial.training.batch_size


def reason(error_file: str | None) -> str:
    """What a failed attempt died of, in one line, from the file in which Tune has just written its traceback; there is
    none of a worker that was killed."""
    try:
        lines = Path(error_file or "").read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    told = [line.strip() for line in lines if re.match(r"\s*[\w.]+(Error|Exception|Drained)\b", line)]
    if told and "ActorDied" not in told[-1] and "ray.exceptions" not in told[-1]:
        return told[-1]
    return "a worker died"
