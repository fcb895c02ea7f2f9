"""What a metric is computed from: how one trial classified the images that it was scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...leaderboard.confusion import Confusion
from ..errors import StoreError
from ..storage import paths
from ..storage.record import Record


@dataclass(frozen=True)
class Scored:
    """How one trial classified its images.

    Args:
        accuracy: Of each class (C,), in percent.
        prior: The share of each class (C,) among the images that the metric speaks of; they sum to 1.
        positive: The class that metrics of two classes are of: the one with fewer training images.
        ranks: The place of each class (C,) in their order; empty where they have none.
        matrix: Which classes were taken for which; None where neither record nor logits tell.
        logits: (N, C), and the ``labels`` (N,), both None where they are not known.
    """

    accuracy: Sequence[float]
    prior: np.ndarray
    positive: int
    ranks: tuple[int, ...] = ()
    matrix: Confusion | None = None
    logits: np.ndarray | None = None
    labels: np.ndarray | None = None

    @property
    def predictions(self) -> tuple[np.ndarray, np.ndarray]:
        """The logits and the labels. ValueError where they are not known."""
        if self.logits is None or self.labels is None:
            raise ValueError("the logits are not known")
        return self.logits, self.labels

    @cached_property
    def confusion(self) -> Confusion:
        """The matrix, of the logits where it is not given. ValueError where neither is known."""
        if self.matrix is not None:
            return self.matrix
        logits, labels = self.predictions
        return Confusion.of(logits.argmax(axis=1), labels, logits.shape[1])

    @cached_property
    def log_probabilities(self) -> np.ndarray:
        """(N, C): ordered as the probabilities, of which many would round to 1."""
        from scipy.special import log_softmax

        return log_softmax(self.predictions[0], axis=1)

    @cached_property
    def weights(self) -> np.ndarray:
        """Of each image (N,), by which each class has its share of the prior."""
        labels = self.predictions[1]
        return (self.prior / np.bincount(labels, minlength=len(self.prior)))[labels]


def per_class_accuracy(logits: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """The share of each class's images whose largest logit is the right one.

    Args:
        logits: (N, C).
        y: (N,), the labels.

    Returns:
        (C,), in percent.
    """
    right = logits.argmax(axis=1) == y
    return tuple(float(100 * right[y == label].mean()) for label in range(logits.shape[1]))


def confusion_of(record: Record) -> Confusion | None:
    """The matrix that a record holds; None where it holds none. StoreError where it is damaged."""
    if not record.confusion:
        return None
    try:
        return Confusion.unpacked(record.confusion, record.test_counts)
    except ValueError as error:
        raise StoreError(f"{paths.record(record.key)} is damaged: confusion: {error}") from error
