"""Source: where a table is, a user's own or one of a collection, and which of its columns say what."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..catalog import DataError
from ..user_images.source import IMAGE_COLUMNS, separator
from . import collections_of_tables as collections

FILES = ("csv", "parquet")
KINDS = (*FILES, *collections.KINDS)
WORDS = ("label", "group", "split", "weight")  # of a spec, that name a column
HINT = "For a table: csv:FILE or parquet:FILE with label: COLUMN, openml:ID or imblearn:NAME."
IMAGE_WORDS = ("image", "images", "size")
START = 2**16  # bytes in which a csv's header is looked for, where all that is asked is whether it is one of images


@dataclass(frozen=True)
class TableSource:
    """``kind`` is one of KINDS, ``path`` the file, or of ``openml`` the folder that holds scikit-learn's cache, and
    ``member`` which of a collection. ``label``, ``group``, ``split`` and ``weight`` name columns; None stands for what
    is usual."""

    kind: str
    path: Path
    member: str = ""
    label: str | None = None
    group: str | None = None
    split: str | None = None
    weight: str | None = None

    @property
    def name(self) -> str:
        """What reports show: the kind and the last part of the path, or which of a collection."""
        return f"{self.kind}:{self.member or self.path.name}"


def is_user_table(words: Mapping[str, Any], folder: Path) -> bool:
    """Whether an entry of ``data`` names a table: every ``parquet:``, ``openml:`` and ``imblearn:``, and a ``csv:``
    that has no column of images and nothing said of images."""
    name = words.get("name")
    kind, colon, place = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not colon or kind not in KINDS:
        return False
    if kind != "csv":
        return True
    path = folder / Path(place).expanduser()
    if any(words.get(word) is not None for word in IMAGE_WORDS) or not place or not path.is_file():
        return False
    with path.open("rb") as file:
        return not set(header(file.read(START))) & set(IMAGE_COLUMNS)


def header(data: bytes) -> list[str]:
    """The names in the first line of a csv, which the bytes begin with."""
    text = data.decode("utf-8-sig", errors="replace")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator(text), skipinitialspace=True)
    try:
        return [name.strip() for name in next(rows, [])]
    except csv.Error:
        return []


def source_of(words: Mapping[str, Any], folder: Path, root: Path | None = None) -> TableSource:
    """The source that the words of a spec stand for.

    Args:
        words: ``name`` as in ``csv:people.csv``, and any of WORDS.
        folder: What a relative path is relative to.
        root: The folder that holds collections, beside those that are always looked in.

    Raises:
        DataError: where a word is not what it should be, or nothing is there.
    """
    kind, _, place = str(words["name"]).partition(":")
    given = {word: words[word] for word in WORDS if words.get(word) is not None}
    for word, value in given.items():
        if not isinstance(value, str):
            raise DataError(f"data.{word}: the name of a column is expected, not {value!r}")
    if wrong := [word for word in IMAGE_WORDS if words.get(word) is not None]:
        raise DataError(f"data.{wrong[0]}: is said of images, and {words['name']} is a table")
    if not place:
        raise DataError(f"data: {kind}: is followed by a name, as in {collections.EXAMPLES.get(kind, f'{kind}:FILE')}")
    if kind in collections.KINDS:
        return TableSource(kind, collections.place_of(kind, place, root), place, **given)
    path = (folder / Path(place).expanduser()).resolve()
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise DataError(f"data: {kind}:{place}: {path} is {what}")
    return TableSource(kind, path, **given)
