"""What a bundle says of itself, made anew from what is in it whenever it is checked."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Literal

from ..planning.reported import reported_trials
from ..spec.canonical import CanonicalModel
from ..spec.schema import Spec
from ..storage.reader import StoreReader
from ..storage.record import Record
from ..tuning.results import search_results


class Manifest(CanonicalModel, frozen=True):
    """``plans``: the keys of each plan's reported trials, at the values found. ``environments`` and ``code`` (git
    commits, ``+changes`` behind those whose files differed): how many records came of each. ``files``: SHA-256."""

    format: Literal["tailboard bundle 1"] = "tailboard bundle 1"
    plans: dict[str, tuple[str, ...]]
    environments: tuple[dict[str, Any], ...]
    code: dict[str, int]
    files: dict[str, str]


class EnvironmentCounts:
    """Where the records came from, counted as they are read."""

    def __init__(self) -> None:
        self._found: Counter[str] = Counter()

    def add(self, record: Record) -> None:
        """Count the environment of a record."""
        self._found[json.dumps(record.environment, sort_keys=True)] += 1

    @property
    def environments(self) -> tuple[dict[str, Any], ...]:
        """Each environment with the number of its ``records``, in a fixed order."""
        return tuple(json.loads(text) | {"records": count} for text, count in sorted(self._found.items()))

    @property
    def code(self) -> dict[str, int]:
        """The number of records by the commit that made them, ``unknown`` where none is recorded."""
        counts: Counter[str] = Counter()
        for about in self.environments:
            counts[str(about.get("commit") or "unknown")] += about["records"]
        return dict(sorted(counts.items()))


def keys(spec: Spec, store: StoreReader) -> tuple[str, ...]:
    """The trials that the report of a plan shows.

    Args:
        spec: The plan.
        store: A store or a bundle.

    Returns:
        Their keys in its order; of those at the spec's own values where there are no others yet.
    """
    return tuple(
        dict.fromkeys(
            reported.trial.key for reported in reported_trials(spec, search_results(spec, store, importance=False))
        )
    )
