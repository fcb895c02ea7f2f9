"""What trials of different seeds cannot share: the images they were trained on, and predictions to the last bit."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np

from ...datasets.catalog import DataError
from ..registry.datasets import dataset, long_tail
from ..spec.schema import Trial
from ..storage.record import Record
from .record_checks import LOGITS, Difference

FEW = 10  # where no more images are left out of a subset, two seeds may have drawn the same one


class Twins:
    """Asked of one record after the other. Trials of one seed are left alone, since under neutral values a method makes
    ERM's very bits; and those of validation, of which there may be too few images to tell two networks apart."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, int]] = {}  # the key and the seed of who had it first

    def differences(self, record: Record, arrays: Mapping[str, np.ndarray]) -> Iterator[Difference]:
        """``arrays`` are those beside the record, such as :func:`recounted` takes; none where it has none."""
        if _left_out(record.trial) <= FEW:
            return
        mine = f"of seed {record.trial.seed}"
        for other, seed in self._others(record, record.data.fingerprint if record.data else ""):
            yield Difference(
                f"records/{record.key}.json",
                "data.fingerprint",
                f"images {mine}",
                f"seed {seed}'s in records/{other}.json",
            )
        for name in LOGITS if arrays and record.trial.stage == "report" else ():
            for other, seed in self._others(record, _bits(arrays[name])):
                yield Difference(
                    f"arrays/{record.key}.npz",
                    name,
                    f"predictions {mine}",
                    f"the bits of seed {seed} in arrays/{other}.npz",
                )

    def _others(self, record: Record, what: str) -> Iterator[tuple[str, int]]:
        """The first record that had the same, where it is of another seed."""
        mine = record.key, record.trial.seed
        first = self._first.setdefault(what, mine) if what else mine
        if first[1] != mine[1]:
            yield first


def _left_out(trial: Trial) -> int:
    """How many training images of its data set a trial is not trained on; 0 where that is not known."""
    try:
        return sum(dataset(trial.data.name).available) - sum(long_tail(trial.data, trial.val_per_class))
    except DataError:
        return 0


def _bits(logits: np.ndarray) -> str:
    """Their SHA-256; nothing where they are the same for every image, as those of a constant predictor are."""
    if not (logits != logits[:1]).any():
        return ""
    return hashlib.sha256((logits + np.float16(0)).tobytes()).hexdigest()  # -0 becomes 0
