"""What another budget would have found: the best of K of the trials that a search made.

Source: Dodge, Gururangan, Card, Schwartz and Smith, "Show Your Work: Improved Reporting of Experimental Results"
(EMNLP 2019, arXiv:1909.03004), section 3. They draw with replacement, which is too low, most where K is near n;
here K different trials are drawn, whose expected best is unbiased (Tang et al., "Showing Your Work Doesn't Always
Work", ACL 2020, arXiv:2004.13705).

That holds of trials proposed at random. A sampler that learns makes later trials better than any K of all, and a
pruned one might have finished among others; so the best so far, in the order of proposal, stands beside it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

LINE = ["dataset", "setting", "protocol", "method"]  # what tells one search from another
COLUMNS = [*LINE, "trials", "epochs", "expected_best", "none_finished", "best_so_far"]


def expected_best(values: Sequence[float], k: int) -> tuple[float, float]:
    """The expected best of ``k`` different trials out of n, and how often there is none.

    A trial that did not finish is worse than every one that did. The best of ``k`` is the i-th smallest of n with
    probability C(i-1, k-1) / C(n, k); those shares follow from each other, so nothing large is ever computed.

    Args:
        values: The n values, in any unit and order; NaN for a trial that was pruned or failed.
        k: How many are drawn, from 1 to n.

    Returns:
        The expectation over the draws in which at least one trial finished (NaN where none ever did), in the unit of
        the values; and the share, from 0 to 1, of the draws in which none did.

    Raises:
        ValueError: if ``k`` is not from 1 to n.
    """
    n = len(values)
    if not 1 <= k <= n:
        raise ValueError(f"k must be from 1 to the {n} trials that there are, not {k}")
    finished = np.sort([value for value in values if not np.isnan(value)])[::-1]
    lost = n - len(finished)
    none_left = float(np.prod([(lost - j) / (n - j) for j in range(k)])) if k <= lost else 0.0
    if not len(finished):
        return np.nan, none_left
    shares, share = [], k / n  # of the largest; the shares of what did not finish would come after these
    for place in range(n, lost, -1):
        shares.append(share)
        share *= (place - k) / (place - 1) if place > 1 else 0.0
    # Over the largest: so the best of all is exact, and so is the best of equals.
    top = finished[0]
    return float(top - np.sum(shares * (top - finished)) / np.sum(shares)), none_left


def curves(trials: pd.DataFrame) -> pd.DataFrame:
    """What each number of trials finds, for each search.

    Args:
        trials: One row for each trial that ended, in the order in which a search proposed them: the columns of
            `LINE`, `value` (percent; NaN where it was pruned or failed) and `epochs` (what it was trained).

    Returns:
        The columns of `COLUMNS`, one row for each search and number of trials K: `trials` is K, `epochs` what the
        first K were trained, `expected_best` and `none_finished` those of any K (see `expected_best`), `best_so_far`
        the best of the first K (percent; NaN before one finished).
    """
    found = [_curve(search) for _, search in trials.groupby(LINE, sort=False)]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=pd.Index(COLUMNS))


def _curve(search: pd.DataFrame) -> pd.DataFrame:
    values = search["value"].astype(float)
    expected = [expected_best(values.tolist(), k) for k in range(1, len(values) + 1)]
    return search.assign(
        trials=range(1, len(values) + 1),
        epochs=search["epochs"].cumsum(),
        expected_best=[best for best, _ in expected],
        none_finished=[none for _, none in expected],
        best_so_far=values.cummax().ffill(),
    )[COLUMNS]
