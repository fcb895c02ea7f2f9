"""From records to the tidy table that the leaderboard reads: one row for each trial and shot group.

Column by column, and never an object for each trial: there may be a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...leaderboard.metric import GROUPS
from ...leaderboard.results import NOT_YET
from ..errors import StoreError
from ..metrics.shots import class_members
from ..planning.reported import protocol_label, row_label
from ..registry.datasets import long_tail
from ..spec.labels import Labels, setting_label
from ..spec.schema import Shots
from ..storage.index import STATUSES, trial_results
from .reported_store import ReportedStore

if TYPE_CHECKING:
    from ..metrics.rescoring import MetricRequest

COMPLETE, FAILED, MISSING = STATUSES.index("complete"), STATUSES.index("failed"), len(STATUSES)


def tidy(
    reported: ReportedStore, by: Shots, labels: Labels, rescore: MetricRequest | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """The rows of a store's trials.

    Args:
        reported: The store, with its trials by row.
        by: How the classes are grouped.
        labels: How trials are called.
        rescore: A metric from the stored logits, in place of what the records hold.

    Returns:
        The table, with the columns ``COLUMNS``, ``ROW``, ``NOTES`` and ``MACHINE`` of ``leaderboard/results.py`` (times
        in seconds, values in percent or what the metric is in); and a message for each record that is damaged, whose
        trial counts as missing.
    """
    trials = _Trials(reported)
    groups = rescore.groups if rescore else GROUPS
    values = trials.rescored(rescore, by) if rescore else trials.means(by)
    columns = {**trials.words(labels), **trials.states()}
    long = {name: column.repeat(len(groups)) for name, column in columns.items()}
    group = _coded(np.tile(np.arange(len(groups)), len(trials.keys)), groups)
    classes = trials.classes(by, groups)
    if rescore:
        classes[trials.without(rescore)] = 0
    return pd.DataFrame({**long, "group": group, "classes": classes.ravel(), "value": values.ravel()}), trials.damaged


class _Trials:
    """The trials of all rows: to which ``row`` each belongs, and its ``place`` among the outcomes. It is -1 where there
    is none, which is the last of any column that has one more for that."""

    def __init__(self, reported: ReportedStore) -> None:
        self._store, self._rows = reported.store, reported.rows
        self.keys = [key for row in self._rows for key in row.keys]
        self._row = np.repeat(np.arange(len(self._rows)), [len(row.seeds) for row in self._rows])
        self._results, self.damaged = trial_results(self._store, self.keys)
        self._place = self._results.indices(self.keys)

    def words(self, labels: Labels) -> dict[str, Any]:
        """What identifies each trial. Words that many share are kept once."""
        first = [row.first for row in self._rows]
        words = {
            "row_key": [trial.row.row_key for trial in first],
            "variant": [trial.variant for trial in first],
            "dataset": [trial.row.data.title for trial in first],
            "setting": [setting_label(trial.row.data) for trial in first],
            "protocol": [protocol_label(trial, labels) for trial in first],
            "method": [row_label(trial, labels) for trial in first],
        }
        columns = {name: pd.Categorical(column)[self._row] for name, column in words.items()}
        pending = np.array([trial.pending for trial in first])[self._row]
        seeds = np.array([seed for row in self._rows for seed in row.seeds])
        return {"key": pd.array(self.keys, dtype="str"), **columns, "pending": pending, "seed": seeds}

    def states(self) -> dict[str, Any]:
        """Status, reason, whether the data were the official bytes, and the seconds of training."""
        failed = np.array([row.first.failed for row in self._rows])[self._row]
        status = np.where((self._place < 0) & failed, FAILED, self._status())
        verified = np.append(self._results.verified, 2)[self._place]
        return {
            "status": _coded(status, [*STATUSES, "missing"]),
            "reason": pd.array(self._reasons(), dtype="str"),
            "verified": np.where(status == COMPLETE, verified == 1, verified > 0),  # what trained was given images
            "device_seconds": np.append(self._results.seconds, nan)[self._place],
            "notes": self._words(self._results.noted, self._results.notes),
            "machine": self._words(self._results.machine, self._results.machines),
        }

    def _status(self) -> np.ndarray:
        return np.append(self._results.status, MISSING)[self._place]

    def _words(self, codes: np.ndarray, known: Sequence[str]) -> Any:
        """The word of each trial; nothing where it has no outcome."""
        words = list(dict.fromkeys([*known, ""]))
        return _coded(np.append(codes, words.index(""))[self._place], words)

    def _reasons(self) -> np.ndarray:
        broken, words = self._store.broken(), np.array([*self._results.reasons, ""], object)
        reasons = words[np.append(self._results.reason, -1)[self._place]]
        for i in np.flatnonzero(self._place < 0):
            first = self._rows[self._row[i]].first
            reasons[i] = first.why or broken.get(self.keys[i]) or first.untrained or NOT_YET
        return reasons

    def means(self, by: Shots) -> np.ndarray:
        """(trials, groups): mean per-class accuracy of each group that has classes, in percent; NaN elsewhere."""
        values = np.full((len(self.keys), len(GROUPS)), nan)
        complete = np.flatnonzero(self._status() == COMPLETE)
        tails, starts = self._results.counts[self._place[complete]], self._results.offsets()
        order = np.argsort(tails, kind="stable")  # those of one long tail together
        for alike in np.split(order, np.flatnonzero(np.diff(tails[order])) + 1) if len(order) else ():
            counts, at = self._results.tails[tails[alike[0]]], complete[alike]
            accuracy = self._results.accuracy[starts[self._place[at]][:, None] + np.arange(len(counts))]
            for group, members in class_members(counts, by).items():
                if members:
                    sums = map(fsum, accuracy[:, members].tolist())  # the same bits in whatever order the classes come
                    values[at, GROUPS.index(group)] = [total / len(members) for total in sums]
        return values

    def rescored(self, rescore: MetricRequest, by: Shots) -> np.ndarray:
        """(trials, groups): what another metric says. A trial whose logits cannot be read is missing from then on."""
        values = np.full((len(self.keys), len(rescore.groups)), nan)
        for i in np.flatnonzero((self._status() == COMPLETE) & ~self.without(rescore)):
            try:
                measured = rescore.measured(self._store, self._store.record(self.keys[i]), by)
                values[i] = [measured.get(group, nan) for group in rescore.groups]
            except (StoreError, FileNotFoundError) as error:
                self.damaged.append(str(error))
                self._place[i] = -1
        return values

    def without(self, rescore: MetricRequest) -> np.ndarray:
        """(trials,): whether the metric is none of the trial's data set."""
        return np.array([bool(rescore.lacks(row.first.trial.data)) for row in self._rows], bool)[self._row]

    def classes(self, by: Shots, groups: Sequence[str]) -> np.ndarray:
        """(trials, groups): the classes of each; of a trial that did not get so far, those of its data set."""
        none = [0] * len(groups)
        sizes = np.array([*(_sizes(tail, by, groups) if tail else none for tail in self._results.tails), none])
        classes = sizes[np.append(self._results.counts, -1)[self._place]]
        unknown = ~classes.any(axis=1)
        planned = {row: self._rows[row].first.trial for row in np.unique(self._row[unknown]).tolist()}
        known = {row: _sizes(long_tail(t.data, t.val_per_class), by, groups) for row, t in planned.items()}
        if known:
            classes[unknown] = [known[row] for row in self._row[unknown].tolist()]
        return classes


def _sizes(counts: tuple[int, ...], by: Shots, groups: Sequence[str]) -> list[int]:
    members = class_members(counts, by)
    return [len(members[group]) for group in groups]


def _coded(codes: np.ndarray, words: Sequence[str]) -> Any:
    return pd.Categorical.from_codes(codes, categories=pd.Index(words))
