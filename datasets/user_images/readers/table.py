"""``csv:FILE``: a line for each image, with its path, its label, and where wanted its group and its part."""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...catalog import DataError
from ...files import read_bytes
from ...user_tables.cells import checked_names
from ..listing import Files, Item
from ..pictures import SUFFIXES
from ..source import IMAGE_COLUMNS, PARTS, USUAL_COLUMNS, Source, separator

USUAL = {"image": IMAGE_COLUMNS} | USUAL_COLUMNS
OPTIONAL = ("group", "split")
MOST_BYTES = 2**28  # of a csv


def listing(source: Source) -> Files:
    """The images of the file's lines, in their order.

    Raises:
        DataError: with the line, for a missing column, label or image, an unknown split, or an image that stands twice.
    """
    rows, header = _rows(source.path)
    columns = {kind: _column(source, kind, header) for kind in USUAL}
    base = source.path.parent / (source.images or "")
    items: list[Item] = []
    paths: list[Path] = []
    seen: dict[str, int] = {}
    for line, row in rows:
        where = f"{source.path.name}, line {line}"
        values = {kind: (row.get(column) or "").strip() for kind, column in columns.items() if column}
        if empty := next((kind for kind, value in values.items() if not value), None):
            raise DataError(f"{where}: the column {columns[empty]!r} is empty")
        path = _image(base, values["image"], where)
        first = seen.setdefault(os.path.normpath(path), line)
        if first != line:
            raise DataError(f"{where}: {values['image']} stands on line {first} already: name each image once")
        items.append(Item(values["image"], values["label"], _part(values, where), values.get("group", "")))
        paths.append(path)
    if not items:
        raise DataError(f"{source.path.name} names no image: it has a header and no line below it")
    used = [f"{kind}: column {column!r}" for kind, column in columns.items() if column]
    return Files(items, paths, [", ".join(used)])


def _rows(path: Path) -> tuple[Sequence[tuple[int, Mapping[str, str]]], list[str]]:
    """Each line's number with its values by column, and the columns."""
    try:
        text = read_bytes(path, MOST_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        why = f"{error.reason} at byte {error.start}"
        raise DataError(f"{path.name} is not UTF-8 ({why}): save it as CSV in UTF-8") from None
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator(first), skipinitialspace=True, strict=True)
    rows = []
    try:
        header = [name.strip() for name in next(reader, [])]
        for values in reader:
            if values and len(values) != len(header):
                found = f"{len(values)} value{'s' * (len(values) != 1)}"
                raise DataError(f"{path.name}, line {reader.line_num}: {found}, and there are {len(header)} columns")
            if values:
                rows.append((reader.line_num, dict(zip(header, values, strict=True))))
    except csv.Error as error:
        raise DataError(f"{path.name}, line {reader.line_num}: {error}") from None
    if len(header) < 2:
        raise DataError(
            f"{path.name} begins with {first[:80]!r}: a header with columns for image and label is expected"
        )
    checked_names([name for name in header if name], path.name)  # an index that pandas writes has no name
    return rows, header


def _column(source: Source, kind: str, header: list[str]) -> str | None:
    asked = getattr(source, kind)
    if asked is not None:
        if asked in header:
            return asked
        close = difflib.get_close_matches(asked, header, 1) or header
        raise DataError(f"data.{kind}: {source.path.name} has no column {asked!r}; did you mean {', '.join(close)}?")
    column = next((name for name in USUAL[kind] if name in header), None)
    if column is None and kind not in OPTIONAL:
        raise DataError(f"{source.path.name}: which column is the {kind}? Say {kind}: one of {', '.join(header)}")
    return column


def _image(base: Path, name: str, where: str) -> Path:
    path = base / name
    file = next((p for p in (path, *(Path(f"{path}{suffix}") for suffix in SUFFIXES)) if p.is_file()), None)
    if file is None:
        hint = "; folders are separated by /" if "\\" in name else ""
        raise DataError(f"{where}: there is no image {name} in {base}{hint}")
    return file


def _part(values: Mapping[str, str], where: str) -> str:
    word = values.get("split")
    if word is None:
        return ""
    if word.lower() not in PARTS:
        raise DataError(f"{where}: unknown split {word!r}: train, val or test is expected")
    return PARTS[word.lower()]
