"""The rows of a report, and what stands in a table of all their trials, column by column.

A plan of a million trials has two hundred thousand rows, of which a report of numbers needs the keys and a few words:
:class:`PlannedRows` takes these from the axes of the plan and makes a row only where one is asked for.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np

from ..spec.labels import Labels, setting_label
from ..spec.schema import Experiment, Spec, Trial, combined, routines_of
from ..storage.packed_keys import SIZE, all_differ, packed, texts
from .reported import ReportedTrial, ReportRow, protocol_label, row_label

Words = tuple[list[str], np.ndarray]  # words, and which of them each row has


class ReportRows(Sequence[ReportRow]):
    """Rows of a report. ``lengths`` says how many seeds each has, ``seeds`` names them, one row after the other."""

    lengths: np.ndarray
    seeds: np.ndarray

    @abstractmethod
    def keys(self) -> tuple[np.ndarray, np.ndarray]:
        """The packed key of each trial, and whether it has one: none is known where a row has no values yet."""

    @abstractmethod
    def kinds(self) -> Iterable[ReportRow]:
        """Rows that have every routine and every method that there is, the first of each first, the last of each
        last."""

    @abstractmethod
    def words(self, labels: Labels) -> Mapping[str, Words]:
        """The columns of the tidy table that tell each row from every other."""


def rows_of(plans: Sequence[tuple[Spec, str]]) -> PlannedRows | None:
    """The rows of plans and how each was tuned, in words; None where they are not those of one plan's axes."""
    if len(plans) != 1 or plans[0][0].tune or any(t.learner != "images" for t in plans[0][0].trainings):
        return None  # what is searched, or not tried, is told row by row
    rows = PlannedRows(*plans[0])
    return rows if all_differ(rows.keys()[0]) else None  # a spec may name a row twice


class ListedRows(ReportRows):
    """Rows that are made already."""

    def __init__(self, rows: Sequence[ReportRow]) -> None:
        self._rows = rows
        self.lengths = np.array([len(row.seeds) for row in rows], int)
        self.seeds = np.array([seed for row in rows for seed in row.seeds], np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: int) -> ReportRow:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._rows[place]

    def keys(self) -> tuple[np.ndarray, np.ndarray]:
        """The packed key of each trial, and whether it has one."""
        known = np.repeat(np.array([not row.first.pending for row in self._rows], bool), self.lengths)
        keys = np.zeros((len(known), SIZE), np.uint8)
        keys[known] = packed(key for row in self._rows if not row.first.pending for key in row.keys)
        return keys, known

    def kinds(self) -> Iterable[ReportRow]:
        """Rows that have every routine and every method that there is."""
        return self._rows

    def words(self, labels: Labels) -> Mapping[str, Words]:
        """The columns of the tidy table that tell each row from every other."""
        first = [row.first for row in self._rows]
        columns = {
            "row_key": [trial.row.row_key for trial in first],
            "variant": [trial.variant for trial in first],
            "dataset": [trial.row.data.title for trial in first],
            "setting": [setting_label(trial.row.data) for trial in first],
            "protocol": [protocol_label(trial, labels) for trial in first],
            "method": [row_label(trial, labels) for trial in first],
        }
        return {name: (words, np.arange(len(first))) for name, words in columns.items()}


class PlannedRows(ReportRows):
    """The rows of a plan whose networks are all trained on images at its own values: for each network with a routine
    each data set, and for that each method."""

    def __init__(self, spec: Spec, protocol: str) -> None:
        self._spec, self._protocol = spec, protocol
        self._routines = routines_of(spec)
        self._shape = len(self._routines), len(spec.data), len(spec.methods)
        self.lengths = np.full(len(self), len(spec.seeds))
        self.seeds = np.tile(np.array(spec.seeds, np.int64), len(self))

    def __len__(self) -> int:
        return int(np.prod(self._shape))

    def __getitem__(self, place: int) -> ReportRow:  # pyright: ignore[reportIncompatibleMethodOverride]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        routine, data, method = np.unravel_index(place % len(self), self._shape)
        return self._row(self._experiment(int(routine), int(data), int(method)))

    def _experiment(self, routine: int, data: int, method: int) -> Experiment:
        return combined(self._spec, (self._routines[routine], self._spec.data[data], self._spec.methods[method]))

    def _row(self, experiment: Experiment) -> ReportRow:
        trial = experiment.trial(self._spec.seeds[0])
        return ReportRow(ReportedTrial(trial, trial, "", self._protocol), self._spec.seeds)

    @cached_property
    def _texts(self) -> list[bytes]:
        return [data.canonical.encode() for data in self._spec.data]

    def keys(self) -> tuple[np.ndarray, np.ndarray]:
        """The packed key of each trial, and whether it has one."""
        return self._keys.reshape(-1, SIZE), np.ones(self._keys.size // SIZE, bool)

    @cached_property
    def _keys(self) -> np.ndarray:
        return self._hashed(lambda trial: trial.texts(self._spec.seeds))

    def _hashed(self, texts_of: Callable[[Trial], Sequence[str]]) -> np.ndarray:
        """The hashes of one or several texts of each row, of which those of a trial on the first data are given: where
        these data stand in them, each row has its own."""
        found = []
        for routine, method in np.ndindex(self._shape[0], self._shape[2]):
            trial = self._experiment(routine, 0, method).trial(self._spec.seeds[0])
            parts = [text.partition(f'"data":{trial.data.canonical},') for text in texts_of(trial)]
            around = [(f'{before}"data":'.encode(), f",{behind}".encode()) for before, _, behind in parts]
            hashes = [hashlib.sha256(b + data + a).digest() for data in self._texts for b, a in around]
            digests = np.frombuffer(b"".join(hashes), np.uint8).reshape(len(self._texts), len(around), -1)
            found.append(digests[..., :SIZE])
        return np.stack(found).reshape(self._shape[0], self._shape[2], *found[0].shape).swapaxes(1, 2)

    def kinds(self) -> Iterable[ReportRow]:
        """Rows that have every routine and every method that there is."""
        for data in dict.fromkeys([0, self._shape[1] - 1]):
            for routine, method in np.ndindex(self._shape[0], self._shape[2]):
                yield self._row(self._experiment(routine, data, method))

    def words(self, labels: Labels) -> Mapping[str, Words]:
        """The columns of the tidy table that tell each row from every other."""
        kinds = [
            self._row(self._experiment(routine, 0, method)).first
            for routine, method in np.ndindex(self._shape[0], self._shape[2])
        ]
        routine, data, method = (axis.ravel() for axis in np.indices(self._shape))
        kind = routine * self._shape[2] + method
        return {
            "row_key": (texts(self._hashed(lambda trial: [trial.row_text])), np.arange(len(self))),
            "variant": ([""], np.zeros(len(self), int)),
            "dataset": ([each.title for each in self._spec.data], data),
            "setting": ([setting_label(each) for each in self._spec.data], data),
            "protocol": ([protocol_label(first, labels) for first in kinds], kind),
            "method": ([row_label(first, labels) for first in kinds], kind),
        }
