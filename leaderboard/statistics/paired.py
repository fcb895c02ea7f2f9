"""Paired differences between methods, and the only rule by which one is called better than another.

One seed fixes the subset, the split, the order and the initialisation for every method, so methods are compared
seed by seed (a paired t-test), and Holm's correction covers all methods of a column. With few seeds the usual
rank tests cannot help: at n = 5 the smallest two-sided p of Wilcoxon's signed-rank test is 2/32 = 0.0625.
"""

from difflib import get_close_matches
from functools import cache

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from ..metric import ACCURACY, Metric
from ..results import CELL, COLUMN, arranged, summarise

ALPHA = 0.05
POWER = 0.80
FEWEST_SEEDS = 5  # below this no word is said
NO_SPREAD = 1e-9  # percent; differences that vary less than this carry rounding error, not seeds


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p-values, in the order given.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979) 65-70.
    """
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    steps = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def holm_of_rivals(p: np.ndarray, reference: int) -> np.ndarray:
    """Holm's p-values of all methods but the reference; NaN where ``p`` is, which keeps its place in the family."""
    adjusted = np.full(len(p), np.nan)
    rivals = np.arange(len(p)) != reference
    adjusted[rivals] = holm(np.where(np.isnan(p), 1.0, p)[rivals])
    return np.where(np.isnan(p), np.nan, adjusted)


def minus(values: np.ndarray, reference: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All methods minus one, over the units that both have: the differences, and of each method how many there are,
    their mean and its standard error.

    Args:
        values: (methods, units), NaN where there is none.
        reference: The place of the one.
    """
    differences = values - values[reference]
    n = (~np.isnan(differences)).sum(axis=1)
    mean = np.nansum(differences, axis=1) / np.maximum(n, 1)
    squares = np.nansum((differences - mean[:, None]) ** 2, axis=1)
    return differences, n, mean, np.sqrt(squares / np.maximum(n - 1, 1) / np.maximum(n, 1))


@cache
def detectable(n: int, comparisons: int = 1) -> float:
    """The smallest true difference that n paired seeds would have shown, in standard errors of the difference.

    It is the shift at which a two-sided paired t-test at level `ALPHA / comparisons` (Holm's hardest step) has
    power `POWER`, exactly, by the noncentral t distribution (squared: F) with n - 1 degrees of freedom.
    """
    from scipy.optimize import brentq
    from scipy.stats import ncf

    critical = stdtrit(n - 1, 1 - ALPHA / comparisons / 2)

    def surplus(shift: float) -> float:
        return float(ncf.sf(critical**2, 1, n - 1, shift**2)) - POWER  # the square of t: both tails at once

    return float(brentq(surplus, 0, 1.5 * critical + 1))  # pyright: ignore[reportArgumentType]


def paired(rows: pd.DataFrame, versus: str, metric: Metric = ACCURACY) -> pd.DataFrame:
    """Every method minus `versus` in each column, over the seeds that both finished.

    Args:
        rows: The tidy table (see `results.check`).
        versus: The label of the method to compare with.
        metric: What the values are: where less is better, a negative difference is "better".

    Returns:
        One row for each protocol, dataset, setting, method (but `versus`) and group: `difference` in percentage
        points, its `stderr`, `n` shared seeds, `ci95_low`, `ci95_high` (Student's t, not corrected), `p`
        (paired t-test), `p_holm` (over the methods of the column), `verdict` and `detectable` (percentage
        points; see the function of that name). The verdict is "better", "worse", "not separable", or "" where
        no word is due: fewer than five shared seeds, any seed of either method failed, diverged or missing,
        only one of the two on a verified copy of the data, or seeds that do not vary. Such a comparison keeps
        its place in Holm's family with p = 1, so that leaving methods out buys nobody a word.

    Raises:
        ValueError: if the table is not tidy, or `versus` is not among the methods (names the nearest one).
    """
    rows = arranged(rows, metric)
    _require(versus, list(rows["method"].unique()))
    summary = summarise(rows, metric)
    reference = summary.loc[summary["method"] == versus, [*COLUMN, "status"]]
    table = (
        summary.loc[summary["method"] != versus, [*CELL, "status"]]
        .merge(reference, on=COLUMN, how="left", suffixes=("", "_versus"))
        .merge(_differences(rows, versus), on=CELL, how="left")
        .fillna({"n": 0, "alike": False})
        .astype({"n": int, "alike": bool})
    )
    settled = (table["status"] == "complete") & (table["status_versus"] == "complete") & table["alike"]
    return _judged(table.drop(columns=["status", "status_versus", "alike"]), settled, metric)


def _require(versus: str, methods: list[str]) -> None:
    if versus in methods:
        return
    lower = {method.lower(): method for method in methods}
    nearest = lower[get_close_matches(versus.lower(), lower, n=1, cutoff=0.0)[0]]
    raise ValueError(f"no method {versus!r} to compare with; did you mean {nearest!r}? ({', '.join(methods)})")


def _differences(rows: pd.DataFrame, versus: str) -> pd.DataFrame:
    """Mean and standard error (`ddof=1`) of the seed-by-seed differences, and whether both saw the same copy."""
    shared = [*COLUMN, "seed"]
    ours = rows["method"] != versus
    pairs = rows[ours].merge(rows.loc[~ours, [*shared, "value", "verified"]], on=shared, suffixes=("", "_versus"))
    pairs = pairs.assign(
        difference=pairs["value"] - pairs["value_versus"],
        alike=pairs["verified"] == pairs["verified_versus"],
    )
    return (
        pairs.groupby(CELL, sort=False)
        .agg(
            difference=("difference", "mean"),
            stderr=("difference", "sem"),
            n=("difference", "count"),
            alike=("alike", "all"),
        )
        .reset_index()
    )


def _judged(table: pd.DataFrame, settled: pd.Series, metric: Metric) -> pd.DataFrame:
    """The table with interval, p-values, verdict and detectable difference."""
    column = table.groupby(COLUMN, sort=False)
    spread = table["stderr"].where(table["stderr"] > NO_SPREAD)
    freedom = (table["n"] - 1).clip(lower=1)
    half = stdtrit(freedom, 1 - ALPHA / 2) * spread
    p = 2 * stdtr(freedom, -(table["difference"] / spread).abs())
    silent = ~settled | (table["n"] < FEWEST_SEEDS) | p.isna()
    adjusted = p.mask(silent, 1.0).groupby(column.ngroup()).transform(lambda each: holm(each.to_numpy()))
    comparisons = column["method"].transform("size")
    in_errors = [detectable(n, family) if n > 1 else np.nan for n, family in zip(table["n"], comparisons, strict=True)]
    return table.assign(
        ci95_low=table["difference"] - half,
        ci95_high=table["difference"] + half,
        p=p,
        p_holm=adjusted.mask(silent),
        verdict=np.select(
            [silent, adjusted >= ALPHA, (table["difference"] > 0) == metric.larger_is_better],
            ["", "not separable", "better"],
            default="worse",
        ),
        detectable=spread * in_errors,
    )
