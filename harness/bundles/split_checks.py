"""The images behind the records of a bundle: the same for every method of a seed, and those of the data set itself
where it is on this machine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...datasets.catalog import DataError
from ...datasets.split import Split
from ..registry.datasets import cut_of, split_of
from ..spec.schema import Trial
from ..storage.record import Record
from .record_checks import Difference


def scored_on(trial: Trial) -> str:
    """What decides the images that a trial is scored on: the test images whatever the seed, or those of validation."""
    return trial.data.name if trial.stage == "report" else cut_of(trial)


class Images:
    """Asked of one record after the other. ``absent`` names the data sets that are not on this machine."""

    def __init__(self, root: Path | None = None, local: bool = True) -> None:
        self.absent: set[str] = set()
        self._root, self._local = root, local
        self._first: dict[str, tuple[str, str]] = {}
        self._kept: tuple[str, Split | None] = "", None  # one: the records of a split come one after the other

    def differences(self, record: Record, labels: np.ndarray | None) -> Iterator[Difference]:
        """``labels`` are those beside the record's logits, None where it has none."""
        trial, file, array = record.trial, f"records/{record.key}.json", f"arrays/{record.key}.npz"
        print_ = record.data.fingerprint if record.data else ""
        digest = "" if labels is None else hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()
        if other := self._another(cut_of(trial), record, print_):
            yield Difference(file, "data.fingerprint", print_, f"{other[1]} in {other[0]}")
        if other := self._another(f"labels of {scored_on(trial)}", record, digest):
            yield Difference(array, "labels", "those of the scored images", f"others than in {other[0]}")
        split = self._split(record) if self._local and record.data and record.data.verified else None
        if split is None:
            return
        if print_ != split.fingerprint:
            yield Difference(file, "data.fingerprint", print_, split.fingerprint)
        scored = split.test if trial.stage == "report" else split.val
        if labels is not None and (scored is None or not np.array_equal(scored.y, labels)):
            yield Difference(array, "labels", "those of the scored images", f"others than {trial.data.name} has")

    def _another(self, where: str, record: Record, what: str) -> tuple[str, str] | None:
        """The first record that said something else there."""
        if not what:
            return None
        first = self._first.setdefault(where, (f"records/{record.key}.json", what))
        return None if first[1] == what else first

    def _split(self, record: Record) -> Split | None:
        where, name = cut_of(record.trial), record.trial.data.name
        if where != self._kept[0] and name not in self.absent:
            try:
                self._kept = where, split_of(record.trial, self._root, True)[0]
            except (DataError, ValueError):
                self.absent.add(name)
        return None if name in self.absent else self._kept[1]
