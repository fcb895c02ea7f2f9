"""What a model says of images or rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
