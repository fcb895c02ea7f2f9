"""From rows to tables of plain text: what each cell, footnote and caption says, before any markup."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from .results import GROUPS, summarise
from .statistics import ALPHA, FEWEST_SEEDS, POWER, paired

USUAL_SEEDS = 5  # n is shown where it differs
Headers = dict[tuple[str, str], str]  # (data set, setting) -> the text above its groups
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
MEASURED = (
    "Accuracy in percent on the balanced test set, averaged over the classes of each group: mean ± one standard "
    f"error over seeds (ddof = 1); n = {USUAL_SEEDS} seeds unless shown.",
    "The test set is scored once for each trial, from its last weights (networks: their moving average, EMA); "
    "nothing is selected on it.",
    "The standard error speaks of new seeds on this test set, not of new test images. "
    "A failed, diverged or missing trial is never averaged in.",
)
COMPARED = (
    "Differences are in percentage points, seed by seed, ± one standard error of their mean; – where no seed "
    "was finished by both.",
    f"Better and worse: paired t-test, p below {ALPHA} after Holm's correction over the methods of the column; no "
    f"word with fewer than {FEWEST_SEEDS} seeds, with a seed failed or missing on either side, or where seeds do "
    "not vary.",
    "Not separable is not the same as equal: the number after it is the smallest true difference that these "
    f"seeds would have shown with {POWER:.0%} power at the hardest step of the correction.",
)
UNVERIFIED = "(unverified): that copy of the data was not confirmed by a known checksum."
QUOTED = (
    "These rows are quoted from their source, not measured here: other code, other seeds, other subsets. "
    "Mean ± one standard error, in percent, as printed."
)


@dataclass(frozen=True)
class Table:
    """One table as plain text. Each row of `body` has a text for each word of `head` (a method, unless it says
    otherwise), then one for each group of each span."""

    title: str
    spans: tuple[tuple[str, tuple[str, ...]], ...]  # (data set and setting, or no word, its groups)
    body: tuple[tuple[str, ...], ...]
    footnotes: tuple[str, ...]
    caption: tuple[str, ...]
    head: tuple[str, ...] = ("Method",)


def tables(
    rows: pd.DataFrame,
    versus: str | None,
    published: pd.DataFrame | None,
    notes: Sequence[str],
    more: Sequence[Table] = (),
) -> list[Table]:
    """All tables of a report: for each protocol the means, then the differences; `more`; last what was published.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    found = []
    compared = None if versus is None else paired(rows, versus)
    for protocol, cells in summarise(rows).groupby("protocol", sort=False):
        headers = _headers(cells)
        found.append(_means(str(protocol), cells, headers, (*MEASURED, *notes)))
        if compared is not None:
            differences = compared[compared["protocol"] == protocol]
            found += _differences(f"{protocol}: difference from {versus}", differences, headers)
    found += more
    if published is not None:
        found += [_quoted(str(source), quoted) for source, quoted in published.groupby("source", sort=False)]
    return found


def plus_minus(mean: float, stderr: float, sign: str = "-") -> str:
    """Such as "29.1 ± 0.4", or "29.1" where a single seed leaves the error unknown."""
    shown = f"{mean:{sign}z.1f}"
    return shown if pd.isna(stderr) else f"{shown} ± {stderr:.1f}"


def _headers(cells: pd.DataFrame) -> Headers:
    """The header of each (data set, setting); a data set is marked if any trial ran on an unverified copy."""
    unverified = set(cells.loc[~cells["verified"], "dataset"])
    pairs = dict.fromkeys(zip(cells["dataset"], cells["setting"], strict=True))
    return {
        (dataset, setting): ", ".join(filter(None, [dataset + " (unverified)" * (dataset in unverified), setting]))
        for dataset, setting in pairs
    }


def _grid(
    title: str,
    cells: pd.DataFrame,
    headers: Headers,
    *,
    write: Callable[..., str],
    caption: Sequence[str],
    footnotes: Sequence[str] = (),
) -> Table:
    """Long cells to a wide table; a cell that the plan does not have reads "–"."""
    places = zip(cells["method"], cells["dataset"], cells["setting"], cells["group"], strict=True)
    texts = dict(zip(places, map(write, cells.itertuples()), strict=True))
    present = {place[1:] for place in texts}
    groups = {pair: [group for group in GROUPS if (*pair, group) in present] for pair in headers}
    columns = [(*pair, group) for pair, names in groups.items() for group in names]
    return Table(
        title,
        spans=tuple((headers[pair], tuple(name.title() for name in names)) for pair, names in groups.items()),
        body=tuple(
            (method, *(texts.get((method, *column), "–") for column in columns))
            for method in dict.fromkeys(cells["method"])
        ),
        footnotes=tuple(footnotes),
        caption=tuple(caption),
    )


def _means(title: str, cells: pd.DataFrame, headers: Headers, caption: Sequence[str]) -> Table:
    # That all are missing is what the cell says already; why, where more is known, goes into a footnote.
    told = cells["status"].isin(["incomplete", "failed"]) | (cells["status"] == "missing") & cells[
        "reason"
    ].str.contains(":")
    explained = cells.loc[told, "reason"]
    marks = {reason: str(i).translate(SUPERSCRIPT) for i, reason in enumerate(dict.fromkeys(explained), start=1)}

    def write(cell) -> str:
        match cell.status:
            case "n/a":
                return f"n/a ({cell.reason})"
            case "missing":
                return f"missing {cell.planned}/{cell.planned}{marks.get(cell.reason, '')}"
            case "failed":
                return f"failed {cell.failed}/{cell.planned}{marks[cell.reason]}"
        count = "" if cell.n == USUAL_SEEDS and cell.status == "complete" else f" (n={cell.n})"
        return plus_minus(cell.mean, cell.stderr) + count + marks.get(cell.reason, "")

    footnotes = [f"{mark} {reason}" for reason, mark in marks.items()]
    if not cells["verified"].all():
        footnotes.append(UNVERIFIED)
    return _grid(title, cells, headers, write=write, caption=caption, footnotes=footnotes)


def _differences(title: str, compared: pd.DataFrame, headers: Headers) -> list[Table]:
    """One table for each (data set, setting): with their words, the cells of two would not fit a page."""
    return [
        _grid(title, cells, {pair: headers[pair]}, write=_verdict, caption=COMPARED)
        for pair in headers
        if not (cells := compared[(compared["dataset"] == pair[0]) & (compared["setting"] == pair[1])]).empty
    ]


def _verdict(cell) -> str:
    """Such as "+2.4 ± 0.3 better", "−0.3 ± 0.4 not separable (1.9)", "+0.8 ± 0.5 (n=3)", or "–"."""
    if not cell.n:
        return "–"
    shown = plus_minus(cell.difference, cell.stderr, sign="+").replace("-", "−")
    if cell.n != USUAL_SEEDS:
        shown += f" (n={cell.n})"
    if not cell.verdict:
        return shown
    limit = f" ({cell.detectable:.1f})" if cell.verdict == "not separable" else ""
    return f"{shown} {cell.verdict}{limit}"


def _quoted(source: str, published: pd.DataFrame) -> Table:
    protocols = published[["network", "n", "selection"]].drop_duplicates().itertuples()
    notes = published[["dataset", "note"]].dropna().drop_duplicates().itertuples()
    caption = (
        QUOTED,
        f"Source: {source}.",
        *(f"{row.network}, {row.n} trials, selection rule: {row.selection}." for row in protocols),
        *(f"{row.dataset}: {row.note}." for row in notes),
    )
    return _grid(
        "Published (quoted, not measured)",
        published,
        _headers(published.assign(verified=True)),
        write=lambda cell: plus_minus(cell.mean, cell.stderr),
        caption=caption,
    )
