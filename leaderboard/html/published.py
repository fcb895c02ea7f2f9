"""What the page quotes: published rows, and what they say of the measured ones, as texts and numbers."""

from typing import Any

import pandas as pd

from ..formats.text import plain
from ..tables.grid import Table
from ..tables.published import QUOTED, beside, ways
from .model import PageContent


def quoted(cells: pd.DataFrame, subject: PageContent) -> dict[str, Any]:
    """The rows, what is known of how those of each source came about, and the measured cells beside them.

    Args:
        cells: What `results.summarise` returns.
        subject: Whose published rows and routines they are.
    """
    rows = subject.published
    sources = [] if rows is None else rows.groupby("source", sort=False)
    return {
        "quoted": QUOTED,
        "published": [] if rows is None else records(rows),
        "ways": {plain(str(source)): [plain(way) for way in ways(some)] for source, some in sources},
        "beside": _beside(cells, subject),
    }


def _beside(cells: pd.DataFrame, subject: PageContent) -> dict[str, list[dict[str, Any]]]:
    """What the report prints of measured cells beside published rows, as texts, by protocol."""
    if subject.published is None or not subject.routines:
        return {}
    return {
        plain(str(protocol)): [_texts(table) for table in beside(some, subject.published, subject.routines)]
        for protocol, some in cells.groupby("protocol", sort=False)
    }


def _texts(table: Table) -> dict[str, Any]:
    return {
        "title": plain(table.title),
        "head": [*table.head, *(group for _, groups in table.spans for group in groups)],
        "rows": [[plain(text) for text in row] for row in table.body],
        "notes": [plain(text) for text in (*table.footnotes, *table.caption)],
    }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A row each; numbers that are not there are None."""
    return [
        {str(name): plain(value) if isinstance(value, str) else number(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def number(value: Any) -> float | int | None:
    """The value for JSON, None where it is missing."""
    return None if pd.isna(value) else value
