"""The images behind the records of a bundle: the same for every method of a seed, others for another seed, and those of
the data set itself where it is at hand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from ...datasets.catalog import DataError
from ...datasets.split import Split
from ..registry.datasets import cut_of, dataset_of, long_tail, split_of
from ..spec.schema import Trial
from ..storage import paths
from ..storage.record import LOGITS, Record
from .record_checks import Mismatch

FEW = 10  # where no more images are left out, or no more values predicted, two seeds may honestly have the same


def scored_on(trial: Trial) -> str:
    """What decides the images that a trial is scored on: the test images whatever the seed, or those of validation."""
    return trial.data.title if trial.stage == "report" else cut_of(trial)


class SplitConsistency:
    """Asked of one record after the other. ``absent`` names the data sets that are not on this machine."""

    def __init__(self, root: Path | None = None, local: bool = True) -> None:
        self.absent: set[str] = set()
        self._root, self._local = root, local
        self._first: dict[str, tuple[str, str]] = {}
        self._kept: tuple[str, Split | None] = "", None  # one: the records of a split come one after the other

    def differences(self, record: Record, labels: np.ndarray | None) -> Iterator[Mismatch]:
        """``labels`` are those beside the record's logits, None where it has none."""
        trial, file, array = record.trial, paths.record(record.key), paths.arrays(record.key)
        print_ = record.data.fingerprint if record.data else ""
        digest = "" if labels is None else hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
        if key := self._another(cut_of(trial), record, print_):
            yield Mismatch(file, "data.fingerprint", print_, f"{key[1]} in {key[0]}")
        if key := self._another(f"labels of {scored_on(trial)}", record, digest):
            yield Mismatch(array, "labels", "those of the scored images", f"others than in {key[0]}")
        split = self._split(record) if self._local and record.data and record.data.verified else None
        if split is None:
            return
        if print_ != split.fingerprint:
            yield Mismatch(file, "data.fingerprint", print_, split.fingerprint)
        scored = split.test if trial.stage == "report" else split.val
        if labels is not None and (scored is None or not np.array_equal(scored.y, labels)):
            yield Mismatch(array, "labels", "those of the scored images", f"others than {trial.data.title} has")

    def _another(self, where: str, record: Record, digest: str) -> tuple[str, str] | None:
        """The first record that said something else there."""
        if not digest:
            return None
        first = self._first.setdefault(where, (paths.record(record.key), digest))
        return None if first[1] == digest else first

    def _split(self, record: Record) -> Split | None:
        where, name = cut_of(record.trial), record.trial.data.title
        if where != self._kept[0] and name not in self.absent:
            try:
                self._kept = where, split_of(record.trial, self._root, True)[0]
            except (DataError, ValueError):
                self.absent.add(name)
        return None if name in self.absent else self._kept[1]


class SeedDuplicates:
    """Asked of one record after the other. Trials of one seed are left alone, since under neutral values a method makes
    ERM's very bits; and those of validation, of which there may be too few images to tell two networks apart."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, int]] = {}  # the key and the seed of who had it first

    def differences(self, record: Record, arrays: Mapping[str, np.ndarray]) -> Iterator[Mismatch]:
        """``arrays`` are those beside the record, as for :func:`recompute_accuracies`; none where it has none."""
        if _left_out(record.trial) <= FEW:
            return
        mine = f"of seed {record.trial.seed}"
        for key, seed in self._others(record, record.data.fingerprint if record.data else ""):
            yield Mismatch(
                paths.record(record.key),
                "data.fingerprint",
                f"images {mine}",
                f"seed {seed}'s in {paths.record(key)}",
            )
        for name in LOGITS if arrays and record.trial.stage == "report" else ():
            for key, seed in self._others(record, _bits(arrays[name])):
                yield Mismatch(
                    paths.arrays(record.key),
                    name,
                    f"predictions {mine}",
                    f"the bits of seed {seed} in {paths.arrays(key)}",
                )

    def _others(self, record: Record, kind: str) -> Iterator[tuple[str, int]]:
        """The first record that had the same, where it is of another seed."""
        mine = record.key, record.trial.seed
        first = self._first.setdefault(kind, mine) if kind else mine
        if first[1] != mine[1]:
            yield first


def _left_out(trial: Trial) -> int:
    """How many training images of its data set a trial is not trained on; 0 where that is not known."""
    try:
        return sum(dataset_of(trial.data).available) - sum(long_tail(trial.data, trial.val_per_class))
    except DataError:
        return 0


def _bits(logits: np.ndarray) -> str:
    """Their SHA-256; nothing where they take FEW values at most, as those of a constant predictor or of a small tree:
    fits of two seeds may then honestly agree."""
    other_logits = logits
    for _ in range(FEW):
        other_logits = other_logits[(other_logits != other_logits[:1]).any(axis=1)]
        if not len(other_logits):
            return ""
    return hashlib.sha256((logits + np.float16(0)).tobytes()).hexdigest()  # -0 becomes 0
