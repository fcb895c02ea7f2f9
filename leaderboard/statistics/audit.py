"""Ranks with ties, intervals and corrected tests for results of any origin: a value for each method and seed, or item.

The rule is that of `paired` and `tiers`: methods are compared unit by unit, a paired t-test, Holm's correction over the
methods of a data set. Items that are right or wrong (0 or 1) are tested by McNemar's exact test, since the t-test finds
too much where few items differ.
"""

from difflib import get_close_matches

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from .paired import ALPHA, FEWEST_SEEDS, NO_SPREAD, holm_of_rivals, minus

FEWEST_ITEMS = 30  # of the t-test on single items, whose values are far from normal
MCNEMAR, PAIRED_T = "McNemar, exact", "paired t"


def audit(results: pd.DataFrame, larger_is_better: bool = True, versus: str | None = None) -> pd.DataFrame:
    """What the results allow to be said of each method on each data set.

    Args:
        results: Columns `dataset`, `method`, `unit` and `value`; `attrs["unit"]` is `seed` or `item`.
        larger_is_better: Which way is better.
        versus: The method that all are compared with; the best of each data set if None.

    Returns:
        A row for each data set and method, the best mean first: `n` units of `planned`, `mean`, `stderr`, `ci95_low`
        and `ci95_high` (Student's t), `rank` (methods that the tests do not separate from the best of them share it;
        NaN where no word is due), `versus`, `difference` from it with `difference_low` and `difference_high`, `p`,
        `p_holm`, the `verdict` (better, worse, not separable, or nothing) and `test`.

    Raises:
        ValueError: where a data set does not have the method to compare with.
    """
    tables = []
    for dataset, some in results.groupby("dataset", sort=False):
        wide = some.pivot(index="method", columns="unit", values="value")
        wide = wide.reindex(some["method"].unique())
        if versus is not None and versus not in wide.index:
            names = list(map(str, wide.index))
            near = get_close_matches(versus, names, n=1, cutoff=0)
            raise ValueError(f"{dataset} has no method {versus!r}; nearest of its {len(names)} is {near[0]!r}")
        tables.append(_audited(wide, results.attrs["unit"], larger_is_better, versus).assign(dataset=dataset))
    table = pd.concat(tables, ignore_index=True)
    return table[["dataset", *table.columns.drop("dataset")]]


def _audited(wide: pd.DataFrame, unit: str, larger_is_better: bool, versus: str | None) -> pd.DataFrame:
    """One data set's rows."""
    values = wide.to_numpy(float)
    n = (~np.isnan(values)).sum(axis=1)
    mean = np.nanmean(values, axis=1)
    best_first = np.argsort(-mean if larger_is_better else mean, kind="stable")
    values, n, mean, names = values[best_first], n[best_first], mean[best_first], wide.index[best_first]
    exact = unit == "item" and bool(np.isin(values[~np.isnan(values)], (0, 1)).all())
    fewest = 1 if exact else FEWEST_ITEMS if unit == "item" else FEWEST_SEEDS
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.nansum((values - mean[:, None]) ** 2, axis=1) / (n - 1)
        error = np.sqrt(np.where(n > 1, deviation, np.nan) / n)
    half = stdtrit(np.maximum(n - 1, 1), 1 - ALPHA / 2) * error
    reference = 0 if versus is None else list(names).index(versus)
    compared = _compared(values, reference, exact, fewest)
    better = (compared["difference"] > 0) == larger_is_better
    separable = compared["p_holm"] < ALPHA
    words = np.where(separable, np.where(better, "better", "worse"), np.where(compared["same"], "not separable", ""))
    table = pd.DataFrame({"method": names, "n": n, "planned": values.shape[1], "mean": mean, "stderr": error})
    table = table.assign(ci95_low=mean - half, ci95_high=mean + half, rank=_ranks(values, exact, fewest))
    table = pd.concat([table.assign(versus=names[reference]), compared.drop(columns="same")], axis=1)
    return table.assign(verdict=words, test=MCNEMAR if exact else PAIRED_T)


def _compared(values: np.ndarray, reference: int, exact: bool, fewest: int) -> pd.DataFrame:
    """All methods minus one, over the units that both have.

    Args:
        values: (methods, units), NaN where there is none.
        reference: The place of the method that all are compared with.
        exact: Whether the values are 0 and 1, and McNemar's test is due.
        fewest: With fewer units no word is said.
    """
    from scipy.stats import binom

    differences, n, mean, error = minus(values, reference)
    size = np.nanmax(np.abs(values), axis=1, initial=0.0)
    none = NO_SPREAD / 100 * np.maximum(size, size[reference])  # of each pair: what is audited may have any unit
    spread = np.where((error > none) & (n > 1), error, np.nan)
    freedom = np.maximum(n - 1, 1)
    half = stdtrit(freedom, 1 - ALPHA / 2) * spread
    if exact:
        won, lost = (differences > 0).sum(axis=1), (differences < 0).sum(axis=1)
        p = np.minimum(2 * binom.cdf(np.minimum(won, lost), won + lost, 0.5), 1.0)
    else:
        p = 2 * stdtr(freedom, -np.abs(mean / spread))
    rivals = np.arange(len(values)) != reference
    settled = rivals & ~np.isnan(values).any(axis=1) & ~np.isnan(values[reference]).any() & (n >= fewest)
    p = np.where(settled, p, np.nan)
    adjusted = holm_of_rivals(p, reference)
    equal = settled & (np.nan_to_num(np.abs(differences)).max(axis=1) <= none)
    shown = np.where(rivals, mean, np.nan)
    return pd.DataFrame(
        {
            "difference": shown, "difference_low": shown - half, "difference_high": shown + half,
            "p": p, "p_holm": adjusted, "same": (adjusted >= ALPHA) | equal,
        }
    )  # fmt: skip


def _ranks(values: np.ndarray, exact: bool, fewest: int) -> np.ndarray:
    """The rank of each method, the best mean first: one plus how many stand in a better tier."""
    ranks = np.full(len(values), np.nan)
    waiting = np.flatnonzero(~np.isnan(values).any(axis=1)) if values.shape[1] >= fewest else np.array([], dtype=int)
    while len(waiting):
        first = waiting[0]
        compared = _compared(values, int(first), exact, fewest)
        same, separable = compared["same"].to_numpy(), (compared["p_holm"] < ALPHA).to_numpy()
        tier = [place for place in waiting if place == first or same[place]]
        ranks[tier] = 1 + np.sum(~np.isnan(ranks))
        waiting = np.array([place for place in waiting if separable[place] and place not in tier], dtype=int)
    return ranks
