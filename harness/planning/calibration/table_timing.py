"""How long the fit of an estimator takes: measured on random rows, on a part of them where there are many."""

from __future__ import annotations

import math
import time
from contextlib import suppress

import numpy as np
import torch

from ....datasets.split import Images
from ....datasets.tables.columns import Column
from ....methods.recipe import Recipe
from ...spec.schema import Trial
from ...training.learners.contract import Learner
from ...training.learners.table_learners import table_learner

WHOLE = 4000  # rows up to which the whole fit is timed; of more a quarter and an eighth, at least half as many
CATEGORIES = 10  # of a column of random rows


def random_rows(columns: tuple[Column, ...], counts: tuple[int, ...], number: int) -> Images:
    """So many random rows, classes as frequent as ``counts`` and each present, whose numbers tell a little of them.

    Args:
        columns: What the numbers of a row stand for.
        counts: Training rows of each class, in proportion.
        number: The rows to make, 8 of each class at least.
    """
    rng = np.random.default_rng(0)
    y = rng.choice(len(counts), number, p=np.array(counts) / sum(counts))
    y[: 8 * len(counts)] = np.arange(8 * len(counts)) % len(counts)  # a sampler needs neighbours
    x = rng.normal(size=(number, len(columns))) + 2.0 * y[:, None] * rng.normal(size=len(columns))
    for place, column in enumerate(columns):
        if column.kind == "category":
            x[:, place] = rng.integers(0, CATEGORIES, number)
        elif column.kind == "weight":
            x[:, place] = 1.0
    return Images(x, y.astype(np.int64))


def learner_on(
    trial: Trial,
    columns: tuple[Column, ...],
    counts: tuple[int, ...],
    method: Recipe,
    number: int,
    device: torch.device | None = None,
) -> Learner:
    """The trial's learner at its start, on random rows.

    Args:
        trial: The trial.
        columns: Those of its data set.
        counts: Its training rows of each class.
        method: Its recipe.
        number: The rows to make.
        device: Where a network is trained; the CPU if None.

    Raises:
        MethodError: where the method cannot be honoured.
    """
    rows = random_rows(columns, counts, max(number, 8 * len(counts)))
    found = tuple(np.bincount(rows.y, minlength=len(counts)).tolist())
    return table_learner(trial, rows, found, method, device or torch.device("cpu"), columns)


def fit_seconds(trial: Trial, columns: tuple[Column, ...], counts: tuple[int, ...], method: Recipe) -> float:
    """Seconds of the whole fit: as measured, or from two smaller ones, by the power of the rows that they show.

    Args:
        trial: The trial, of an estimator.
        columns: Those of its data set.
        counts: Its training rows of each class.
        method: Its recipe.
    """
    rows = sum(counts)
    if rows <= WHOLE:
        return _seconds(learner_on(trial, columns, counts, method, rows))
    large = max(WHOLE, rows // 4)
    first, second = (_seconds(learner_on(trial, columns, counts, method, n)) for n in (large // 2, large))
    power = min(2.5, max(0.5, math.log2(second / first)))
    return second * (rows / large) ** power


def _seconds(learner: Learner) -> float:
    """Of the fit, or of what it took until the method failed on random rows: a failed trial takes no longer."""
    start = time.perf_counter()
    with suppress(Exception):
        for _ in learner.epochs():
            pass
    return time.perf_counter() - start
