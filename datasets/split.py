"""Split: what every data set returns, and how a pool of images becomes one.

Validation is carved class-balanced from the training pool *before* the long tail is cut, and only where a stage
needs it; the test images are never part of either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from .group_split import set_aside
from .lock import refuse_if_locked
from .rows import Rows, chunks


@dataclass(frozen=True)
class Images:
    """Images and their labels: ``x`` uint8 of shape (N, channels, height, width), ``y`` int64 of shape (N,). Of a table
    ``x`` holds its rows, float64 of shape (N, columns), and ``groups`` (N,), where a trial is given them, which of the
    rows belong together.

    ``x`` may be rows that are read when they are asked for; ``take`` copies.
    """

    x: np.ndarray | Rows
    y: np.ndarray
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: np.ndarray) -> Images:
        """The images at these places, with their labels and groups."""
        return Images(self.x[indices], self.y[indices], None if self.groups is None else self.groups[indices])


@dataclass(frozen=True)
class Pool:
    """All that a data set has: the whole training pool, the official test set, and what vouches for the bytes.

    ``hashes`` maps a file's name to the checksum found; ``verified`` says whether all of them are the official ones;
    ``groups`` are numbers from 0 of what stays on one side of a split (N,), None where each image may be on its own.
    TestSetLocked where one is made while a method trains.
    """

    train: Images
    test: Images
    verified: bool
    hashes: Mapping[str, str] = field(default_factory=dict)
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        refuse_if_locked("a data set was loaded")


@dataclass(frozen=True)
class Split:
    """Training, validation and test images of one trial; ``counts`` are the training images of each class.

    ``indices`` are those of the training and the validation images in the pool's training images, ascending. The images
    are copied where they are asked for, and not before.
    """

    pool: Pool
    counts: tuple[int, ...]
    indices: tuple[np.ndarray, np.ndarray]

    @property
    def train(self) -> Images:
        """The training images."""
        return self.pool.train.take(self.indices[0])

    @property
    def val(self) -> Images | None:
        """The validation images; None where there are none."""
        return self.pool.train.take(self.indices[1]) if len(self.indices[1]) else None

    @property
    def test(self) -> Images:
        """The test images."""
        return self.pool.test

    @cached_property
    def fingerprint(self) -> str:
        """One SHA-256 over the pixels and labels of all three parts, in order."""
        digest = hashlib.sha256()
        pool = self.pool.train
        for indices in self.indices[: 2 if len(self.indices[1]) else 1]:
            _update(digest, Rows(np.asarray(pool.x), indices), pool.y[indices])
        _update(digest, self.pool.test.x, self.pool.test.y)
        return digest.hexdigest()


def natural_validation(counts: Sequence[int], val_per_class: int) -> tuple[int, ...]:
    """Validation images of each class (C,) in proportion to its training images ``counts`` (C,), at least one:
    ``val_per_class`` of the largest class."""
    return tuple(max(1, round(val_per_class * count / max(counts))) for count in counts)


def cut(pool: Pool, counts: Sequence[int], seed: int, val_per_class: int = 0, natural: bool = False) -> Split:
    """Cut ``counts[c]`` training images of each class out of the pool, without replacement, by ``seed``.

    ``val_per_class`` images of each class are set aside first, of which a ``natural`` validation uses those of
    :func:`natural_validation`: its training images are the same. One seed gives one subset whatever the method.
    A longer tail of the same seed is a subset of a shorter one, so imbalance factors stay comparable.
    Where the images are of groups, whole ones are set aside: up to ``val_per_class`` images of each class are validated
    on, the rest of these groups is not used, and a class may have fewer training images than ``counts`` says.

    Raises ValueError where a class has fewer images than are asked for.

    Args:
        pool: What is cut.
        counts: The training images of each class, in label order.
        seed: Of the draw.
        val_per_class: Images of each class to validate on.
        natural: Whether these follow the long tail.
    """
    images, chosen, held_out = pool.train, [], []
    apart, validated = None, natural_validation(counts, val_per_class) if natural else [val_per_class] * len(counts)
    if pool.groups is not None and val_per_class:
        apart = set_aside(images.y, pool.groups, seed, val_per_class)
    for label, count in enumerate(counts):
        members = np.flatnonzero(images.y == label)
        if count + val_per_class > len(members):
            raise ValueError(
                f"class {label} has {len(members)} training images, but {count} for training and "
                f"{val_per_class} for validation were asked for"
            )
        order = np.random.default_rng([seed, label]).permutation(members)
        order = order if apart is None else np.concatenate([order[apart[order]][:val_per_class], order[~apart[order]]])
        held = val_per_class if apart is None else min(val_per_class, np.count_nonzero(apart[members]))
        held_out.append(order[: min(held, validated[label])])
        chosen.append(order[held : held + count])
    indices = np.sort(np.concatenate(chosen)), np.sort(np.concatenate(held_out))
    return Split(pool, tuple(map(len, chosen)), indices)


def _update(digest: Any, x: np.ndarray | Rows, y: np.ndarray) -> None:
    for array in (x, y.astype("<i8")):
        digest.update(str(array.shape).encode())
        for chunk in chunks(array):
            digest.update(np.ascontiguousarray(chunk).data)
