"""From a scan to a data set, whose pool is read as every data set's, through the arrays that are kept decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from ..array_cache import open_cached
from ..catalog import DataError, Dataset
from ..decoded_files import new_array
from ..rows import Rows, chunks
from ..split import Images, Pool
from .locate import located, remember, remembered
from .scan import Scan, scan
from .source import Source

ON_DISK_FROM = 2**28  # bytes of an array; a larger one is filled in a file, so that memory does not bound it
LEAST_DEVIATION = 1e-3


@dataclass(frozen=True)
class ImageFacts:
    """All that can be said of a user's images without their files; a trial's key holds it.

    ``sha256`` is the hash of the contents (see ``Scan.contents``), ``available`` and ``tested`` the training and test
    images of each class, ``shape`` channels, height and width, ``mean`` and ``std`` those of the training images, for
    each channel, of pixels in [0, 1]. ``groups`` is the hash of which training images belong together (see
    ``Scan.groups``), None where none do.
    """

    sha256: str
    classes: tuple[str, ...]
    available: tuple[int, ...]
    tested: tuple[int, ...]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    groups: str | None = None


def resolve(source: Source) -> tuple[ImageFacts, Scan]:
    """The facts of a source, and the scan that they are of. The images are decoded where they were not before.

    Raises:
        DataError: where they cannot be trained on; the message names the class or the files.
    """
    scanned = scan(source)
    facts = ImageFacts(
        scanned.contents,
        scanned.classes,
        scanned.counts(scanned.train),
        scanned.counts(scanned.test),
        scanned.shape,
        (),
        (),
        scanned.groups_hash,
    )
    kept = remembered(facts.sha256, facts.groups, facts.shape)
    if kept:
        moments = kept.moments
    else:
        moments = _moments(open_cached(dataset(source.name, facts, scanned), None, True).pool.train.x)
    remember(scanned, moments)
    return replace(facts, mean=moments[0], std=moments[1]), scanned


def dataset(name: str, facts: ImageFacts, scanned: Scan | None = None) -> Dataset:
    """The data set that the facts are of, under the name that tables show.

    ``scanned`` is its scan, where one was just made; otherwise the files are looked for when they are loaded, which
    raises DataError where files with these contents are nowhere.

    Args:
        name: The name.
        facts: What is known of the images.
        scanned: Their scan.
    """

    def load(root: Path | None, verify: bool) -> Pool:
        here = scanned or located(name, facts.sha256, facts.groups, facts.shape, root)
        train, test = (Images(_pixels(here, part), here.labels(part)) for part in (here.train, here.test))
        return Pool(train, test, True, official, here.groups)

    official = {"contents": f"sha256:{facts.sha256}"}
    return Dataset(
        name=name,
        classes=facts.classes,
        available=facts.available,
        head=facts.available[0],
        shape=facts.shape,
        mean=facts.mean,
        std=facts.std,
        load=load,
        layout="folder:PATH, csv:FILE or npz:FILE",
        terms="the user's own",
        description=f"{sum(facts.available)} + {sum(facts.tested)} images of {len(facts.classes)} classes",
        tested=facts.tested,
        official=official,
        contents=facts.sha256,
        groups=facts.groups or "",
    )


def _pixels(scanned: Scan, part: Sequence[int]) -> np.ndarray:
    shape = (len(part), *scanned.shape)
    goal = np.empty(shape, np.uint8) if prod(shape) < ON_DISK_FROM else new_array(shape)
    scanned.listing.fill(goal, part, [scanned.facts[index].digest for index in part])
    return goal


def _moments(x: np.ndarray | Rows) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and the deviation of each channel of uint8 images (N, channels, H, W), as shares of 255 and to four
    digits. The sums are of whole numbers, so that their order changes nothing. DataError where all are one colour."""
    total, squares = np.zeros(x.shape[1], np.uint64), np.zeros(x.shape[1], np.uint64)
    values = np.arange(256, dtype=np.uint64)
    for chunk in chunks(x):
        for channel in range(x.shape[1]):
            histogram = np.bincount(chunk[:, channel].reshape(-1), minlength=256).astype(np.uint64)
            total[channel] += (histogram * values).sum()
            squares[channel] += (histogram * values**2).sum()
    pixels = len(x) * x.shape[2] * x.shape[3]
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0))
    if (std / 255 < LEAST_DEVIATION).any():
        raise DataError("all training images have one and the same colour: there is nothing to tell them apart by")
    return tuple(round(float(m) / 255, 4) for m in mean), tuple(round(float(s) / 255, 4) for s in std)
