"""Some classes of a data set as a data set of its own: a pair of them, or superclasses, each of which is one class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import wraps
from pathlib import Path

import numpy as np

from .catalog import DataError, Dataset
from .split import Images, Pool


def chosen(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The data set of these classes alone, in this order.

    Args:
        dataset: Which the classes are of.
        names: Of classes or superclasses; a superclass has the images of all of its classes.

    Returns:
        The data set, under the same name.

    Raises:
        DataError: where a class would be in it twice.
        KeyError: where a name is none of the data set's.
    """
    parts = [_members(dataset, name) for name in names]
    twice = [number for number, times in Counter(number for part in parts for number in part).items() if times > 1]
    if twice:
        raise DataError(f"data.classes: {dataset.classes[twice[0]]!r} of {dataset.name} would be in it twice")
    label = np.full(len(dataset.classes), -1)
    for new, part in enumerate(parts):
        label[list(part)] = new

    @wraps(dataset.load)  # so that what is kept decoded is made anew when the reader's code changes
    def load(root: Path | None, verify: bool) -> Pool:
        pool = dataset.load(root, verify)
        kept = label[pool.train.y] >= 0
        groups = None if pool.groups is None else np.unique(pool.groups[kept], return_inverse=True)[1]
        train, test = (_relabelled(images, label) for images in (pool.train, pool.test))
        return Pool(train, test, pool.verified, pool.hashes, groups)

    available = tuple(sum(dataset.available[number] for number in part) for part in parts)
    return replace(
        dataset,
        classes=tuple(names),
        available=available,
        head=available[0] if len(parts[0]) > 1 else min(dataset.head, available[0]),
        tested=tuple(sum(dataset.tested[number] for number in part) for part in parts) if dataset.tested else (),
        load=load,
        superclasses={},
    )


def _members(dataset: Dataset, name: str) -> list[int]:
    """The numbers of the classes that a name stands for."""
    names = (name,) if name in dataset.classes else dataset.superclasses[name]
    return [dataset.classes.index(each) for each in names]


def _relabelled(images: Images, label: np.ndarray) -> Images:
    """The images whose class has a new label, with that one."""
    new = label[images.y]
    return Images(images.x[np.flatnonzero(new >= 0)], new[new >= 0].astype(np.int64))
