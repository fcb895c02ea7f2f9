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
    escaped: bool = True,
) -> str:
    """The report as GitHub's Markdown: a section for each table, captioned.

    Args:
        rows: The tidy table (see `results.check`).
        versus: A method; adds a table of every other method's difference from it, with the verdicts.
        published: Quoted rows (see `published`); each source gets a section of its own.
        notes: Plain sentences for the caption of the measured tables, such as what was spent.
        more: Tables that follow the measured ones.
        view: What follows ±, and what the values are; by default the standard error of accuracies.
        escaped: Whether what Markdown would read as markup is escaped; a terminal shows the same without.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    shown = tables(rows, versus, published, notes, more, view)
    return "\n\n".join(markdown_section(table, escaped) for table in shown) + "\n"


def _in_markdown(text: str) -> str:
    return "".join(MARKDOWN.get(c, c) for c in plain(text))


def markdown_section(table: Table, escaped: bool = True) -> str:
    """One table with its title and remarks; `escaped` as of `markdown`.

    Markdown has one line of headers: a single span goes into the title, several before each group.
    """
    write = _in_markdown if escaped else plain
    title, header = table.title, [f"{span}: {group}" for span, groups in table.spans for group in groups]
    if len(table.spans) == 1:
        (span, groups) = table.spans[0]
        title, header = ", ".join(filter(None, [title, span])), list(groups)
    grid = tabulate(
        [[write(text) for text in row] for row in table.body],
        headers=[write(text) for text in (*table.head, *header)],
        tablefmt="pipe",
        disable_numparse=True,
        colalign=(*["left"] * len(table.head), *["right"] * len(header)),
    )
    remarks = "\n".join(f"- {write(remark)}" for remark in (*table.footnotes, *table.caption))
    return f"### {write(title)}\n\n{grid}\n\n{remarks}"
