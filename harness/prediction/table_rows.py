"""Predictions of the rows of a CSV or a Parquet file, as CSV: a column of labels, and one of probabilities for each
class. Rows are predicted some thousands at a time, and of a CSV read so too."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from ...datasets.catalog import DataError
from ...datasets.files import regular_file
from ...datasets.user_images.source import separator
from ...datasets.user_tables.cells import MOST_COLUMNS, Cells
from ...datasets.user_tables.parquet_file import ParquetFile
from ...methods.names import nearest
from ..errors import ModelError
from .csv_output import cell
from .table_model import TableModel

AT_ONCE = 4096  # rows
LONGEST_LINE = 1 << 26  # characters


def write_row_predictions(
    model: TableModel, path: Path, goal: TextIO, prior: str | Mapping[str, float] | None = None
) -> int:
    """Write a header, and for each row of a table the likeliest class and the probability of each class.

    Args:
        model: What predicts.
        path: A CSV in UTF-8, whose first line names its columns, or a file ``*.parquet``; columns that the model does
            not take are passed over.
        goal: Where the CSV goes.
        prior: As in ``Model.predict``.

    Returns:
        How many rows were predicted.

    Raises:
        ModelError: where the table cannot be read, lacks a column or has a wrong value, and for a prior that is none.
    """
    shares, out, count = model.shares(prior), csv.writer(goal, lineterminator="\n"), 0
    out.writerow(["label", *(f"p_{cell(name)}" for name in model.classes)])
    for chunk in _of_parquet(path, model) if path.suffix.lower() == ".parquet" else _of_csv(path):
        predicted = model.predictions(model.rows(chunk, count + 1), shares)
        for name, each in zip(predicted.labels, predicted.probabilities, strict=True):
            out.writerow([cell(name), *(f"{p:.6g}" for p in each)])
        count += len(predicted.labels)
    if not count:
        raise ModelError(f"{path} has no rows to predict")
    return count


def _of_parquet(path: Path, model: TableModel) -> Iterator[dict[str, list[Any]]]:
    """The values of each column that the model takes by its name, some rows at a time."""
    try:
        file = ParquetFile(path, only=frozenset(model.columns))
        texts = {column.name for column in model.description.columns if column.kind == "category"}
        columns = file.read(texts).columns
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    except DataError as error:
        raise ModelError(str(error)) from None
    there = {column.name for column in columns}
    if missing := next((name for name in model.columns if name not in there), None):
        raise ModelError(f"the table has no column {missing!r}" + nearest(missing, file.names[:MOST_COLUMNS]))
    for start in range(0, max((len(column.missing()) for column in columns), default=0), AT_ONCE):
        yield {column.name: _listed(column, slice(start, start + AT_ONCE)) for column in columns}


def _listed(column: Cells, rows: slice) -> list[Any]:
    """Numbers, or texts; a missing one is empty."""
    if column.numbers is not None:
        return column.numbers[rows].tolist()
    texts = (*column.texts, "")  # -1 is the last
    return [texts[code] for code in column.codes[rows].tolist()]


def _of_csv(path: Path) -> Iterator[dict[str, list[str]]]:
    """The values of each column by its name, some rows at a time."""
    try:
        with TextIOWrapper(regular_file(path), encoding="utf-8-sig", newline="") as file:
            text = _lines(file)
            first = next(text, "")  # as where a model is trained: it says what stands between values
            lines = csv.reader(chain([first], text), delimiter=separator(first), skipinitialspace=True, strict=True)
            names = [name.strip() for name in next(lines, [])]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise ModelError(f"{path}: two columns are called {twice!r}: rename one")
            read = 0
            while rows := [row for row in islice(lines, AT_ONCE) if row]:
                for number, row in enumerate(rows, start=read + 1):
                    if len(row) != len(names):
                        raise ModelError(
                            f"{path}, row {number}: {len(row)} values, and the first line names {len(names)}"
                        )
                yield {name: [row[place] for row in rows] for place, name in enumerate(names)}
                read += len(rows)
    except DataError as error:
        raise ModelError(str(error)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ModelError(f"{path} cannot be read as a CSV in UTF-8: {why}") from None


def _lines(file: TextIO) -> Iterator[str]:
    """The lines of a file, none of which fills the memory."""
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise csv.Error(f"a line has more than {LONGEST_LINE:,} characters")
        yield line
