"""What an audit of somebody's results found, as tables of plain text."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..metric import Metric
from ..statistics.audit import FEWEST_ITEMS, MCNEMAR
from ..statistics.paired import ALPHA, FEWEST_SEEDS
from ..statistics.ranks import FEWEST_DATASETS, ranked
from .grid import Table
from .standings import ranks_table, why_not

GROUPS = ("Rank", "Mean", "95% interval", "n", "Difference", "95% interval of it", "p", "p (Holm)", "Verdict")
RULE = (
    "Methods that the tests do not separate from the best of them share a rank; – where no word is due, since values "
    "are missing{fewest}."
)
CORRECTED = f"Verdict at {ALPHA} by the test {{test}}, {{unit}} by {{unit}}, with Holm's correction over the methods."
CHOSEN = (
    "The best mean is named by the numbers that it is then tested on: that is looser than a reference named beforehand "
    "(--versus)."
)


def audit_tables(audited: pd.DataFrame, unit: str, larger_is_better: bool, chosen: bool) -> list[Table]:
    """A table for each data set, and one of average ranks where there are enough of them.

    Args:
        audited: What `statistics.audit.audit` returns.
        unit: `seed` or `item`.
        larger_is_better: Which way is better.
        chosen: Whether the reference is the best mean, named by the numbers themselves.
    """
    tables = [_of_dataset(str(dataset), rows, unit, chosen) for dataset, rows in audited.groupby("dataset", sort=False)]
    return [*tables, *_over_datasets(audited, larger_is_better)]


def _of_dataset(dataset: str, rows: pd.DataFrame, unit: str, chosen: bool) -> Table:
    test, fewest = rows["test"].iloc[0], FEWEST_ITEMS if unit == "item" else FEWEST_SEEDS
    words = {"unit": unit, "test": test, "fewest": "" if test == MCNEMAR else f" or there are fewer than {fewest}"}
    caption = [RULE.format(**words), CORRECTED.format(**words), *([CHOSEN] if chosen else [])]
    body = [(row["method"], *_cells(row)) for row in rows.to_dict("records")]
    return Table(f"{dataset}: versus {rows['versus'].iloc[0]}", (("", GROUPS),), tuple(body), (), tuple(caption))


def _cells(row: Mapping[Hashable, Any]) -> Sequence[str]:
    def number(name: str, form: str = ".4g") -> str:
        value = row[name]
        return "–" if pd.isna(value) else format(value, form)

    def interval(low: str, high: str) -> str:
        return "–" if pd.isna(row[low]) else f"{number(low)} to {number(high)}"

    n = f"{row['n']}" if row["n"] == row["planned"] else f"{row['n']} of {row['planned']}"
    return (
        number("rank", ".0f"), number("mean"), interval("ci95_low", "ci95_high"), n, number("difference", "+.4g"),
        interval("difference_low", "difference_high"), number("p", ".2g"), number("p_holm", ".2g"),
        str(row["verdict"]) or "–",
    )  # fmt: skip


def _over_datasets(audited: pd.DataFrame, larger_is_better: bool) -> list[Table]:
    """Average ranks, where the results have enough data sets."""
    if audited["dataset"].nunique() < FEWEST_DATASETS:
        return []
    status = (audited["n"] == audited["planned"]).map({True: "complete", False: "incomplete"})
    cells = audited.assign(protocol="All data sets", group="all", setting="", status=status)
    rankings = ranked(cells, Metric("value", "Value", larger_is_better))
    return [ranks_table("All data sets", rankings)] if not why_not(rankings) else []
