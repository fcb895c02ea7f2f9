"""The differences from one method as tables, with the words that the statistics allow."""

from functools import partial

import pandas as pd

from ..metric import ACCURACY, Metric
from ..results import CELL
from ..statistics.paired import ALPHA, FEWEST_SEEDS, POWER, paired
from .cell_texts import USUAL_SEEDS
from .grid import Headers, Table, enough_digits, grid, plus_minus

COLUMNS = [
    "difference", "difference_stderr", "shared", "ci95_low", "ci95_high", "p", "p_holm", "verdict", "detectable",
]  # fmt: skip
COMPARED = (
    "Differences are in {unit}, seed by seed, ± one standard error of their mean; – where no seed "
    "was finished by both.",
    f"Better and worse: paired t-test, p below {ALPHA} after Holm's correction over the methods of the column; no "
    f"word with fewer than {FEWEST_SEEDS} seeds, with a seed failed or missing on either side, or where seeds do "
    "not vary.",
    "Not separable is not the same as equal: the number after it is the smallest true difference that these "
    f"seeds would have shown with {POWER:.0%} power at the hardest step of the correction.",
)


def beside(summary: pd.DataFrame, rows: pd.DataFrame, versus: str, metric: Metric = ACCURACY) -> pd.DataFrame:
    """The summary of the rows with `versus` and COLUMNS: what `statistics.paired` says, NaN in the rows of `versus`.

    Args:
        summary: As `results.summarise` makes it.
        rows: The tidy rows that it summarises.
        versus: The method that each other is compared with.
        metric: What their values are.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    found = paired(rows, versus, metric).rename(columns={"stderr": "difference_stderr", "n": "shared"})
    table = summary.merge(found, on=CELL, how="left").astype({"shared": "Int64"})  # a count, or nothing
    return table.assign(versus=versus)[[*summary.columns, "versus", *COLUMNS]]


def rule(metric: Metric = ACCURACY) -> list[str]:
    """By what a difference gets its word, in sentences for a caption."""
    return [COMPARED[0].format(unit=metric.unit), *COMPARED[1:]]


def differences(title: str, compared: pd.DataFrame, above: Headers, metric: Metric = ACCURACY) -> list[Table]:
    """One table for each (data set, setting): with their words, the cells of two would not fit a page.

    Args:
        title: Of each table.
        compared: What `beside` returns.
        above: The headers of columns.
        metric: What the values are.
    """
    caption = rule(metric)
    if not metric.larger_is_better:
        caption.append("Less is better here: a method that is better has a negative difference.")
    return [
        grid(title, cells, {pair: above[pair]}, write=partial(verdict, digits=metric.digits), caption=caption)
        for pair in above
        if not (cells := compared[(compared["dataset"] == pair[0]) & (compared["setting"] == pair[1])]).empty
    ]


def verdict(cell, digits: int = 1) -> str:
    """Such as "+2.4 ± 0.3 better", "−0.04 ± 0.01 worse", "−0.3 ± 0.4 not separable (1.9)", "+0.8 ± 0.5 (n=3)", or
    "–"."""
    if not cell.n:
        return "–"
    enough = enough_digits(cell.difference, digits) if cell.verdict in ("better", "worse") else digits
    shown = plus_minus(cell.difference, cell.stderr, sign="+", digits=enough).replace("-", "−")
    if cell.n != USUAL_SEEDS:
        shown += f" (n={cell.n})"
    if not cell.verdict:
        return shown
    limit = f" ({cell.detectable:.{digits}f})" if cell.verdict == "not separable" else ""
    return f"{shown} {cell.verdict}{limit}"
