"""The measured tables as HTML for a notebook's cell: no script, no style sheet, nothing that is loaded."""

from collections.abc import Sequence
from html import escape

import pandas as pd

from ..metric import ACCURACY, Metric
from ..tables.grid import Table
from ..tables.report_tables import View, tables
from .text import plain


def notebook(
    rows: pd.DataFrame, notes: Sequence[str] = (), more: Sequence[Table] = (), metric: Metric = ACCURACY
) -> str:
    """A table for each protocol, with its footnotes and caption.

    Args:
        rows: The tidy table (see `results.check`).
        notes: Plain sentences for the caption, such as what was spent.
        more: Tables that follow.
        metric: What its values are.

    Raises:
        ValueError: if the rows are not tidy.
    """
    return "\n".join(map(html_table, tables(rows, None, None, notes, more, View(metric=metric))))


def html_table(table: Table) -> str:
    """A table with its footnotes and caption below it."""
    above = "".join(f'<th colspan="{len(groups)}">{_text(span)}</th>' for span, groups in table.spans)
    heads = "".join(
        f"<th>{_text(word)}</th>" for word in (*table.head, *(g for _, groups in table.spans for g in groups))
    )
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in table.body)
    notes = "".join(f"<div>{_text(note)}</div>" for note in (*table.footnotes, *table.caption))
    corner = f'<th colspan="{len(table.head)}"></th>'
    return (
        f"<table><caption>{_text(table.title)}</caption><thead><tr>{corner}{above}</tr><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table>{notes}"
    )


def _text(text: str) -> str:
    return escape(plain(text))
