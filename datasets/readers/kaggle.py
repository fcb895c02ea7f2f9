"""Image sets as Kaggle has them: a ``train.csv`` beside a folder of images, of which only those with labels are read.

APTOS 2019 (blindness detection) and SIIM-ISIC 2020 (melanoma; Rotemberg et al. 2021, doi 10.34970/2020-ds01).
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..catalog import DataError
from ..files import read_bytes
from ..user_images.listing import Files, Item
from .fang import fifth_of_each_class, training_folds

LARGEST = 1 << 28  # bytes of a csv
APTOS_SEED, ISIC_SEED = 414, 23
FOLDERS = ("train", "jpeg/train")  # of ISIC's images: resized copies have the first, the competition the second
YEARS = ("melanoma-2020", "melanoma-2019")
DUPLICATES = "ISIC_2020_Training_Duplicates.csv"
DIAGNOSES = ("benign", "malignant")


def read_aptos(folder: Path, split: str) -> Files | None:
    """The labelled images, in the order of ``train.csv``; None where its layout is not there.

    ``split`` is ``fang`` or ``carved``. DataError where a column or an image is missing.
    """
    table = folder / "train.csv"
    if not table.is_file() or not (folder / "train_images").is_dir():
        return None
    rows = _rows(table, ("id_code", "diagnosis"))
    grades = [_number(row["diagnosis"], table, range(5)) for row in rows]
    held = fifth_of_each_class(grades, APTOS_SEED) if split == "fang" else set[int]()
    parts = [("test" if position in held else "train") if held else "" for position in range(len(rows))]
    paths = [_image(folder / "train_images", row["id_code"], ".png") for row in rows]
    items = [Item(path.name, str(grade), part) for path, grade, part in zip(paths, grades, parts, strict=True)]
    return _whole(items, paths)


def read_isic(folder: Path, split: str) -> Files | None:
    """The labelled images without duplicates; None where its layout is not there.

    ``split`` is ``patients`` (2020's images, of which each patient's stand on one side) or ``fang`` (the folds
    ``tfrecord`` of ``melanoma-2020`` and ``melanoma-2019``). DataError where a column or an image is missing.
    """
    if split == "fang":
        return _read_folds(folder)
    for place in (folder, folder / YEARS[0]):
        images = next((place / name for name in FOLDERS if (place / name).is_dir()), None)
        if images and (place / "train.csv").is_file():
            return _read_patients(place, images)
    return None


def _read_patients(folder: Path, images: Path) -> Files:
    table = folder / "train.csv"
    rows = _rows(table, ("image_name", "patient_id", "target"))
    doubled, how = _duplicates(folder, rows)
    kept = [row for row in rows if row["image_name"] not in doubled]
    paths = [_image(images, row["image_name"], ".jpg") for row in kept]
    items = [
        Item(path.name, _diagnosis(row, table), "", row["patient_id"]) for path, row in zip(paths, kept, strict=True)
    ]
    return _whole(items, paths, [f"{len(rows) - len(kept)} duplicates were left out, by {how}"])


def _duplicates(folder: Path, rows: Sequence[dict[str, str]]) -> tuple[set[str], str]:
    """The names of images that are another's duplicates, and what says so."""
    if "tfrecord" in rows[0]:
        table = folder / "train.csv"
        return {row["image_name"] for row in rows if _number(row["tfrecord"], table) < 0}, "their folds in train.csv"
    listed = folder / DUPLICATES
    if not listed.is_file():
        raise DataError(
            f"{folder} does not say which images are duplicates: a column tfrecord in train.csv, or {DUPLICATES} "
            "beside it, is expected."
        )
    pairs = [list(row.values()) for row in _rows(listed, ())]
    return {pair[1].removesuffix(".jpg") for pair in pairs if len(pair) > 1}, DUPLICATES


def _read_folds(folder: Path) -> Files | None:
    if not all((folder / year / "train.csv").is_file() and (folder / year / "train").is_dir() for year in YEARS):
        return None
    generator, items, paths = np.random.RandomState(ISIC_SEED), list[Item](), list[Path]()
    for year in YEARS:
        table = folder / year / "train.csv"
        rows = _rows(table, ("image_name", "target", "tfrecord"))
        folds = [_number(row["tfrecord"], table) for row in rows]
        trained = training_folds(folds, generator)
        for row, fold in zip(rows, folds, strict=True):
            if fold >= 0:
                paths.append(_image(folder / year / "train", row["image_name"], ".jpg"))
                part = "train" if fold in trained else "test"
                items.append(Item(f"{year}/{paths[-1].name}", _diagnosis(row, table), part))
    return _whole(items, paths)


def _diagnosis(row: dict[str, str], table: Path) -> str:
    return DIAGNOSES[_number(row["target"], table, range(2))]


def _number(word: str, table: Path, allowed: range | None = None) -> int:
    try:
        number = int(float(word))
    except (ValueError, OverflowError):
        number = None
    if number is None or (allowed is not None and number not in allowed):
        expected = f"{allowed[0]} to {allowed[-1]}" if allowed else "a whole number"
        raise DataError(f"{table} holds {word!r} where {expected} is expected.")
    return number


def _rows(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        text = read_bytes(table, LARGEST).decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        rows = [{name: word or "" for name, word in row.items() if name} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read: {error}") from None
    lacks = [name for name in columns if name not in (reader.fieldnames or ())]
    if lacks or not rows:
        raise DataError(f"{table} has no {f'column {lacks[0]!r}' if lacks else 'line below its header'}.")
    return rows


def _image(folder: Path, name: str, suffix: str) -> Path:
    if not name or Path(name).name != name:
        raise DataError(f"{folder.parent / 'train.csv'} names {name!r}, which is no image in {folder}.")
    return folder / f"{name}{suffix}"


def _whole(items: list[Item], paths: list[Path], notes: Sequence[str] = ()) -> Files:
    """The listing, unless an image is missing or stands twice."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        more = f" and {len(missing) - 1:,} more" if len(missing) > 1 else ""
        raise DataError(f"{missing[0]}{more} of {len(paths):,} images are missing: the copy is not complete.")
    path, times = Counter(paths).most_common(1)[0]
    if times > 1:
        raise DataError(f"{path.name} stands {times} times in the csv: each image belongs there once.")
    return Files(items, paths, notes)
