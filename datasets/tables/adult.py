"""UCI Adult (Becker and Kohavi 1996): ``adult.data`` and ``adult.test``, 48,842 people by whether they earn more than
50,000 dollars a year."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from ..catalog import DataError
from ..files import checksum, damaged, read_bytes, vouch
from ..split import Images, Pool
from .columns import Column

OFFICIAL = {
    "adult.data": "md5:5d7c39d7b8804f071cdd1f2a7c460872",
    "adult.test": "md5:35238206dfdf7f1fe215bbb874adecdc",
}
CLASSES = ("<=50K", ">50K")
NUMBERS = ("age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week")
NAMES = (
    *("age", "workclass", "fnlwgt", "education", "education-num", "marital-status", "occupation", "relationship"),
    *("race", "sex", "capital-gain", "capital-loss", "hours-per-week", "native-country"),
)
COLUMNS = tuple(Column(name, "number" if name in NUMBERS else "category") for name in NAMES)
MISSING = "?"
LARGEST = 16 * 2**20


def read(folder: Path, verify: bool) -> Pool | None:
    """The pool of a folder that holds both files; None where it does not. DataError where they are damaged or, with
    ``verify``, not the official ones."""
    if not (paths := _files(folder)):
        return None
    hashes = {path.name: checksum(path, "md5") for path in paths}
    verified = vouch(folder, hashes, OFFICIAL, verify)
    parts = [_rows(path) for path in paths]
    categories = _categories([row for part in parts for row in part])
    train, test = (_images(part, path, categories) for part, path in zip(parts, paths, strict=True))
    return Pool(train, test, verified, hashes)


def categories_in(folder: Path) -> dict[str, tuple[str, ...]] | None:
    """The names of the categories of each column, in the order of their numbers; None where the files are not there."""
    if not (paths := _files(folder)):
        return None
    found = _categories([row for path in paths for row in _rows(path)])
    return {COLUMNS[place].name: tuple(names) for place, names in found.items()}


def _files(folder: Path) -> list[Path]:
    """Both files; none where one is missing."""
    paths = [folder / name for name in OFFICIAL]
    return paths if all(path.is_file() for path in paths) else []


def _rows(path: Path) -> list[list[str]]:
    """The lines with a label, without the comment that ``adult.test`` begins with and the dots behind its labels."""
    try:
        lines = read_bytes(path, LARGEST).decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise damaged(path, error) from None
    rows = []
    for number, words in enumerate(csv.reader(lines, skipinitialspace=True), start=1):
        if not words or words[0].startswith("|"):
            continue
        words[-1] = words[-1].removesuffix(".")
        if len(words) != len(NAMES) + 1 or words[-1] not in CLASSES:
            raise DataError(f"{path}, line {number}: 14 values and {' or '.join(CLASSES)} are expected: {words}")
        rows.append(words)
    return rows


def _categories(rows: list[list[str]]) -> dict[int, dict[str, float]]:
    """The position of each category among those of its column, in the order of their names."""
    places = [place for place, column in enumerate(COLUMNS) if column.kind == "category"]
    names = {place: sorted({row[place] for row in rows} - {MISSING}) for place in places}
    return {place: {name: float(i) for i, name in enumerate(found)} for place, found in names.items()}


def _images(rows: list[list[str]], path: Path, categories: dict[int, dict[str, float]]) -> Images:
    x = np.empty((len(rows), len(COLUMNS)))
    for place, column in enumerate(COLUMNS):
        value = categories[place].__getitem__ if column.kind == "category" else float
        try:
            x[:, place] = [np.nan if row[place] == MISSING else value(row[place]) for row in rows]
        except ValueError as error:
            raise DataError(f"{path}: {column.name}: {error}") from None
    return Images(x, np.array([CLASSES.index(row[-1]) for row in rows], np.int64))
