"""Shot groups: the classes with few, some and many training images, and the mean accuracies of each group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import fsum
from typing import NamedTuple

from ...datasets.longtail import shots, terciles
from ...leaderboard.metric import GROUPS
from ..spec.schema import Shots
from ..storage.record import TrialResult


@lru_cache(maxsize=1024)
def class_groups(counts: tuple[int, ...], by: Shots) -> tuple[str, ...]:
    """The shot group of each class.

    Args:
        counts: (C,), its training images.
        by: The boundaries of few and many.

    Returns:
        (C,), of few, med and many.
    """
    return terciles(counts) if by.by == "tercile" else shots(counts, by.few, by.many)


@lru_cache(maxsize=1024)
def class_members(counts: tuple[int, ...], by: Shots) -> dict[str, tuple[int, ...]]:
    """The classes of each shot group.

    Args:
        counts: (C,), the training images of each class.
        by: The boundaries of few and many.

    Returns:
        The labels by group, ``all`` among them.
    """
    groups = class_groups(counts, by)
    members = {name: tuple(c for c, group in enumerate(groups) if group == name) for name in GROUPS}
    return members | {"all": tuple(range(len(counts)))}


def mean_of(values: Sequence[float], at: Sequence[int]) -> float:
    """The mean over some classes; the same bits in whatever order they come."""
    return fsum([values[c] for c in at]) / len(at)


def shot_means(record: TrialResult, by: Shots) -> dict[str, float]:
    """Mean per-class accuracy of each shot group.

    Args:
        record: A trial that is complete.
        by: How the classes are grouped.

    Returns:
        In percent, by group, for groups that have classes; ``all`` is balanced accuracy.

    Raises:
        KeyError: where the record holds no accuracies.
    """
    accuracy = record.accuracy["last_ema"]
    return {group: mean_of(accuracy, at) for group, at in class_members(record.counts, by).items() if at}


class Outcome(NamedTuple):
    """How a trial ended: the status of its record and, where that holds accuracies, their means by shot group."""

    status: str
    means: dict[str, float]


def outcome_of(record: TrialResult, by: Shots) -> Outcome:
    """How a trial ended, its classes grouped by ``by``."""
    return Outcome(record.status, shot_means(record, by) if record.status in ("complete", "pruned") else {})
