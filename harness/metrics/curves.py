"""One class against the rest at every threshold of its score: areas under curves, and recall at a precision."""

from __future__ import annotations

import numpy as np

ROUNDING = 1e-9  # of a precision: the weights of equal images need not add up exactly


def hits(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The weight of the right and of the wrong images at or above each threshold, the highest first.

    Args:
        scores: (N,), larger where an image is rather taken for the class.
        positive: (N,), whether an image is of the class.
        weights: (N,), of each image.

    Returns:
        Two arrays (K,), K being the number of different scores: images of one score come together.
    """
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    weight, own = weights[order], positive[order]
    return np.cumsum(weight * own)[last], np.cumsum(weight * ~own)[last]


def roc_area(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> float:
    """The area under the ROC curve, by the trapezoidal rule.

    Args:
        scores: (N,), larger where an image is rather taken for the class.
        positive: (N,), whether an image is of the class.
        weights: (N,), of each image.
    """
    right, wrong = hits(scores, positive, weights)
    heights = np.append(0, right[:-1]) + right
    return float((np.diff(wrong, prepend=0) * heights).sum() / (2 * right[-1] * wrong[-1]))


def average_precision(scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> float:
    """The mean precision over the steps of recall, not interpolated.

    Args:
        scores: (N,), as of :func:`roc_area`, with ``positive`` and ``weights``.
    """
    right, wrong = hits(scores, positive, weights)
    return float((np.diff(right, prepend=0) * right / (right + wrong)).sum() / right[-1])


def recall_at(precision: float, scores: np.ndarray, positive: np.ndarray, weights: np.ndarray) -> float:
    """The largest recall at a threshold whose precision is at least so large; 0 where none is.

    Args:
        precision: From 0 to 1.
        scores: (N,), as of :func:`roc_area`, with ``positive`` and ``weights``.
    """
    right, wrong = hits(scores, positive, weights)
    enough = right / (right + wrong) >= precision - ROUNDING
    return float((right * enough).max() / right[-1])
