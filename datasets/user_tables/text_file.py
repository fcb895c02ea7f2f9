"""A table in a file of text, with its values between separators: CSV, and the rows of an ARFF file."""

from __future__ import annotations

import csv
import io
import warnings
from array import array
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..catalog import DataError
from ..files import read_bytes
from ..user_images.source import separator
from .cells import MISSING, MOST_BYTES, Cells, RawTable, check_size, checked_names, of_texts
from .source import header

UTF16 = (b"\xff\xfe", b"\xfe\xff")
PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
SEEN = 4096  # bytes in which a NUL tells that it is no text
MOST_HEADER = 2**24  # bytes of the line that names the columns


@dataclass(frozen=True)
class Layout:
    """How values are written: what stands between them, the quotes that may stand around one, and what stands before a
    quote inside; ``first`` is the line with the first row, counted from 1."""

    separator: str
    quote: str = '"'
    escape: str | None = None
    first: int = 2


class CsvFile:
    """A CSV file in UTF-8 whose first line names the columns. DataError where it is none."""

    label: str | None = None

    def __init__(self, path: Path) -> None:
        self.file = path.name
        self._data = text_of(read_bytes(path, MOST_BYTES), self.file)
        self.names = checked_names(header(self._data[:MOST_HEADER]) or [""], self.file)

    def read(self, texts: Collection[str]) -> RawTable:
        """All rows; the columns ``texts`` are texts whatever they hold. DataError with the line that is wrong."""
        start = self._data.partition(b"\n")[0].decode("utf-8-sig", errors="replace")
        return read_rows(self._data, self.names, Layout(separator(start)), self.file, texts)


def text_of(data: bytes, file: str) -> bytes:
    """The bytes of a text in UTF-8. DataError where they are none, or none are left."""
    if data.startswith(b"PK\x03\x04"):
        raise DataError(f"{file} is packed, or a workbook (.xlsx): unpack it, or save it as CSV in UTF-8")
    if data.startswith(PACKED):
        raise DataError(f"{file} is packed: unpack it first")
    if data.startswith(UTF16) or b"\0" in data[:SEEN]:
        raise DataError(f"{file} is UTF-16 or no text: save it as CSV in UTF-8")
    if not data.strip():
        raise DataError(f"{file} is empty: a line that names the columns, and a line for each row, are expected")
    return data


def read_rows(data: bytes, names: Sequence[str], layout: Layout, file: str, texts: Collection[str]) -> RawTable:
    """The rows of a text.

    Args:
        data: The text, in UTF-8, from its first line on.
        names: The columns'.
        layout: How its values are written.
        file: What errors call it.
        texts: The columns that are texts whatever they hold.

    Raises:
        DataError: for a line with too few or too many values, a quote that is not closed, and too many cells.
    """
    import pandas as pd

    lines = _lines(data, len(names), layout, file)
    if not len(lines):
        raise DataError(f"{file} has no rows: it names its columns, and no line follows")
    words = {
        "sep": layout.separator, "quotechar": layout.quote, "escapechar": layout.escape, "names": list(names),
        "skiprows": layout.first - 1, "header": None, "index_col": False, "encoding": "utf-8-sig", "low_memory": False,
        "na_values": list(MISSING), "keep_default_na": False, "skipinitialspace": True, "float_precision": "round_trip",
    }  # fmt: skip
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pandas 3 says that later ones read numbers exactly without being told
            table = pd.read_csv(io.BytesIO(data), dtype=dict.fromkeys(texts, "str"), **words)
            kept = [name for name in names if table[name].dtype.kind not in "iuf"]
            again = pd.read_csv(io.BytesIO(data), dtype="str", usecols=kept, **words) if set(kept) - {*texts} else table
    except (ValueError, OverflowError, pd.errors.ParserError) as error:
        raise DataError(f"{file} cannot be read as a table: {' '.join(str(error).split())[:200]}") from None
    if len(table) != len(lines):
        raise DataError(f"{file} cannot be read as a table: {len(lines):,} rows were counted, and {len(table):,} read")
    columns = []
    for name in names:
        if name in kept:
            codes, found = pd.factorize(again[name])
            columns.append(of_texts(name, codes, list(found)))
        else:
            columns.append(Cells(name, table[name].to_numpy(np.float64)))
    return RawTable(file, tuple(columns), lines)


def _lines(data: bytes, columns: int, layout: Layout, file: str) -> np.ndarray:
    """The line at which each row ends (N,)."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
    reader = csv.reader(
        text, delimiter=layout.separator, quotechar=layout.quote, escapechar=layout.escape, skipinitialspace=True,
        strict=True,
    )  # fmt: skip
    lines = array("q")
    try:
        for row in reader:
            if reader.line_num < layout.first or not row:
                continue
            if len(row) != columns:
                raise DataError(
                    f"{file}, line {reader.line_num}: {len(row)} values, and there are {columns} columns"
                    + (": is a quote missing?" if len(row) < columns else "")
                )
            lines.append(reader.line_num)
            if len(lines) % 4096 == 0:
                check_size(len(lines), columns, file)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file} is not UTF-8 ({error.reason} at byte {error.start}): save it as CSV in UTF-8"
        ) from None
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}") from None
    return np.array(lines, np.int64)
