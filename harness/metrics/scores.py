"""The metrics, as functions of logits and labels: per class, per shot group, and for the searches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...methods.names import nearest
from ..errors import ReportError
from ..registry.datasets import dataset_of
from ..spec.schema import Data, Shots
from ..storage.record import TrialResult
from .shots import mean_of, shot_means

BINS = 15  # of the calibration error; Guo et al. 2017 (arXiv 1706.04599)
METRICS = ("val/balanced_accuracy", "val/few", "val/med", "val/many", "val/worst_class")


def per_class_accuracy(logits: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """The share of each class's images, labels (N,), whose largest logit (N, C) is the right one, in percent."""
    right = logits.argmax(axis=1) == y
    return tuple(float(100 * right[y == label].mean()) for label in range(logits.shape[1]))


def class_number(word: str, data: Data) -> int:
    """The number of the class that a word names, or is. ReportError where the data set has no such class."""
    classes = dataset_of(data).classes
    if word in classes:
        return classes.index(word)
    if word.isdigit() and int(word) < len(classes):
        return int(word)
    numbers = f" (or its number, 0 to {len(classes) - 1})"
    raise ReportError(f"--metric: {data.name} has no class {word!r}{numbers}" + nearest(word, classes))


def score_groups(
    name: str, logits: np.ndarray, labels: np.ndarray, members: Mapping[str, tuple[int, ...]], shares: np.ndarray
) -> dict[str, float]:
    """A metric of each shot group.

    Args:
        name: A metric of ``TEXTS`` in ``rescoring.py``, without its argument.
        logits: (N, C), of the test images.
        labels: (N,).
        members: The classes of each group.
        shares: (C,), how frequent each class is taken to be.

    Returns:
        The metric by group, in the metric's own unit.
    """
    weights = (shares / np.bincount(labels, minlength=len(shares)))[labels]
    match name:
        case "balanced_accuracy" | "accuracy" | "worst_class":
            each = per_class_accuracy(logits, labels)
            if name == "worst_class":
                return {group: min(each[c] for c in at) for group, at in members.items()}
            if name == "accuracy" and len(set(shares)) > 1:
                return {g: float(np.average([each[c] for c in at], weights=shares[[*at]])) for g, at in members.items()}
            return {group: mean_of(each, at) for group, at in members.items()}
        case "macro_f1" | "auroc":
            each = (_f1 if name == "macro_f1" else _auroc)(logits, labels, weights)
            return {group: mean_of(each, at) for group, at in members.items()}
    scores = {}
    for group, at in members.items():
        some = np.isin(labels, at)
        scores[group] = (_ece if name == "ece" else _nll)(logits[some], labels[some], weights[some])
    return scores


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    from scipy.special import log_softmax

    return log_softmax(logits, axis=1)


def _f1(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[float, ...]:
    from sklearn.metrics import f1_score

    each = range(logits.shape[1])
    options: dict[str, Any] = {"labels": each, "average": None, "sample_weight": weights, "zero_division": 0}
    return tuple(100 * np.asarray(f1_score(labels, logits.argmax(axis=1), **options)))


def _auroc(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> tuple[float, ...]:
    from sklearn.metrics import roc_auc_score

    scores = _log_probabilities(logits)  # ordered as the probabilities, of which many would round to 1
    return tuple(
        100 * float(roc_auc_score(labels == c, scores[:, c], sample_weight=weights)) for c in range(scores.shape[1])
    )


def _nll(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    return float(np.average(-_log_probabilities(logits)[np.arange(len(labels)), labels], weights=weights))


def _ece(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """The mean over bins of |accuracy - confidence|, each bin (low, high] as heavy as its images."""
    confidence = np.exp(_log_probabilities(logits).max(axis=1))
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights * ((logits.argmax(axis=1) == labels) - confidence), minlength=BINS)
    return float(100 * np.abs(gaps).sum() / weights.sum())


def measured(metric: str, outcome: TrialResult, by: Shots) -> float:
    """The metric of tuning.

    Args:
        metric: One of METRICS.
        outcome: A trial that is complete.
        by: How the classes are grouped.

    Returns:
        It, in percent.

    Raises:
        KeyError: where a group has no classes (see ``search.check``).
    """
    name = metric.removeprefix("val/")
    if name == "worst_class":
        return min(outcome.accuracy["last_ema"])
    return shot_means(outcome, by)["all" if name == "balanced_accuracy" else name]
