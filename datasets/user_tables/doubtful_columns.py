"""Doubtful columns: row numbers that a program wrote beside the data, and numbers or dates that were read as categories
since they, or a few of them, are written otherwise."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable

import numpy as np

from .cells import Cells, RawTable, days

UNNAMED_INDEX = re.compile(r"__index_level_\d+__")  # as pandas calls an index without a name in a Parquet file
UNNAMED_COLUMN = re.compile(r"Unnamed: \d+")  # as it calls a column without a name of a csv
OTHER_DATE = re.compile(
    r"(\d{1,2}[./-]\d{1,2}[./-]\d{4}|\d{1,2}/\d{1,2}/\d{2}|\d{4}[./]\d{1,2}[./]\d{1,2})([ T,].{0,40})?"
)
NEARLY = 0.9  # of a column's different texts: that many are numbers, or dates, where it was meant as one of these


def without_indexes(columns: Iterable[Cells], indexes: Collection[str]) -> tuple[list[Cells], list[str]]:
    """The columns to learn from without those of an index that has no name, and what is to be said of indexes.

    Args:
        columns: Those that have no role.
        indexes: The names of those that were a frame's index.
    """
    columns = list(columns)
    kept = [column for column in columns if not UNNAMED_INDEX.fullmatch(column.name)]
    notes = [
        f"column {column.name!r} is the index without a name of a pandas frame, mostly row numbers: it is not learnt "
        "from; name it to learn from it"
        for column in columns
        if UNNAMED_INDEX.fullmatch(column.name)
    ]
    for column in kept:
        if column.name in indexes:
            notes.append(f"column {column.name!r} is the index of a pandas frame and is learnt from: remove it if it "
                         "only numbers the rows")  # fmt: skip
        elif UNNAMED_COLUMN.fullmatch(column.name):
            notes.append(f"column {column.name!r} is learnt from: remove it if it only numbers the rows")
    return kept, notes


def doubt(rows: RawTable, column: Cells) -> tuple[str, str]:
    """Of a column of texts what it may have been meant as, ``numbers`` or ``dates``, with which text is none and what
    can be done; nothing of another."""
    if said := nearly_number(rows, column):
        return "numbers", said
    said = nearly_date(rows, column)
    return ("dates", said) if said else ("", "")


def nearly_date(rows: RawTable, column: Cells) -> str:
    """Of a column of texts that nearly all are dates, which one is not as ISO 8601 has it; nothing of another."""
    there = np.unique(column.codes[column.codes >= 0])
    plain = np.array([days([column.texts[code]]) is not None for code in there], dtype=bool)
    near = plain | np.array([bool(OTHER_DATE.fullmatch(column.texts[code])) for code in there], dtype=bool)
    if plain.all() or near.sum() < NEARLY * len(near):
        return ""
    odd, advice = there[~plain], "write a date as 2026-03-01"
    if not near.all():
        odd, advice = there[~near], "if dates are meant, leave it empty where there is none"
    first = np.flatnonzero(np.isin(column.codes, odd))[:1]
    return f"{rows.where(first)} holds {column.texts[column.codes[first[0]]][:40]!r}; {advice}"


def nearly_number(rows: RawTable, column: Cells) -> str:
    """Of a column of texts that nearly all are numbers, which one is not and what can be done; nothing of another."""
    there = np.unique(column.codes[column.codes >= 0])  # a Parquet file may name categories that no row has
    plain = np.array([_number(column.texts[code]) for code in there], dtype=bool)
    near = plain | np.array([_repaired(column.texts[code]) for code in there], dtype=bool)
    if plain.all() or near.sum() < NEARLY * len(near):
        return ""
    if near.all():
        odd, advice = there[~plain], "write a number with a point alone, as in 1234.5"
    else:
        odd, advice = there[~near], "if numbers are meant, leave it empty where there is no value"
    first = np.flatnonzero(np.isin(column.codes, odd))[:1]
    return f"{rows.where(first)} holds {column.texts[column.codes[first[0]]][:40]!r}; {advice}"


def _number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _repaired(text: str) -> bool:
    """Whether it is a number but for a comma as its point or between thousands, or a percent sign."""
    text = text.removesuffix("%").rstrip()
    return any(map(_number, (text, text.replace(",", "."), text.replace(",", ""))))
