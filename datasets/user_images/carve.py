"""A test set carved from images that have none: a fifth of each class, by a seed that no trial's seed touches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..catalog import DataError
from ..group_split import CARVE_SEED, FOLDS, test_groups
from .listing import Item
from .pictures import Facts


def carve(items: Sequence[Item], facts: Sequence[Facts]) -> tuple[list[int], list[int]]:
    """Training and test images, by position and in order.

    Files with the same bytes stand on one side; so do whole groups, where the items have any. The share of each class
    is then as near to a fifth as the groups allow.

    Raises:
        DataError: where a class would have images on one side only.
    """
    if any(item.group for item in items):
        test = _by_group(items)
    else:
        test = [index for name in sorted({item.label for item in items}) for index in _of_class(name, items, facts)]
    inside = set(test)
    return [index for index in range(len(items)) if index not in inside], sorted(test)


def _of_class(name: str, items: Sequence[Item], facts: Sequence[Facts]) -> list[int]:
    members = [index for index, item in enumerate(items) if item.label == name]
    copies: dict[str, list[int]] = {}
    for index in members:
        copies.setdefault(facts[index].digest, []).append(index)
    distinct = list(copies.values())
    if len(distinct) < 2:
        what = "a single image" if len(members) == 1 else f"{len(members)} copies of a single image"
        raise DataError(f"class {name!r} has {what}: at least two are needed, one to train on and one to test on")
    wanted = max(1, round(len(members) / FOLDS))
    test: list[int] = []
    for place in np.random.default_rng([CARVE_SEED, *name.encode()]).permutation(len(distinct))[:-1]:
        if len(test) >= wanted:
            break
        test += distinct[place]
    return test


def _by_group(items: Sequence[Item]) -> list[int]:
    names, groups = np.unique([item.group or f"\0{index}" for index, item in enumerate(items)], return_inverse=True)
    try:
        return test_groups(np.array([item.label for item in items]), groups, names.tolist(), "images")
    except ValueError as error:
        raise DataError(str(error)) from None
