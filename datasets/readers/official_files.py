"""The pool of a data set of the catalog that is read from official files: found, and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ..catalog import DataError, Dataset
from ..files import folders_for, missing
from ..split import Pool

Reader = Callable[[Path, bool], Pool | None]


def load_official(
    dataset: Dataset, readers: Sequence[Reader], root: Path | None, verify: bool, *elsewhere: Path
) -> Pool:
    """The pool from the first folder in which a reader finds its layout.

    Args:
        dataset: Which.
        readers: Each returns a folder's pool, or None where its layout is not there.
        root: The folder that holds the data, beside those that are always looked in.
        verify: Refuse files whose checksums are not the official ones.
        elsewhere: Further folders, the last that are looked in.

    Raises:
        DataError: where the files are nowhere, cannot be read, or are not all there.
    """
    searched = [*folders_for(dataset.name, root), *elsewhere]
    try:
        for folder in searched:
            for read in readers:
                pool = read(folder, verify)
                if pool is not None:
                    _check_complete(pool, dataset, folder)
                    return pool
    except OSError as error:
        raise DataError(f"the data set {dataset.name!r} could not be read: {error}") from None
    command = f"tailboard data prepare {dataset.name}" + (f" --root {root}" if root else "")
    raise missing(dataset.name, searched, dataset.layout, dataset.terms, dataset.how or command)


def _check_complete(pool: Pool, dataset: Dataset, folder: Path) -> None:
    """Every label is one of the classes, and each class has the images or rows that plans and strangers count on."""
    classes, things = len(dataset.classes), "rows" if dataset.columns else "images"
    for labels in (pool.train.y, pool.test.y):
        if not np.isin(labels, range(classes)).all():
            raise DataError(f"{folder} holds labels outside 0 to {classes - 1}, those of {dataset.name}.")
    for part, labels, counts in (("training", pool.train.y, dataset.available), ("test", pool.test.y, dataset.tested)):
        present = np.bincount(labels, minlength=classes).tolist()
        for name, count, expected in zip(dataset.classes, present, counts or present, strict=True):
            if count != expected:
                raise DataError(
                    f"{folder} holds {count} {part} {things} of class {name!r} where {dataset.name} has {expected}: "
                    "the copy is not complete, fetch it again."
                )
