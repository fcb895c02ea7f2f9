"""Split: what every data set returns, and how a pool of images becomes one.

Validation is carved class-balanced from the training pool *before* the long tail is cut, and only where a stage
needs it; the test images are never part of either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .lock import refuse_if_locked


@dataclass(frozen=True)
class Images:
    """Images and their labels: ``x`` uint8 of shape (N, channels, height, width), ``y`` int64 of shape (N,). Of a table
    ``x`` holds its rows, float64 of shape (N, columns)."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: np.ndarray) -> Images:
        return Images(self.x[indices], self.y[indices])


@dataclass(frozen=True)
class Pool:
    """All that a data set has: the whole training pool, the official test set, and what vouches for the bytes.

    ``hashes`` maps a file's name to the checksum found; ``verified`` says whether all of them are the official ones.
    TestSetLocked where one is made while a method trains.
    """

    train: Images
    test: Images
    verified: bool
    hashes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        refuse_if_locked("a data set was loaded")


@dataclass(frozen=True)
class Split:
    """Training, validation and test images of one trial; ``counts`` are the training images of each class.

    ``indices`` are those of the training and the validation images in the pool's training images, ascending.
    """

    train: Images
    val: Images | None
    test: Images
    counts: tuple[int, ...]
    fingerprint: str
    indices: tuple[np.ndarray, np.ndarray]


def cut(pool: Pool, counts: Sequence[int], seed: int, val_per_class: int = 0) -> Split:
    """Cut ``counts[c]`` training images of each class out of the pool, without replacement, by ``seed``.

    ``val_per_class`` images of each class are set aside first. One seed gives one subset whatever the method.
    A longer tail of the same seed is a subset of a shorter one, so imbalance factors stay comparable.

    Raises ValueError where a class has fewer images than are asked for.
    """
    images, chosen, held_out = pool.train, [], []
    for label, count in enumerate(counts):
        members = np.flatnonzero(images.y == label)
        if count + val_per_class > len(members):
            raise ValueError(
                f"class {label} has {len(members)} training images, but {count} for training and "
                f"{val_per_class} for validation were asked for"
            )
        order = np.random.default_rng([seed, label]).permutation(members)
        held_out.append(order[:val_per_class])
        chosen.append(order[val_per_class : val_per_class + count])
    indices = np.sort(np.concatenate(chosen)), np.sort(np.concatenate(held_out))
    train = images.take(indices[0])
    val = images.take(indices[1]) if val_per_class else None
    return Split(train, val, pool.test, tuple(counts), _fingerprint(train, val, pool.test), indices)


def _fingerprint(*parts: Images | None) -> str:
    """One SHA-256 over the pixels and labels of all three parts, in order."""
    digest = hashlib.sha256()
    for images in parts:
        if images is not None:
            for array in (images.x, images.y.astype("<i8")):
                digest.update(str(array.shape).encode())
                digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
