"""Cells: the values of a table's columns as its file has them, before anything is said of what they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ..catalog import DataError

MISSING = ("", "?", "NA", "N/A", "NaN", "nan", "NULL", "null")  # texts that stand for no value
MOST_COLUMNS = 4096
MOST_CELLS = 2**27
MOST_BYTES = 2**30  # of a file
LONGEST_NAME = 200  # signs of a column's name
DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?)?")
DAY = 86400.0  # seconds
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cells:
    """The values of one column: ``numbers`` float64 (N,), NaN where one is missing; or ``codes`` (N,), which are
    positions in ``texts``, sorted and each once, and -1 where one is missing."""

    name: str
    numbers: np.ndarray | None = None
    codes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    texts: tuple[str, ...] = ()

    def missing(self) -> np.ndarray:
        """Where there is no value (N,)."""
        return self.codes < 0 if self.numbers is None else np.isnan(self.numbers)

    def worded(self) -> Cells:
        """The same as texts: whole numbers without a point."""
        if self.numbers is None:
            return self
        kept, codes = np.unique(self.numbers[~np.isnan(self.numbers)], return_inverse=True)
        words = [str(int(value)) if float(value).is_integer() else repr(float(value)) for value in kept]
        order = sorted(range(len(words)), key=words.__getitem__)
        place = np.empty(len(words), np.int64)
        place[order] = np.arange(len(words))
        filled = np.full(len(self.numbers), -1, np.int64)
        filled[~np.isnan(self.numbers)] = place[codes]
        return Cells(self.name, None, filled, tuple(words[i] for i in order))


@dataclass(frozen=True)
class RawTable:
    """All that was read of a file. ``lines`` are the numbers of its lines at which the rows end, where it has any;
    ``indexes`` the names of the columns that were the index of a pandas frame."""

    file: str
    columns: tuple[Cells, ...]
    lines: np.ndarray | None = None
    indexes: frozenset[str] = frozenset()

    def where(self, rows: np.ndarray) -> str:
        """The first of some rows in words, as in ``people.csv, line 3``."""
        first = int(rows[0])
        return f"{self.file}, " + (f"row {first + 1}" if self.lines is None else f"line {int(self.lines[first])}")


def of_texts(name: str, codes: np.ndarray, texts: Sequence[Any]) -> Cells:
    """A column of texts.

    Args:
        name: The column's.
        codes: Positions in ``texts`` (N,), -1 where there is no value.
        texts: They may stand there twice, and with blanks around them.
    """
    words = ["" if text is None else str(text).strip() for text in texts]
    kept = sorted(set(words).difference(MISSING))
    place = {word: number for number, word in enumerate(kept)}
    table = np.array([*(place.get(word, -1) for word in words), -1], np.int64)
    return Cells(name, None, table[codes], tuple(kept))


def days(texts: Sequence[str]) -> np.ndarray | None:
    """The days since 1970-01-01 of dates as of ISO 8601, with or without a time, which is UTC where no zone is said.
    None where one of the texts is no such date."""
    if not texts or not all(map(DATE.fullmatch, texts)):
        return None
    try:
        times = [datetime.fromisoformat(text) for text in texts]
        zoned = [time if time.tzinfo else time.replace(tzinfo=UTC) for time in times]
        return np.array([(time - EPOCH).total_seconds() / DAY for time in zoned])
    except (ValueError, OverflowError):  # such as the 30th of February, or a time zone before the year 1
        return None


def checked_names(names: Sequence[Any], file: str) -> list[str]:
    """The names of a table's columns. DataError where one is empty, too long or stands twice, there are too many, or
    there is one alone."""
    if len(names) > MOST_COLUMNS:
        raise DataError(f"{file} has {len(names):,} columns: at most {MOST_COLUMNS:,} can be had")
    kept = [str(name).strip() for name in names]
    for place, name in enumerate(kept, start=1):
        if not name:
            raise DataError(f"{file}: column {place} has no name: the first line names each column")
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise DataError(f"{file}: the name of column {place} has odd signs or more than {LONGEST_NAME}")
        if name in kept[: place - 1]:
            raise DataError(f"{file}: two columns are called {name!r} ({kept.index(name) + 1} and {place}): rename one")
    if len(kept) < 2:
        raise DataError(f"{file} has one column, {kept[0]!r}: a label and at least one more are expected")
    return kept


def check_size(rows: int, columns: int, file: str) -> None:
    """DataError where a table holds more cells than are read into memory.

    Args:
        rows: Its rows.
        columns: Its columns.
        file: What it is called.
    """
    if rows * columns > MOST_CELLS:
        raise DataError(
            f"{file} has {rows:,} rows or more of {columns:,} columns: at most {MOST_CELLS:,} values can be had"
        )
