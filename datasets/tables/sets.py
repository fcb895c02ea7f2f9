"""The tables of the catalog: Adult and Forest Cover."""

from __future__ import annotations

from pathlib import Path

from ..catalog import Dataset, register_dataset
from ..fetching import destination, fetch
from ..files import folders_for
from ..readers.official_files import load_official
from . import adult, covertype

ADULT_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/adult/"
COVERTYPE_HOW = (
    "put the file covtype.data.gz of https://archive.ics.uci.edu/dataset/31/covertype into covertype/ of --root"
)
RAMP_HOW = (
    f"put the file {covertype.RAMP} into a folder covertype-ramp of --root; no address that offers it is known. The "
    "rows are those of RAMP's kit covertype, scaled: a part of the data set covertype, which UCI offers"
)
COVERTYPE_LAYOUT = "covtype.data.gz or covtype.data (UCI's), or covertype/{samples,targets}_py3 (scikit-learn's)"


def _adult_categories(root: Path | None) -> dict[str, tuple[str, ...]]:
    return next(filter(None, map(adult.categories_in, folders_for("adult", root))))


def _prepare_adult(root: Path | None) -> Path:
    folder = destination("adult", root)
    for name, checksum in adult.OFFICIAL.items():
        fetch(ADULT_URL + name, checksum.removeprefix("md5:"), folder / name)
    return folder


ADULT = register_dataset(
    Dataset(
        name="adult",
        classes=adult.CLASSES,
        available=(24720, 7841),
        head=24720,
        shape=(len(adult.COLUMNS),),
        mean=(),
        std=(),
        load=lambda root, verify: load_official(ADULT, (adult.read,), root, verify),
        layout="adult.data and adult.test",
        terms="CC BY 4.0; doi 10.24432/C5XW20",
        description="48,842 people, 14 columns, by whether they earn more than 50,000 dollars (Becker and Kohavi 1996)",
        prepare=_prepare_adult,
        tested=(12435, 3846),
        official=adult.OFFICIAL,
        columns=adult.COLUMNS,
        categories=_adult_categories,
    )
)


def _cover(name: str, counts: tuple[int, ...], layout: str, how: str, words: str, official: dict[str, str]) -> Dataset:
    tested = covertype.tested(counts)
    available = tuple(count - test for count, test in zip(counts, tested, strict=True))
    return Dataset(
        name=name,
        classes=covertype.CLASSES,
        available=available,
        head=available[0],
        shape=(len(covertype.COLUMNS),),
        mean=(),
        std=(),
        load=lambda root, verify: load_official(COVER[name], (READERS[name],), root, verify),
        layout=layout,
        how=how,
        terms="CC BY 4.0; doi 10.24432/C50K5N",
        description=f"{sum(counts):,} patches of forest, 54 columns, {words} (Blackard and Dean 1998)",
        tested=tested,
        official=official,
        columns=covertype.COLUMNS,
    )


READERS = {"covertype": covertype.read, "covertype-ramp": covertype.read_part}
COVER = {
    dataset.name: register_dataset(dataset)
    for dataset in (
        _cover("covertype", covertype.COUNTS, COVERTYPE_LAYOUT, COVERTYPE_HOW, "7 cover types", {}),
        _cover(
            "covertype-ramp",
            covertype.RAMP_COUNTS,
            covertype.RAMP,
            RAMP_HOW,
            "7 cover types, 16 percent of the whole set",
            {covertype.RAMP: covertype.RAMP_SHA256},
        ),
    )
}
