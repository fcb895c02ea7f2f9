"""The report as Markdown. Pure functions of the tidy rows: the same rows give the same bytes."""

from collections.abc import Sequence

import pandas as pd
from tabulate import tabulate

from ..tables.grid import Table
from ..tables.report_tables import View, tables
from .text import plain

MARKDOWN = {c: f"\\{c}" for c in "\\`*_[]|~#"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown(
    rows: pd.DataFrame,
    versus: str | None = None,
    published: pd.DataFrame | None = None,
    notes: Sequence[str] = (),
    more: Sequence[Table] = (),
    view: View | None = None,
) -> str:
    """The report as GitHub's Markdown, also fit for a terminal: a section for each table, captioned.

    Args:
        rows: The tidy table (see `results.check`).
        versus: A method; adds a table of every other method's difference from it, with the verdicts.
        published: Quoted rows (see `published`); each source gets a section of its own.
        notes: Plain sentences for the caption of the measured tables, such as what was spent.
        more: Tables that follow the measured ones.
        view: What follows ±, and what the values are; by default the standard error of accuracies.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    return "\n\n".join(markdown_section(table) for table in tables(rows, versus, published, notes, more, view)) + "\n"


def _in_markdown(text: str) -> str:
    return "".join(MARKDOWN.get(c, c) for c in plain(text))


def markdown_section(table: Table) -> str:
    """One table with its title and remarks.

    Markdown has one line of headers: a single span goes into the title, several before each group.
    """
    title, header = table.title, [f"{span}: {group}" for span, groups in table.spans for group in groups]
    if len(table.spans) == 1:
        (span, groups) = table.spans[0]
        title, header = ", ".join(filter(None, [title, span])), list(groups)
    grid = tabulate(
        [[_in_markdown(text) for text in row] for row in table.body],
        headers=[_in_markdown(text) for text in (*table.head, *header)],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=(*["left"] * len(table.head), *["right"] * len(header)),
    )
    remarks = "\n".join(f"- {_in_markdown(remark)}" for remark in (*table.footnotes, *table.caption))
    return f"### {_in_markdown(title)}\n\n{grid}\n\n{remarks}"
