"""What a data set must hold: its declaration, and the pool that it loads. It is checked once a machine, before anything
trains, so that a mistake in a reader is its author's to see, and never a method that failed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .catalog import DataError, Dataset
from .split import Images, Pool


def check(dataset: Dataset, pool: Pool) -> None:
    """Whether a pool is what its data set declares and a trial needs.

    Raises:
        DataError: with the first field that is wrong, what it holds and what belongs there.
    """
    if fault := next(_faults(dataset, pool), None):
        raise DataError(f"the data set {dataset.name!r} breaks the contract of data sets: {fault}")


def _faults(dataset: Dataset, pool: Pool) -> Iterator[str]:
    yield from _declared(dataset)
    for part, images in (("train", pool.train), ("test", pool.test)):
        yield from _images(dataset, part, images)
    yield from _counted(dataset, pool)


def _declared(dataset: Dataset) -> Iterator[str]:
    classes, shape = len(dataset.classes), dataset.shape
    if classes < 2 or len(set(dataset.classes)) < classes:
        yield f"classes: at least two different names belong there, not {list(dataset.classes)[:5]}"
    if len(dataset.available) != classes or min(dataset.available) < 1:
        yield f"available: a number of training images for each of the {classes} classes belongs there"
    if dataset.tested and len(dataset.tested) != classes:
        yield f"tested: {len(dataset.tested)} numbers for {classes} classes"
    if dataset.columns:
        if shape != (len(dataset.columns),):
            yield f"shape: ({len(dataset.columns)},) belongs there, the number of columns, not {shape}"
    elif len(shape) != 3 or min(shape) < 1:
        yield f"shape: (channels, height, width) belongs there, not {shape}"
    for name, values in (("mean", dataset.mean), ("std", dataset.std)):
        if not values:  # measured from the training images
            continue
        if len(values) != shape[0] or not np.isfinite(values).all() or (name == "std" and min(values) <= 0):
            yield f"{name}: a number for each of {shape[0]} channels belongs there, not {values}"


def _images(dataset: Dataset, part: str, images: Images) -> Iterator[str]:
    x, y, shape = images.x, images.y, tuple(dataset.shape)
    if dataset.columns:
        if not isinstance(x, np.ndarray) or x.dtype != np.float64 or x.shape[1:] != shape or np.isinf(x).any():
            yield f"{part}.x: rows of {shape[0]} finite or missing numbers (float64) belong there"
    elif not isinstance(x, np.ndarray) or x.dtype != np.uint8:
        kind = getattr(x, "dtype", type(x).__name__)
        yield f"{part}.x: pixels are bytes from 0 to 255 (uint8), not {kind}: np.round(255 * x).astype(np.uint8)"
    elif x.ndim != 4 or x.shape[1:] != shape:
        last = x.ndim == 4 and (x.shape[3], *x.shape[1:3]) == shape
        mend = ": x.transpose(0, 3, 1, 2) puts the channels first" if last else ""
        yield f"{part}.x: images of shape {shape} belong there (channels, height, width), not {x.shape[1:]}{mend}"
    if not isinstance(y, np.ndarray) or y.dtype != np.int64 or y.ndim != 1:
        kind = getattr(y, "dtype", type(y).__name__)
        yield f"{part}.y: one label an image (int64), not {kind} of shape {np.shape(y)}: y.astype(np.int64)"
    if len(x) != len(y):
        yield f"{part}: {len(x)} images, and {len(y)} labels"
    if len(y) == 0 or y.min() < 0 or y.max() >= len(dataset.classes):
        held = f"{y.min()} to {y.max()}" if len(y) else "none"
        yield f"{part}.y: labels are 0 to {len(dataset.classes) - 1}, not {held}"


def _counted(dataset: Dataset, pool: Pool) -> Iterator[str]:
    classes = len(dataset.classes)
    train, test = (np.bincount(images.y, minlength=classes).tolist() for images in (pool.train, pool.test))
    for name, has, tests, said in zip(dataset.classes, train, test, dataset.available, strict=True):
        if has < said:
            yield f"available: {said} training images of the class {name!r}, but the pool has {has}"
        if tests == 0:
            yield f"test.y: no test image of the class {name!r}, whose accuracy cannot be measured"
    if dataset.tested and test != list(dataset.tested):
        yield f"tested: {list(dataset.tested)[:10]} test images of the classes, but the pool has {test[:10]}"
