"""The measured tables as HTML for a notebook's cell: no script, no style sheet, nothing that is loaded."""

from html import escape

import pandas as pd

from ..metric import ACCURACY, Metric
from ..tables.grid import Table
from ..tables.report_tables import View, tables
from .text import plain


def notebook(rows: pd.DataFrame, metric: Metric = ACCURACY) -> str:
    """A table for each protocol, with its footnotes.

    Args:
        rows: The tidy table (see `results.check`).
        metric: What its values are.

    Raises:
        ValueError: if the rows are not tidy.
    """
    return "\n".join(map(_table, tables(rows, None, None, (), (), View(metric=metric))))


def _table(table: Table) -> str:
    above = "".join(f'<th colspan="{len(groups)}">{_text(span)}</th>' for span, groups in table.spans)
    heads = "".join(
        f"<th>{_text(word)}</th>" for word in (*table.head, *(g for _, groups in table.spans for g in groups))
    )
    body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in table.body)
    notes = "".join(f"<div>{_text(note)}</div>" for note in table.footnotes)
    corner = f'<th colspan="{len(table.head)}"></th>'
    return (
        f"<table><caption>{_text(table.title)}</caption><thead><tr>{corner}{above}</tr><tr>{heads}</tr></thead>"
        f"<tbody>{body}</tbody></table>{notes}"
    )


def _text(text: str) -> str:
    return escape(plain(text))
