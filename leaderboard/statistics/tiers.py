"""Tiers: which methods of a column share a rank, since the paired tests cannot separate them from its best.

The best method of a column opens the first tier, which every method shares that is not separable from it by the rule
of `paired` (paired t-test, Holm's correction over the methods of the column). The best of the rest opens the next tier.
So a method is in a tier exactly where `paired` with the tier's first as the reference says "not separable".
"""

import numpy as np
import pandas as pd
from scipy.special import stdtr

from ..metric import ACCURACY, Metric
from ..results import COLUMN, arranged
from .paired import ALPHA, FEWEST_SEEDS, NO_SPREAD, holm_of_rivals, minus


def tiers(rows: pd.DataFrame, metric: Metric = ACCURACY) -> dict[tuple[str, ...], dict[str, int]]:
    """The tier of each method in each column, 1 the first.

    A method that the rule has no word for is in no tier: one with fewer than five seeds, or with a seed failed,
    diverged or missing, or on another copy of the data than the best of its tier. One whose seeds all equal those of a
    tier's first is in that tier.

    Args:
        rows: The tidy table (see `results.check`).
        metric: What the values are, which says whether the largest or the smallest is the best.

    Returns:
        For each column (protocol, dataset, setting, group) the tier of each method that is in one.

    Raises:
        ValueError: if the table is not tidy.
    """
    columns = arranged(rows, metric).groupby(COLUMN, sort=False)
    return {tuple(map(str, column)): _tiers(cells, metric) for column, cells in columns}  # pyright: ignore[reportGeneralTypeIssues]


def _tiers(cells: pd.DataFrame, metric: Metric) -> dict[str, int]:
    """The tiers of one column."""
    wide = cells.pivot(index="method", columns="seed", values=["value", "verified"])
    values, copies = wide["value"].to_numpy(float), wide["verified"].to_numpy(float)
    complete = (np.isnan(values) == np.isnan(copies)).all(axis=1) & ~np.isnan(values).all(axis=1)
    means = np.nansum(values, axis=1) / np.maximum((~np.isnan(values)).sum(axis=1), 1)
    best_first = np.argsort(-means if metric.larger_is_better else means, kind="stable")
    waiting = [int(place) for place in best_first if complete[place]]
    ranked: dict[str, int] = {}
    tier = 0
    while waiting:
        first, *following = waiting
        tied, separable = _judged(values, copies, complete, first)
        if tier or tied.any() or separable.any():  # a column without any word has no tier
            tier += 1
            ranked |= {str(wide.index[place]): tier for place in (first, *following) if place == first or tied[place]}
        waiting = [place for place in following if separable[place]]
    return ranked


def _judged(values: np.ndarray, copies: np.ndarray, complete: np.ndarray, first: int) -> tuple[np.ndarray, np.ndarray]:
    """Which methods are not separable from the first, and which are; a method may be neither.

    Args:
        values: (methods, seeds), NaN where there is none.
        copies: (methods, seeds), whether a trial ran on a verified copy.
        complete: (methods,), whether every planned seed has a value.
        first: The place of the method that all are compared with.
    """
    differences, n, mean, error = minus(values, first)
    alike = (np.isnan(differences) | (copies == copies[first])).all(axis=1)
    settled = complete & alike & (n >= FEWEST_SEEDS)
    spread = np.where(error > NO_SPREAD, error, np.nan)
    p = np.where(settled, 2 * stdtr(np.maximum(n - 1, 1), -np.abs(mean / spread)), np.nan)
    rivals = np.arange(len(values)) != first
    adjusted = holm_of_rivals(p, first)
    equal = rivals & settled & (np.nanmax(np.abs(np.nan_to_num(differences)), axis=1) <= NO_SPREAD)
    return (adjusted >= ALPHA) | equal, adjusted < ALPHA
