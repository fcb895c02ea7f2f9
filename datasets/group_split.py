"""Groups, such as the images of one patient, stay whole: which are set aside for validation, and for testing; and the
seed by which a test set is carved."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

# Of test sets. With the name or number of a class it is a stream of its own: trials draw from [seed, class number].
CARVE_SEED = 0x7E57
FOLDS = 5  # of which one is the test set


def set_aside(y: np.ndarray, groups: np.ndarray, seed: int, val_per_class: int) -> np.ndarray:
    """Draw whole groups until each class has enough images in them, the smallest class first.

    A group is passed over where a class would keep fewer than half of its images; where no group of a class is left
    then, one that leaves some image of each class to train on is taken.

    Args:
        y: The class of each image (N,).
        groups: The group of each image (N,), from 0.
        seed: One seed draws the same groups whatever the method.
        val_per_class: The images of each class that are wanted.

    Returns:
        Whether each image is of a group that is set aside (N,).

    Raises:
        ValueError: where all images of a class would have to be.
    """
    order = np.argsort(groups, kind="stable")
    bounds = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    sizes = np.bincount(y)
    kept, aside = sizes.copy(), np.zeros(groups.max() + 1, bool)
    for label in np.argsort(sizes, kind="stable"):
        drawn = np.random.default_rng([seed, int(label)]).permutation(np.unique(groups[y == label]))
        for wanted, least in ((val_per_class, sizes / 2), (1, np.ones(len(sizes)))):
            for group in drawn:
                if sizes[label] - kept[label] >= wanted:
                    break
                counted = np.bincount(y[order[bounds[group] : bounds[group + 1]]], minlength=len(sizes))
                if not aside[group] and (kept - counted >= least)[counted > 0].all():
                    aside[group] = True
                    kept -= counted
            if kept[label] < sizes[label]:
                break
        else:
            raise ValueError(
                f"class {label} has images of too few groups: none can be set aside for validation that leaves some of "
                "each class to train on"
            )
    return aside[groups]


def test_groups(labels: np.ndarray, groups: np.ndarray, names: Sequence[str], things: str) -> list[int]:
    """Whole groups for testing: the share of each class is as near to one of FOLDS as they allow.

    Args:
        labels: The class of each example (N,).
        groups: The group of each (N,), positions in ``names``.
        names: What the groups are called.
        things: What errors call the examples.

    Returns:
        The positions of the test examples, ascending.

    Raises:
        ValueError: where a class would have examples on one side only.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes, count = np.unique(labels), len(np.unique(groups))
    alone = next((name for name in classes if len(np.unique(groups[labels == name])) < 2), None)
    if alone is not None:
        raise ValueError(
            f"all {things} of class {str(alone)!r} are of one group ({names[groups[labels == alone][0]]!r}): a group "
            "stands on one side, so that the class could not be both trained and tested on"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with fewer examples than folds
        folded = StratifiedGroupKFold(min(FOLDS, count), shuffle=True, random_state=CARVE_SEED)
        for _, test in folded.split(labels, labels, groups):
            rest = np.delete(labels, test)
            if len(np.unique(labels[test])) == len(np.unique(rest)) == len(classes):
                return test.tolist()
    raise ValueError(
        f"no fifth of the groups has {things} of every class: give a column split, or folders train and test"
    )
