"""Table: what a source holds, read whole: its columns and what they are, its classes, its test rows, its groups."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from ..catalog import DataError
from ..tables.columns import Column
from ..user_images.class_names import check_class_names, class_order
from ..user_images.source import USUAL_COLUMNS
from . import cells, parts
from .cells import Cells, RawTable
from .doubtful_columns import doubt, without_indexes
from .npz_file import NpzFile
from .openml_cache import OpenmlSet
from .parquet_file import ParquetFile
from .source import FILES, WORDS, TableSource
from .text_file import CsvFile

MOST_CLASSES = 1000
MOST_CATEGORIES = 1000  # of a column of texts
SHOWN = 8  # columns that a message names


class TableFile(Protocol):
    """A file with a table: its ``names`` are known at once, its rows when they are read; ``label`` is the column of
    labels that it names itself, if it does."""

    file: str
    names: list[str]
    label: str | None

    def read(self, texts: Any) -> RawTable:
        """All rows, of which the columns ``texts`` are texts whatever they hold."""
        ...


READERS: dict[str, Callable[[TableSource], TableFile]] = {
    "csv": lambda source: CsvFile(source.path),
    "parquet": lambda source: ParquetFile(source.path),
    "openml": lambda source: OpenmlSet(source.path, source.member),
    "imblearn": lambda source: NpzFile(source.path, source.member),
}


@dataclass(frozen=True)
class Table:
    """A table that can be trained on: its rows in the order of the file.

    ``x`` (N, columns) is float64 as ``columns`` say, ``y`` (N,) the class of each row, positions in ``classes``, which
    begin with the one that has most training rows; ``test`` (N,) says which are tested on, ``group`` (N,) which belong
    together (None: none do), ``categories`` what the values of each column of categories stand for. ``roles`` name the
    columns of label, group, split and weight; ``notes`` say in sentences what was seen and done.
    """

    source: TableSource
    columns: tuple[Column, ...]
    categories: tuple[tuple[str, ...], ...]
    classes: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    test: np.ndarray
    group: np.ndarray | None
    roles: dict[str, str]
    notes: tuple[str, ...]

    @cached_property
    def contents(self) -> str:
        """The SHA-256 of the classes, the columns with their categories, and the training and test rows in their
        order: where the file lies, and what it is called, is not in it."""
        about = [self.classes, [[*column] for column in self.columns], self.categories]
        digest = hashlib.sha256(json.dumps(about).encode())
        for part in (~self.test, self.test):
            digest.update(b"part")
            digest.update(self.y[part].astype("<i8").tobytes())
            digest.update(np.ascontiguousarray(self.x[part], "<f8").tobytes())
        return digest.hexdigest()

    @cached_property
    def groups(self) -> np.ndarray | None:
        """The group of each training row, numbered as they first appear; None where the table has none."""
        if self.group is None:
            return None
        _, first, numbers = np.unique(self.group[~self.test], return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[numbers].astype(np.int64)

    @property
    def groups_hash(self) -> str | None:
        """The SHA-256 of the groups: what they are called is not in it."""
        return None if self.groups is None else hashlib.sha256(self.groups.astype("<i8").tobytes()).hexdigest()

    def counts(self, part: np.ndarray) -> tuple[int, ...]:
        """The rows of each class in a part (N,)."""
        return tuple(np.bincount(self.y[part], minlength=len(self.classes)).tolist())


def table(source: TableSource, unnamed_indexes: bool = False) -> Table:
    """What a source holds. DataError, with the column or the line, where it cannot be trained on.

    Args:
        source: The source.
        unnamed_indexes: Whether indexes of pandas without a name are learnt from, as they were in earlier versions.
    """
    file = READERS[source.kind](source)
    roles = _roles(file, source)
    rows = file.read({name for role, name in roles.items() if role != "weight"})
    of_role = {role: next(c for c in rows.columns if c.name == name) for role, name in roles.items()}
    label = _label(rows, of_role["label"])
    groups = _groups(rows, of_role.get("group"))
    test, how = parts.tested(rows, label, of_role.get("split"), groups)
    features, notes = [column for column in rows.columns if column.name not in roles.values()], list[str]()
    if not unnamed_indexes:
        features, notes = without_indexes(features, rows.indexes)
    if not features:
        raise DataError(f"{rows.file} has no column to learn from beside {' and '.join(roles.values())}")
    read = [_feature(rows, column) for column in features]
    if source.kind in FILES:  # a collection says itself what is a category
        notes += _doubtful(rows, features, read)
    if weight := of_role.get("weight"):
        read.append((Column(weight.name, "weight"), (), _weights(rows, weight)))
    trained = np.bincount(label.codes[~test], minlength=len(label.texts))
    classes = class_order(dict(zip(label.texts, trained.tolist(), strict=True)))
    place = np.array([classes.index(name) for name in label.texts])
    columns = tuple(column for column, _, _ in read)
    used = ", ".join(f"{role}: column {name!r}" for role, name in roles.items())
    return Table(
        source,
        columns,
        tuple(texts for _, texts, _ in read),
        classes,
        np.column_stack([values for _, _, values in read]),
        place[label.codes].astype(np.int64),
        test,
        groups.codes if groups else None,
        roles,
        (f"{source.name} is a table: {used}", _kinds(columns), *notes, how),
    )


def _roles(file: TableFile, source: TableSource) -> dict[str, str]:
    """The columns of label, group, split and weight, by these words. DataError for one that is not there."""
    roles = {}
    for word in WORDS:
        asked = getattr(source, word)
        if asked is not None and asked not in file.names:
            close = get_close_matches(asked, file.names, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"it has {_some(file.names)}"
            raise DataError(f"data.{word}: {file.file} has no column {asked!r}; {hint}")
        own = file.label if word == "label" and file.label in file.names else None
        usual = next((name for name in USUAL_COLUMNS.get(word, ()) if name in file.names), None)
        if name := asked or own or usual:
            roles[word] = name
    if "label" not in roles:
        raise DataError(f"{file.file}: which column is the label? Say label: one of {_some(file.names)}")
    for word, name in roles.items():
        if twice := [other for other in roles if other != word and roles[other] == name]:
            raise DataError(f"data.{word}: the column {name!r} is that of {twice[0]} too: name two columns")
    return roles


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f", ... ({len(names)} columns)" if len(names) > SHOWN else "")


def _whole(rows: RawTable, column: Cells, what: str) -> None:
    """DataError where a row has no value."""
    lacking = np.flatnonzero(column.missing())
    if len(lacking):
        more = f", and in {len(lacking) - 1} rows more" if len(lacking) > 1 else ""
        raise DataError(
            f"{rows.where(lacking)}: the {what} (column {column.name!r}) is missing{more}: fill it in, or remove it"
        )


def _label(rows: RawTable, column: Cells) -> Cells:
    _whole(rows, column, "label")
    if len(column.texts) == 1:
        raise DataError(
            f"{rows.file}: the label (column {column.name!r}) is {column.texts[0]!r} in every row: two classes are "
            "needed at least"
        )
    if len(column.texts) > MOST_CLASSES:
        raise DataError(
            f"{rows.file}: the label (column {column.name!r}) has {len(column.texts):,} different values, and at most "
            f"{MOST_CLASSES:,} classes can be had: is it a number, or an identifier?"
        )
    check_class_names(column.texts, rows.file)
    return column


def _groups(rows: RawTable, column: Cells | None) -> Cells | None:
    if column is not None:
        _whole(rows, column, "group")
    return column


def _weights(rows: RawTable, column: Cells) -> np.ndarray:
    _whole(rows, column, "weight")
    if column.numbers is None:
        raise DataError(f"{rows.file}: the weight (column {column.name!r}) holds texts such as {column.texts[0]!r}")
    wrong = np.flatnonzero(~(np.isfinite(column.numbers) & (column.numbers > 0)))
    if len(wrong):
        value = column.numbers[wrong[0]]
        raise DataError(
            f"{rows.where(wrong)}: the weight (column {column.name!r}) is {value:g}: more than 0 is expected"
        )
    return column.numbers


def _feature(rows: RawTable, column: Cells) -> tuple[Column, tuple[str, ...], np.ndarray]:
    """A column to learn from, what its categories are, and its values (N,)."""
    if column.missing().all():
        raise DataError(f"{rows.file}: the column {column.name!r} has no value in any row: remove it")
    if column.numbers is not None:
        endless = np.flatnonzero(np.isinf(column.numbers))
        if len(endless):
            raise DataError(
                f"{rows.where(endless)}: the column {column.name!r} holds {column.numbers[endless[0]]}: leave it empty "
                "where there is no value"
            )
        return Column(column.name), (), column.numbers + 0.0  # -0.0 is 0
    dated = cells.days(column.texts)
    if dated is not None:
        return Column(column.name, "date"), (), np.append(dated, np.nan)[column.codes]
    if len(column.texts) > MOST_CATEGORIES:
        what, said = doubt(rows, column)
        meant = f"nearly all are {what}, but {said}" if said else "free text or an identifier? Remove the column"
        raise DataError(
            f"{rows.file}: the column {column.name!r} has {len(column.texts):,} different texts, such as "
            f"{column.texts[0][:40]!r}, and at most {MOST_CATEGORIES:,} categories can be had: {meant}"
        )
    return Column(column.name, "category"), column.texts, np.where(column.codes < 0, np.nan, column.codes)


def _doubtful(rows: RawTable, features: Sequence[Cells], read: Sequence[tuple[Column, Any, Any]]) -> list[str]:
    """Of each column of categories that may have been meant as one of numbers or dates, a sentence."""
    found = [
        (cells.name, doubt(rows, cells)[1])
        for cells, (column, _, _) in zip(features, read, strict=True)
        if column.kind == "category"
    ]
    return [f"column {name!r} is read as categories: {said}" for name, said in found if said]


def _kinds(columns: Sequence[Column]) -> str:
    """What the columns are, in a sentence."""
    words = []
    for kind, singular, plural in (
        ("number", "number", "numbers"), ("category", "category", "categories"), ("date", "date", "dates")
    ):  # fmt: skip
        if count := sum(column.kind == kind for column in columns):
            words.append(f"{count} {singular if count == 1 else plural}")
    dates = [column.name for column in columns if column.kind == "date"]
    said = f"; of dates ({_some(dates)}) the days since 1970-01-01 are learnt from" if dates else ""
    return f"{sum(column.kind != 'weight' for column in columns)} columns to learn from: {', '.join(words)}{said}"
