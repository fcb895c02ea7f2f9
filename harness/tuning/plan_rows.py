"""The rows of a plan: what each is, its search, and why it is not tried.

It imports nothing heavy, since reports ask it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..registry.limits import why_not_tried
from ..spec.schema import Experiment, Spec, Trial, experiments

Found = TypeVar("Found")


@dataclass(frozen=True)
class PlanRow(Generic[Found]):
    """A row of a plan.

    Args:
        experiment: What it is but for its seeds.
        first: Its trial of the first seed, at the spec's own values.
        seeds: Of its trials.
        found: Its search, or what that has come to; None where it has none.
        not_tried: Why it is not tried; nothing where it is.
    """

    experiment: Experiment
    first: Trial
    seeds: tuple[int, ...]
    found: Found | None
    not_tried: str

    @property
    def trials(self) -> list[Trial]:
        """Its trials, at the spec's own values."""
        return [self.first, *(self.experiment.trial(seed) for seed in self.seeds[1:])]


def plan_rows(spec: Spec, found: Mapping[str, Found]) -> Iterator[PlanRow[Found]]:
    """Every row of a spec, in the spec's order.

    Args:
        spec: The plan.
        found: Its searches, or what they have come to, by the canonical text of their rows.
    """
    for row in experiments(spec):
        first = row.trial(spec.seeds[0])
        searched = found.get(row.canonical) if found else None  # of many rows the text is not made in vain
        yield PlanRow(row, first, spec.seeds, searched, why_not_tried(first))
