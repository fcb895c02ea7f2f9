"""How far a run is: for each method what is planned, finished, running and failed, and the means so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from ..spec.labels import GROUPS, shot_means
from ..spec.schema import Shots
from ..storage.record import Outcome
from .run_state import Outlook, Row

WELL = ("complete", "pruned")


@dataclass(frozen=True)
class Ended:
    """What is kept of a finished trial; of one that was not read yet only that it is finished."""

    status: str = "complete"
    means: Mapping[str, float] = field(default_factory=dict)  # percent, by shot group


def ended(outcome: Outcome, by: Shots) -> Ended:
    return Ended(outcome.status, shot_means(outcome, by) if outcome.status in WELL else {})


class Scoreboard:
    """What is known of the trials of an outlook: ``ended`` by key, ``running`` the labels of the rows that each running
    trial is for, by key, and ``broken`` what the infrastructure broke once too often."""

    def __init__(self, outlook: Outlook) -> None:
        self.outlook = outlook
        self.ended: dict[str, Ended] = {}
        self.running: dict[str, list[str]] = {}
        self.broken: set[str] = set()

    def facts(self) -> dict[str, Any]:
        """Totals, and a line for each method. ``done`` ended well, ``failed`` did not; the two exclude each other."""
        known = self.outlook.known
        running = Counter(label for labels in self.running.values() for label in labels)
        return {
            "planned": self.outlook.total,
            "done": self._well(known),
            "running": len(self.running),
            "failed": self._failed(known),
            "methods": [
                self._row(row, running[row.label]) for row in self.outlook.rows.values() if row.planned or row.budget
            ],
        }

    def _row(self, row: Row, running: int) -> dict[str, Any]:
        there = [self.ended[key].means for key in row.keys if key in self.ended and self.ended[key].status in WELL]
        means = {}
        for group in GROUPS:
            some = [means_[group] for means_ in there if group in means_]
            if some:
                means[group] = fsum(some) / len(some)
        return {
            "method": row.label,
            "planned": row.planned,
            "done": self._well(row.keys),
            "running": running,
            "failed": self._failed(row.keys | row.tuning),
            "tuning": row.budget,
            "tuned": sum(key in self.ended for key in row.tuning),
            "means": means,
        }

    def _well(self, keys: Iterable[str]) -> int:
        return sum(key in self.ended and self.ended[key].status in WELL for key in keys)

    def _failed(self, keys: Iterable[str]) -> int:
        return sum(self.ended[key].status not in WELL if key in self.ended else key in self.broken for key in keys)
