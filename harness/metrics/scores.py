"""Accuracies from logits."""

from __future__ import annotations

import numpy as np


def per_class_accuracy(logits: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """The share of each class's images, labels (N,), whose largest logit (N, C) is the right one, in percent."""
    right = logits.argmax(axis=1) == y
    return tuple(float(100 * right[y == label].mean()) for label in range(logits.shape[1]))
