"""Average ranks over data sets, and how far two must lie apart to differ: Friedman's test and Nemenyi's difference.

Source: Demsar, "Statistical Comparisons of Classifiers over Multiple Data Sets", JMLR 7 (2006) 1-30, section 3.2.

What is ranked over are data sets: never seeds, never Few, Med and Many of one data set, nor several long tails of one,
since those depend on each other. With few data sets the critical difference exceeds the largest gap that there can be,
so nothing is ranked below `FEWEST_DATASETS`.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd

from ..metric import ACCURACY, Metric
from .paired import ALPHA

FEWEST_DATASETS = 6


@cache
def critical_difference(methods: int, datasets: int) -> float:
    """The smallest gap between two average ranks that is significant at `ALPHA`: q sqrt(k (k + 1) / (6 N)).

    q is the studentised range's critical value for k methods and infinite degrees of freedom, over the root of 2
    (Demsar 2006, equation after (4); its Table 5a has 3.102 for nine methods).
    """
    from scipy.stats import studentized_range

    q = studentized_range.ppf(1 - ALPHA, methods, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * datasets)))


@dataclass(frozen=True)
class Ranks:
    """Average ranks of one protocol and group, 1 the best, by method; over how many data sets; the methods that are
    left out since a cell of theirs is not complete; Friedman's p. Without enough data sets or methods, `ranks` is
    empty."""

    protocol: str
    group: str
    methods: int
    datasets: int
    ranks: dict[str, float]
    left_out: tuple[str, ...]
    p: float = float("nan")

    @property
    def critical(self) -> float:
        """The critical difference of average ranks (see :func:`critical_difference`)."""
        return critical_difference(self.methods, self.datasets)


def ranked(cells: pd.DataFrame, metric: Metric = ACCURACY) -> list[Ranks]:
    """The ranks of each protocol and group; ties share the mean of their ranks.

    Args:
        cells: What `results.summarise` returns. A data set in several settings counts once, by the mean over them.
        metric: What the values are: where less is better, the least has rank 1.
    """
    columns = cells[cells["status"] != "n/a"].groupby(["protocol", "group"], sort=False)
    return [_ranks(str(protocol), str(group), some, metric) for (protocol, group), some in columns]


def _ranks(protocol: str, group: str, cells: pd.DataFrame, metric: Metric) -> Ranks:
    settings = len(cells[["dataset", "setting"]].drop_duplicates())
    complete = cells["status"].eq("complete").groupby(cells["method"], sort=False).sum() == settings
    whole = cells[cells["method"].map(complete)]
    values = whole.pivot_table(index="dataset", columns="method", values="mean", aggfunc="mean", sort=False)
    left_out = tuple(map(str, complete.index[~complete]))
    datasets, methods = cells["dataset"].nunique(), values.shape[1]
    if datasets < FEWEST_DATASETS or methods < 3:
        return Ranks(protocol, group, methods, datasets, {}, left_out)
    from scipy.stats import friedmanchisquare, rankdata

    numbers = values.to_numpy() * (-1 if metric.larger_is_better else 1)
    mean = rankdata(numbers, axis=1).mean(axis=0)
    ranks = {str(name): float(rank) for name, rank in zip(values.columns, mean, strict=True)}
    tied = (numbers == numbers[:, :1]).all()
    p = 1.0 if tied else float(friedmanchisquare(*numbers.T).pvalue)
    return Ranks(protocol, group, methods, datasets, dict(sorted(ranks.items(), key=lambda one: one[1])), left_out, p)
