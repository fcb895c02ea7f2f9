"""The splits of Fang, Kornblith and Schmidt, Does progress on ImageNet transfer to real-world datasets? (arXiv
2301.04644): their code publishes none of them as files, so they are drawn here as it draws them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SHARE = 0.2  # of each class, rounded down


def fifth_of_each_class(labels: Sequence[int], seed: int) -> set[int]:
    """The positions of the images that they evaluate on.

    Args:
        labels: The class number of each image, in the order of the data set's files.
        seed: Of NumPy's legacy generator, from which the classes draw one after the other.
    """
    generator, y = np.random.RandomState(seed), np.asarray(labels)
    held: set[int] = set()
    for label in range(int(y.max()) + 1):
        members = np.flatnonzero(y == label)
        held.update(generator.choice(members, int(SHARE * len(members)), replace=False).tolist())
    return held


def training_folds(folds: Sequence[int], generator: np.random.RandomState) -> set[int]:
    """The folds that they train on, four fifths of those from 0; those below hold duplicates."""
    known = sorted({fold for fold in folds if fold >= 0})
    return set(generator.choice(known, size=int((1 - SHARE) * len(known)), replace=False).tolist())
