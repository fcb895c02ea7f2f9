"""The outcomes of many records as columns: a million objects weigh more than any table made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, get_args

import numpy as np

from .record import Outcome, Status

STATUSES: tuple[str, ...] = get_args(Status)


@dataclass(frozen=True)
class Outcomes:
    """One place in each column for each record: ``status`` counts into STATUSES; ``verified`` is 0 or 1, and 2 where no
    data were read; ``reason``, ``fingerprint`` and ``counts`` count into the lists of all words that there are.

    ``accuracy`` holds those of the classes of each record (``last_ema``) one record after the other, ``classes`` says
    how many; a trial that did not end has none.
    """

    keys: list[str]
    status: np.ndarray
    verified: np.ndarray
    seconds: np.ndarray
    classes: np.ndarray
    reason: np.ndarray
    fingerprint: np.ndarray
    counts: np.ndarray
    accuracy: np.ndarray
    reasons: list[str]
    fingerprints: list[str]
    tails: list[tuple[int, ...]]  # training images of each class

    @cached_property
    def at(self) -> Mapping[str, int]:
        """The place of each key."""
        return dict(zip(self.keys, count(), strict=False))

    def places(self, keys: Sequence[str]) -> np.ndarray:
        """Where each of these is; -1 where it is not."""
        at = self.at
        return np.array([at.get(key, -1) for key in keys], int)

    def starts(self) -> np.ndarray:
        """Where the accuracies of each record begin."""
        return np.cumsum(self.classes) - self.classes

    def where(self, mask: np.ndarray) -> Outcomes:
        """Those of these places."""
        some: dict[str, Any] = {name: getattr(self, name)[mask] for name in COLUMNS}
        keys = [key for key, stays in zip(self.keys, mask, strict=True) if stays]
        accuracy = self.accuracy[np.repeat(mask, self.classes)]
        return Outcomes(keys, accuracy=accuracy, reasons=self.reasons, fingerprints=self.fingerprints,
                        tails=self.tails, **some)  # fmt: skip

    def with_more(self, found: Sequence[Outcome]) -> Outcomes:
        """These and those after them."""
        reasons, fingerprints, tails = map(_numbered, (self.reasons, self.fingerprints, self.tails))
        ends = [one.accuracy["last_ema"] if one.status in ("complete", "pruned") else () for one in found]
        more = {
            "status": [STATUSES.index(one.status) for one in found],
            "verified": [2 if one.data is None else int(one.data.verified) for one in found],
            "seconds": [one.train_seconds for one in found],
            "classes": [len(end) for end in ends],
            "reason": [reasons.setdefault(one.reason, len(reasons)) for one in found],
            "fingerprint": [
                fingerprints.setdefault(one.data.fingerprint if one.data else "", len(fingerprints)) for one in found
            ],
            "counts": [tails.setdefault(one.counts, len(tails)) for one in found],
        }
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), np.array(more[name], kind)]) for name, kind in COLUMNS.items()
        }
        flat = np.fromiter((value for end in ends for value in end), float)
        return Outcomes(
            [*self.keys, *(one.key for one in found)],
            accuracy=np.concatenate([self.accuracy, flat]),
            reasons=list(reasons),
            fingerprints=list(fingerprints),
            tails=list(tails),
            **columns,
        )


COLUMNS = {
    "status": np.uint8, "verified": np.uint8, "seconds": np.float64, "classes": np.int32,
    "reason": np.int32, "fingerprint": np.int32, "counts": np.int32,
}  # fmt: skip


def none() -> Outcomes:
    columns: dict[str, Any] = {name: np.zeros(0, kind) for name, kind in COLUMNS.items()}
    return Outcomes([], accuracy=np.zeros(0), reasons=[], fingerprints=[], tails=[], **columns)


def _numbered(words: Iterable[Any]) -> dict[Any, int]:
    return {word: number for number, word in enumerate(words)}
