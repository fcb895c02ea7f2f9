"""A table that is made, not measured: 125,000 training rows and 20,000 test rows of two classes by fifty columns. It is
for measuring what a run takes: no file is needed, and what is learnt on it says nothing of real data.

Forty columns are numbers. Twelve tell the classes apart, but not by one line: the rows of each class lie around four
points. Eight are sums of two of those with noise, and twenty are noise. Ten columns are categories of six values, four
of which are rarer or more frequent in the rare class.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from ..catalog import Dataset, register_dataset
from ..split import Images, Pool
from .columns import Column

NAME = "simulated-table"
CLASSES = ("frequent", "rare")
TRAINED, TESTED = (118_750, 6_250), (19_000, 1_000)
TELLING, SUMS, NOISE, CATEGORIES, SKEWED, VALUES = 12, 8, 20, 10, 4, 6
POINTS, SPREAD = 4, 0.7  # of each class; how far its points lie from the middle, in deviations of a column
SEED = 0x100000
OFFICIAL = {"rows": "sha256:de13977f1ceb47996093699d6f19188aa3916f71bda96c96a69009f4ef5e2484"}
COLUMNS = (
    *(Column(f"number {i}") for i in range(1, 1 + TELLING + SUMS + NOISE)),
    *(Column(f"category {i}", "category") for i in range(1, 1 + CATEGORIES)),
)


def pool(root: Path | None = None, verify: bool = True) -> Pool:
    """The rows, which are the same wherever they are made; not verified where this NumPy draws other ones."""
    train, test = (_rows(counts, place) for place, counts in enumerate((TRAINED, TESTED)))
    digest = hashlib.sha256()
    for part in (train, test):
        digest.update(np.ascontiguousarray(part.x).data)
        digest.update(np.ascontiguousarray(part.y).data)
    hashes = {"rows": f"sha256:{digest.hexdigest()}"}
    return Pool(train, test, hashes == OFFICIAL, hashes)


def _rows(counts: tuple[int, ...], place: int) -> Images:
    """So many rows of each class in a drawn order. Only sums and products of single numbers are formed, and those
    rounded, so that the bits do not depend on a library of linear algebra."""
    points = np.random.default_rng(SEED).choice([-SPREAD, SPREAD], (len(counts), POINTS, TELLING))
    rng = np.random.default_rng([SEED, place])
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    telling = points[y, rng.integers(0, POINTS, len(y))] + rng.standard_normal((len(y), TELLING))
    sums = telling[:, :SUMS] + telling[:, TELLING - SUMS :] + rng.standard_normal((len(y), SUMS))
    noise = rng.standard_normal((len(y), NOISE))
    share = rng.random((len(y), CATEGORIES))
    skewed = (np.arange(CATEGORIES) < SKEWED) & (y == 1)[:, None]
    values = np.floor(VALUES * np.where(skewed, share * share, share))
    numbers = np.round(np.hstack([telling, sums, noise]), 3)
    return Images(np.hstack([numbers, values]), y.astype(np.int64))


SIMULATED = register_dataset(
    Dataset(
        name=NAME,
        classes=CLASSES,
        available=TRAINED,
        head=TRAINED[0],
        shape=(len(COLUMNS),),
        mean=(),
        std=(),
        load=pool,
        layout="none: it is made where it is needed",
        how="no file is needed: it is made where it is asked for",
        terms="made by tailboard",
        description="145,000 simulated rows, 50 columns, one in twenty of the rare class: to measure times with",
        tested=TESTED,
        official=OFFICIAL,
        columns=COLUMNS,
        categories=lambda root: {
            column.name: tuple("abcdef"[:VALUES]) for column in COLUMNS if column.kind == "category"
        },
    )
)
