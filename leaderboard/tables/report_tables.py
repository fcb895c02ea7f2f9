"""From rows to tables of plain text: what each cell, footnote and caption says, before any markup."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import pandas as pd

from ..metric import ACCURACY, Metric
from ..published.comparison import Routine
from ..results import empty_groups, summarise, with_classes
from ..statistics.paired import paired
from .cell_texts import USUAL_SEEDS, CellTexts
from .differences import differences
from .grid import Headers, Place, Table, grid, headers
from .leaders import EMPHASIS, Leaders, leaders
from .published import beside, quoted

UNCERTAINTY = {  # the word of --uncertainty: the column of the summary, and what the caption says
    "se": ("stderr", "one standard error over seeds (ddof = 1)"),
    "std": ("std", "one standard deviation of the seeds (ddof = 1)"),
    "ci95": ("ci95", "half of the 95 percent interval of the mean over seeds (Student's t)"),
}
MEASURED = (
    "{text}: mean ± {error}; n = {n} seeds unless shown.",
    "The test set is scored once for each trial, from its last weights ({weights}); nothing is selected on it.",
    "What follows ± speaks of new seeds on this test set, not of new test {examples}. "
    "A failed, diverged or missing trial is never averaged in.",
)
UNVERIFIED = "(unverified): that copy of the data was not confirmed by a known checksum."


@dataclass(frozen=True)
class View:
    """How a report shows its rows: what follows ± (a word of `UNCERTAINTY`), what the values are, and how each protocol
    was trained, which is what published rows are compared by (none: they are quoted only)."""

    uncertainty: str = "se"
    metric: Metric = ACCURACY
    routines: Mapping[str, Routine] = field(default_factory=dict)


def tables(
    rows: pd.DataFrame,
    versus: str | None,
    published: pd.DataFrame | None,
    notes: Sequence[str],
    more: Sequence[Table] = (),
    view: View | None = None,
    bold: str = "none",
) -> list[Table]:
    """All tables of a report: for each protocol the means, then the differences; `more`; last what was published.
    `bold`, a word of `leaders.EMPHASIS`, says which cells are emphasised.

    Args:
        rows: The tidy rows.
        versus: A method to compare each other with.
        published: Numbers of papers to stand beside the measured ones.
        notes: Sentences for the caption.
        more: Tables that follow.
        view: What the numbers are and how they are shown; None for accuracies with their standard errors.
        bold: A word of `leaders.EMPHASIS`.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    view, tables_ = view or View(), []
    summary = summarise(rows, view.metric)
    if empty := empty_groups(rows):
        rows = with_classes(rows)
        summary = summarise(rows, view.metric)
    compared = None if versus is None else paired(rows, versus, view.metric)
    leading = leaders(rows, view.metric) if bold != "none" else {}
    for protocol, cells in summary.groupby("protocol", sort=False):
        above = headers(cells)
        first, *others = measured(view)
        caption = [first, *filter(None, [EMPHASIS[bold]]), *others, *notes, *no_class(empty.get(str(protocol), []))]
        emphasis = leading.get(str(protocol), Leaders()).printed(bold)
        tables_.append(_means(str(protocol), cells, above, caption, view, emphasis))
        if compared is not None:
            ours = compared[compared["protocol"] == protocol]
            tables_ += differences(f"{protocol}: difference from {versus}", ours, above, view.metric)
    tables_ += more
    if published is not None:
        tables_ += [*beside(summary, published, view.routines)] if view.routines else []
        tables_ += quoted(published)
    return tables_


def no_class(groups: Sequence[str]) -> list[str]:
    """Why groups are no columns, in a sentence for a caption; nothing where all are."""
    return [f"No class is in {' or '.join(group.title() for group in groups)}."] if groups else []


def measured(view: View) -> list[str]:
    """The sentences of the caption that say what the numbers are."""
    error = UNCERTAINTY[view.uncertainty][1]
    return [sentence.format(n=USUAL_SEEDS, error=error, **vars(view.metric)) for sentence in MEASURED]


def _means(
    title: str, cells: pd.DataFrame, above: Headers, caption: Sequence[str], view: View, emphasis: Mapping[Place, str]
) -> Table:
    texts = CellTexts(cells, UNCERTAINTY[view.uncertainty][0])
    footnotes = texts.footnotes
    if not cells["verified"].all():
        footnotes.append(UNVERIFIED)
    return grid(
        title,
        cells,
        above,
        write=partial(texts.text, digits=view.metric.digits),
        caption=caption,
        footnotes=footnotes,
        emphasis=emphasis,
    )
