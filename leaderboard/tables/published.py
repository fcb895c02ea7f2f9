"""What was published, as tables apart from ours, and what it says of ours."""

from collections.abc import Mapping

import pandas as pd

from ..published.comparison import MARGIN, Routine, compare
from ..shown_setting import data_in_setting
from .grid import Table, grid, headers, marks, plus_minus

QUOTED = (
    "These rows are quoted from their source, not measured here: other code, other seeds, other subsets. "
    "In percent, as printed, ± one standard error where the source gives one."
)
BESIDE = (
    "Measured here minus published, in percentage points, with the 95 percent interval and p of Welch's test from "
    "means and standard errors: unpaired, since their seeds are not ours; – where a side has no standard error.",
    f"Reproduced: the whole interval lies within ±{MARGIN:g} points. Not reproduced: it does not, and p is below 0.05 "
    "after Holm's correction over the comparable rows of the source.",
    "Not comparable: in what is named. Both words need a known and equal network, number of epochs, augmentation, long "
    "tail and grouping, five seeds here, a standard error there, and a selection rule that leaves the test set alone.",
)


def quoted(published: pd.DataFrame) -> list[Table]:
    """A table for each source, in the order of the file."""
    return [_source(str(source), rows) for source, rows in published.groupby("source", sort=False)]


def beside(cells: pd.DataFrame, published: pd.DataFrame, routines: Mapping[str, Routine]) -> list[Table]:
    """For each protocol, every measured cell that has a published counterpart, with the verdict.

    Args:
        cells: What was measured.
        published: The numbers of papers.
        routines: The training routine of each protocol.
    """
    found = compare(cells, published, routines)
    return [_pairs(str(protocol), pairs) for protocol, pairs in found.groupby("protocol", sort=False)]


def _pairs(protocol: str, pairs: pd.DataFrame) -> Table:
    sources = marks(pairs["source"])
    reasons = {why: f"({i})" for i, why in enumerate(dict.fromkeys(pairs.loc[pairs["why"] != "", "why"]), start=1)}
    return Table(
        f"{protocol}: measured beside published",
        head=("Method", "Data", "Group"),
        spans=(("", ("Measured", "Published", "Difference", "p, unpaired", "Verdict")),),
        body=tuple(_pair(row, sources[str(row.source)], reasons.get(row.why, "")) for row in pairs.itertuples()),
        footnotes=(
            *(f"{mark} {source}" for source, mark in sources.items()),
            *(f"{mark} not comparable in {why}" for why, mark in reasons.items()),
        ),
        caption=BESIDE,
    )


def _pair(row, source: str, reason: str) -> tuple[str, ...]:
    interval = "" if pd.isna(row.ci95_low) else f" [{row.ci95_low:+.1f}, {row.ci95_high:+.1f}]"
    return (
        row.method,
        data_in_setting(row.dataset, row.setting),
        row.group.title(),
        plus_minus(row.mean, row.stderr),
        plus_minus(row.mean_there, row.stderr_there) + source,
        f"{row.difference:+z.1f}{interval}".replace("-", "−"),
        "–" if pd.isna(row.p) else f"{row.p:.2g}",
        f"{row.verdict} {reason}".strip(),
    )


def _source(source: str, rows: pd.DataFrame) -> Table:
    notes = rows[["dataset", "note"]].dropna().drop_duplicates().itertuples()
    return grid(
        "Published (quoted, not measured)",
        rows,
        headers(rows.assign(verified=True)),
        write=lambda cell: plus_minus(cell.mean, cell.stderr),
        caption=(QUOTED, f"Source: {source}.", *ways(rows), *(f"{row.dataset}: {row.note}." for row in notes)),
    )


def ways(rows: pd.DataFrame) -> list[str]:
    """What is known of how the rows came about, one sentence for each way."""
    facts = rows.assign(
        trials=["number of trials not stated" if pd.isna(n) else f"{n:g} trials" for n in rows["n"]],
        length=["epochs not stated" if pd.isna(n) else f"{n:g} epochs" for n in rows["epochs"]],
        looks=rows["augmentation"].fillna("augmentation not stated"),
    )
    ways = facts.groupby(["network", "length", "looks", "trials", "selection"], sort=False)
    return [
        f"{', '.join(some['dataset'].unique())}: {', '.join(map(str, way[:4]))}; selection rule: {way[4]}."
        for way, some in ways
    ]
