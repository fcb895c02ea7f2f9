"""What a model says of images or rows, and what models of both have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .probabilities import prior_shares, probabilities


@dataclass(frozen=True)
class Predictions:
    """Of N images: ``logits`` and ``probabilities`` (N, C), and ``labels``, the name of the likeliest class of each."""

    classes: tuple[str, ...]
    logits: np.ndarray
    probabilities: np.ndarray

    @property
    def labels(self) -> list[str]:
        """The most probable class of each image, by name."""
        return [self.classes[index] for index in self.probabilities.argmax(axis=1)]


class Predictor(ABC):
    """A model of either: what a file says of it, and the scores that it gives."""

    description: Any  # a Description or a TableDescription

    @abstractmethod
    def logits(self, x: np.ndarray) -> np.ndarray:
        """Scores (N, C) in float32 of N examples as the model takes them."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the columns of what is predicted."""
        return self.description.classes

    @property
    def provenance(self) -> dict[str, Any]:
        """Where the model comes from: its trial with data, method, values and routine, its key, what vouches for the
        data, the training examples of each class, the calibration, and the versions that trained it."""
        return {"key": self.description.trial.key} | self.description.model_dump(mode="json")

    def shares(self, prior: str | Mapping[str, float] | None) -> tuple[float, ...] | None:
        """The share of each class that a prior stands for. ModelError where it is none."""
        return prior_shares(prior, self.classes, self.description.counts)

    def predictions(self, x: np.ndarray, shares: Sequence[float] | None) -> Predictions:
        """What is predicted.

        Args:
            x: N examples as the model takes them.
            shares: Those of :meth:`shares`; None leaves what the scores carry.
        """
        found, how = self.logits(x), self.description.calibration
        each = probabilities(found, how.temperature, how.carried_prior, self.description.counts, shares)
        return Predictions(self.classes, found, each)
