"""A threshold between two classes, chosen on rows that the fit did not see.

The training rows are cut into folds, class by class. Each fold is scored by a fit on the others, preprocessing,
samplers and weights included; the threshold that is best on all these scores is then used on the fit on all rows.
Sources: Provost, "Machine Learning from Imbalanced Data Sets 101", 2000; cross-validation as in scikit-learn's
``TunedThresholdClassifierCV``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..part import MethodError, Part, Scene, hyper

MEASURES = ("balanced_accuracy", "f1")


@dataclass(frozen=True)
class Threshold(Part):
    """Choose the score from which on a row is taken for the rarer of two classes."""

    metric: str = hyper("balanced_accuracy", "scikit-learn's default for TunedThresholdClassifierCV")
    folds: int = hyper(5, "scikit-learn's default for TunedThresholdClassifierCV")
    held_out = True

    def __post_init__(self) -> None:
        self.require(self.metric in MEASURES, f"metric is {' or '.join(MEASURES)}")
        self.require(2 <= self.folds <= 20, "folds is from 2 to 20")

    def build(self, scene: Scene) -> Any:
        """What chooses, then shifts scores. MethodError where there are more than two classes."""
        if scene.classes != 2:
            raise MethodError(f"a threshold stands between two classes, and there are {scene.classes}")
        return _Chosen(self.metric, self.folds)


class _Chosen:
    def __init__(self, metric: str, folds: int) -> None:
        self.metric, self.folds, self._rare, self.shift = metric, folds, 1, 0.0

    def choose(self, scores: np.ndarray, y: np.ndarray) -> None:
        """Take the threshold that is best on scores (N, 2) of rows with labels (N,) that no fit saw."""
        self._rare = int(np.count_nonzero(y) * 2 <= len(y))
        margins = scores[:, self._rare] - scores[:, 1 - self._rare]
        self.shift = best_threshold(margins, y == self._rare, self.metric)

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        shifted = scores.clone()
        shifted[:, self._rare] -= self.shift
        return shifted

    def notes(self) -> dict[str, float]:
        """The threshold, as the probability of the rarer class from which on a row is taken for it."""
        return {"threshold": float(1 / (1 + np.exp(-self.shift)))}


def best_threshold(margins: np.ndarray, positive: np.ndarray, metric: str) -> float:
    """The threshold, half way between two scores, that is best; of equally good ones that nearest to 0.

    Args:
        margins: Of rows (N,): the score of the rarer class less that of the other.
        positive: Whether each is of the rarer class (N,), some and not all.
        metric: ``balanced_accuracy`` or ``f1``, of the rarer class.
    """
    order = np.argsort(-margins, kind="stable")
    last = np.append(np.flatnonzero(np.diff(margins[order])), len(order) - 1)
    right, wrong = np.cumsum(positive[order])[last], np.cumsum(~positive[order])[last]
    if metric == "f1":
        values = 2 * right / (right + wrong + positive.sum())
    else:
        values = (right / positive.sum() + 1 - wrong / (~positive).sum()) / 2
    found = margins[order][last]
    between = np.append((found[:-1] + found[1:]) / 2, found[-1] - 1.0)
    best = np.flatnonzero(values >= values.max() - 1e-12)
    return float(between[best[np.abs(between[best]).argmin()]])
