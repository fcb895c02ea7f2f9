"""Confusion matrix: how many images of each class were taken for which, as a record keeps it and a page shows it."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PAIR = 8  # bytes of an entry: two little-endian integers of 32 bits


@dataclass(frozen=True)
class Confusion:
    """The entries of the matrix that are not 0, row by row: ``images`` of the class ``true`` were taken for
    ``predicted``, three arrays (K,) of integers. There are at most as many as images, whatever the classes."""

    classes: int
    true: np.ndarray
    predicted: np.ndarray
    images: np.ndarray

    @classmethod
    def of(cls, predicted: np.ndarray, labels: np.ndarray, classes: int) -> Confusion:
        """Of the classes that images were taken for, and their labels, both integers (N,).

        Args:
            predicted: The classes that were predicted, (N,).
            labels: The true ones, (N,).
            classes: How many classes there are.
        """
        places, images = np.unique(labels.astype(np.int64) * classes + predicted, return_counts=True)
        return cls(classes, *np.divmod(places, classes), images)

    @property
    def tested(self) -> np.ndarray:
        """The images of each class (C,)."""
        return np.bincount(self.true, self.images, self.classes).astype(int)

    @property
    def right(self) -> np.ndarray:
        """Those of each class that were taken for it (C,)."""
        hit = self.true == self.predicted
        return np.bincount(self.true[hit], self.images[hit], self.classes).astype(int)

    def shares(self, prior: np.ndarray) -> np.ndarray:
        """The entries (K,) as shares of all images, if the classes were as frequent as ``prior`` (C,) says."""
        return self.images * (prior / self.tested)[self.true]

    def packed(self) -> str:
        """As text for a record: base64 of the zlib stream of pairs (step from the entry before, images)."""
        places = self.true * self.classes + self.predicted
        steps = np.diff(places, prepend=0)
        pairs = np.stack([steps, self.images], axis=1).astype("<u4")
        return base64.b64encode(zlib.compress(pairs.tobytes(), 9)).decode()

    @classmethod
    def unpacked(cls, text: str, tested: Sequence[int]) -> Confusion:
        """What was :meth:`packed`, of so many images of each class. ValueError where it is not of these: nothing
        unpacks to more than they can come to."""
        classes = len(tested)
        most = PAIR * min(sum(tested), classes**2)  # who forges a record may claim any number of images
        try:
            stream = zlib.decompressobj()
            data = stream.decompress(base64.b64decode(text, validate=True), most + 1)
        except (ValueError, zlib.error) as error:
            raise ValueError(f"no packed matrix: {error}") from error
        if not stream.eof or len(data) % PAIR or len(data) > most:
            raise ValueError("no packed matrix of so many images")
        steps, images = np.frombuffer(data, "<u4").astype(np.int64).reshape(-1, 2).T
        places = np.cumsum(steps)
        if not len(places) or places[-1] >= classes**2 or not steps[1:].all() or not images.all():
            raise ValueError("entries that are none of its classes")
        matrix = cls(classes, *np.divmod(places, classes), images)
        if matrix.tested.tolist() != list(tested):
            raise ValueError("rows that are not of its images")
        return matrix
