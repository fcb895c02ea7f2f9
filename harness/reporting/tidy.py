"""From records to the tidy table that the leaderboard reads: one row for each trial and shot group.

Column by column, and never an object for each trial: there may be a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ...leaderboard.metric import GROUPS
from ...leaderboard.results import NOT_YET
from ..errors import StoreError
from ..metrics.shots import class_groups, class_members
from ..planning.reported import ReportedTrial
from ..registry.datasets import long_tail
from ..spec.labels import Labels
from ..spec.schema import Shots
from ..storage.columns.results import STATUSES
from ..storage.index import trial_results
from ..storage.packed_keys import SIZE, positions, texts, unique
from .reported_store import ReportedStore

if TYPE_CHECKING:
    from ..metrics.rescoring import MetricRequest

COMPLETE, FAILED, MISSING = STATUSES.index("complete"), STATUSES.index("failed"), len(STATUSES)
AT_ONCE = 2**17  # accuracies of which groups are averaged together, while they are near


@dataclass(frozen=True)
class TidyTable:
    """The rows of a store's trials, with the columns ``COLUMNS``, ``ROW``, ``NOTES`` and ``MACHINE`` of
    ``leaderboard/results.py`` (times in seconds, values in percent or what the metric is in); a message for each record
    that is damaged, whose trial counts as missing; and the keys of the finished trials that are in no row."""

    rows: pd.DataFrame
    damaged: list[str]
    beside: list[str]


def tidy(reported: ReportedStore, by: Shots, labels: Labels, rescore: MetricRequest | None = None) -> TidyTable:
    """The tidy table of a store.

    Args:
        reported: The store, with its trials by row.
        by: How the classes are grouped.
        labels: How trials are called.
        rescore: A metric from the stored logits, in place of what the records hold.

    Returns:
        The table.
    """
    trials = _Trials(reported, by)
    groups = rescore.groups if rescore else GROUPS
    values = trials.rescored(rescore, by) if rescore else trials.means()
    columns = {**trials.words(labels), **trials.states()}
    long = {name: column.repeat(len(groups)) for name, column in columns.items()}
    group = _coded(np.tile(np.arange(len(groups)), len(trials.keys)), groups)
    classes = trials.classes(groups)
    if rescore:
        classes[trials.without(rescore)] = 0
    rows = pd.DataFrame(
        {"key": _texts(trials.keys, trials.known, len(groups)), **long, "group": group, "classes": classes.ravel(),
         "value": values.ravel()}, copy=False,
    )  # fmt: skip
    return TidyTable(rows, trials.damaged, trials.beside)


class _Trials:
    """The trials of all rows: to which ``row`` each belongs, and its ``place`` among the outcomes. It is -1 where there
    is none, which is the last of any column that has one more for that."""

    def __init__(self, reported: ReportedStore, by: Shots) -> None:
        self._store, self._rows, self._by = reported.store, reported.rows, by
        self.keys, self.known = reported.rows.keys()
        self._row = np.repeat(np.arange(len(self._rows)), self._rows.lengths)
        wanted = self.keys if self.known.all() else self.keys[self.known]
        self._results, self.damaged, finished = trial_results(self._store, wanted)
        self._place = np.full(len(self.keys), -1)
        self._place[self.known] = positions(wanted, self._results.keys)
        wanted = unique(wanted)
        shown = self._place[self.known] if len(wanted) == self.known.sum() else positions(wanted, self._results.keys)
        all_shown = (shown >= 0).sum() == len(finished)
        self.beside = [] if all_shown else texts(finished[positions(finished, wanted) < 0])
        self._asked: tuple[int, Any] = -1, None
        self._groups = _ClassGroups(self._results.tails, by)

    def words(self, labels: Labels) -> dict[str, Any]:
        """What identifies each trial. Words that many share are kept once."""
        words = self._rows.words(labels)
        columns = {name: pd.Categorical(column)[of_row][self._row] for name, (column, of_row) in words.items()}
        return {**columns, "pending": ~self.known, "seed": self._rows.seeds}

    def states(self) -> dict[str, Any]:
        """Status, reason, whether the data were the official bytes, and the seconds of training."""
        status = self._status()
        for i in np.flatnonzero(self._place < 0):
            status[i] = FAILED if self._first(self._row[i]).failed else MISSING
        verified = np.append(self._results.verified, 2)[self._place]
        return {
            "status": _coded(status, [*STATUSES, "missing"]),
            "reason": pd.array(self._reasons(), dtype="str"),
            "verified": np.where(status == COMPLETE, verified == 1, verified > 0),  # what trained was given images
            "device_seconds": np.append(self._results.seconds, nan)[self._place],
            "notes": self._words(self._results.noted, self._results.notes),
            "machine": self._words(self._results.machine, self._results.machines),
        }

    def _first(self, row: int) -> ReportedTrial:
        """The trial that a row is told by; those of one row are asked for one after the other."""
        if self._asked[0] != row:
            self._asked = row, self._rows[row].first
        return self._asked[1]

    def _status(self) -> np.ndarray:
        return np.append(self._results.status, MISSING)[self._place]

    def _words(self, codes: np.ndarray, known: Sequence[str]) -> Any:
        """The word of each trial; nothing where it has no outcome."""
        words = list(dict.fromkeys([*known, ""]))
        return _coded(np.append(codes, words.index(""))[self._place], words)

    def _reasons(self) -> np.ndarray:
        words = np.array([*self._results.reasons, ""], object)
        reasons = words[np.append(self._results.reason, -1)[self._place]]
        without = np.flatnonzero(self._place < 0)
        broken = self._store.broken() if len(without) else {}
        for i, key in zip(without, texts(self.keys[without]), strict=True):
            first = self._first(self._row[i])
            reasons[i] = first.why or broken.get(key) or first.untrained or NOT_YET
        return reasons

    def means(self) -> np.ndarray:
        """(trials, groups): mean per-class accuracy of each group that has classes, in percent; NaN elsewhere."""
        values = np.full((len(self.keys), len(GROUPS)), nan)
        complete = np.flatnonzero(self._status() == COMPLETE)
        place = self._place[complete]
        tails, classes, starts = self._results.counts[place], self._results.classes[place], self._results.offsets()
        for length in np.unique(classes).tolist():
            alike = np.flatnonzero(classes == length)
            for at in np.array_split(alike, len(alike) * length // AT_ONCE + 1):
                accuracy = self._results.accuracy[starts[place[at]][:, None] + np.arange(length)]
                values[complete[at]] = group_means(accuracy, self._groups.of(tails[at], length))
        return values

    def rescored(self, rescore: MetricRequest, by: Shots) -> np.ndarray:
        """(trials, groups): what another metric says. A trial whose logits cannot be read is missing from then on."""
        values, keys = np.full((len(self.keys), len(rescore.groups)), nan), texts(self.keys)
        for i in np.flatnonzero((self._status() == COMPLETE) & ~self.without(rescore)):
            try:
                measured = rescore.measured(self._store, self._store.record(keys[i]), by)
                values[i] = [measured.get(group, nan) for group in rescore.groups]
            except (StoreError, FileNotFoundError) as error:
                self.damaged.append(str(error))
                self._place[i] = -1
        return values

    def without(self, rescore: MetricRequest) -> np.ndarray:
        """(trials,): whether the metric is none of the trial's data set."""
        return np.array([bool(rescore.lacks(row.first.trial.data)) for row in self._rows], bool)[self._row]

    def classes(self, groups: Sequence[str]) -> np.ndarray:
        """(trials, groups): the classes of each; of a trial that did not get so far, those of its data set."""
        chosen = [GROUPS.index(group) for group in groups]
        sizes = np.append(self._groups.sizes, np.zeros((1, len(GROUPS)), int), axis=0)[:, chosen]
        classes = sizes[np.append(self._results.counts, -1)[self._place]]
        unknown = ~classes.any(axis=1)
        planned = {row: self._first(row).trial for row in np.unique(self._row[unknown]).tolist()}
        known = {row: _sizes(long_tail(t.data, t.val_per_class), self._by, groups) for row, t in planned.items()}
        if known:
            classes[unknown] = [known[row] for row in self._row[unknown].tolist()]
        return classes


class _ClassGroups:
    """The shot groups of the classes of many long tails; ``sizes`` is (tails, groups)."""

    def __init__(self, tails: Sequence[tuple[int, ...]], by: Shots) -> None:
        lengths = np.array([len(tail) for tail in tails], int)
        numbers = {group: number for number, group in enumerate(GROUPS)}
        groups = (numbers[group] for tail in tails if tail for group in class_groups(tail, by))
        self._flat, self._starts = np.fromiter(groups, np.int8), np.cumsum(lengths) - lengths
        tail_of = np.repeat(np.arange(len(tails)), lengths)
        counted = np.bincount(tail_of * len(GROUPS) + self._flat, minlength=len(tails) * len(GROUPS))
        self.sizes = counted.reshape(-1, len(GROUPS))
        self.sizes[:, numbers["all"]] = lengths

    def of(self, tails: np.ndarray, length: int) -> np.ndarray:
        """(n, length): the number in GROUPS of each class of these tails, all of which have so many."""
        return self._flat[self._starts[tails][:, None] + np.arange(length)]


def group_means(accuracy: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The mean of each shot group, the sum of it rounded once: the same bits in whatever order the classes come.

    Args:
        accuracy: (n, C), from 0 to 100.
        group: (n, C), which of GROUPS each class is in.

    Returns:
        (n, groups): NaN where a group has no classes.
    """
    whole = np.floor(accuracy * 2.0**20) / 2.0**20
    rest = accuracy - whole  # exact, as are sums of wholes and of rests that are multiples of 2**-56
    scaled = rest * 2.0**56
    exact = (np.floor(scaled) == scaled).all(axis=1) & (accuracy.shape[1] < 2**16)
    place = (np.arange(0, len(accuracy) * len(GROUPS), len(GROUPS))[:, None] + group).ravel()
    sizes, wholes, rests = (
        _with_all(np.bincount(place, each, len(accuracy) * len(GROUPS))) for each in (None, whole.ravel(), rest.ravel())
    )
    sums = wholes + rests
    for i in np.flatnonzero(~exact):
        among = [slice(None) if name == "all" else group[i] == number for number, name in enumerate(GROUPS)]
        sums[i] = [fsum(accuracy[i, each]) for each in among]
    return np.divide(sums, sizes, where=sizes > 0, out=np.full(sums.shape, nan))


def _with_all(sums: np.ndarray) -> np.ndarray:
    """(n, groups): sums over groups of classes, with that over all of them."""
    table = sums.reshape(-1, len(GROUPS))
    table[:, GROUPS.index("all")] = table.sum(axis=1)
    return table


def _sizes(counts: tuple[int, ...], by: Shots, groups: Sequence[str]) -> list[int]:
    members = class_members(counts, by)
    return [len(members[group]) for group in groups]


def _texts(keys: np.ndarray, known: np.ndarray, times: int) -> Any:
    """The keys as a column of text, each so many times; empty where none is known."""
    if not known.all():
        names = np.where(known, np.array(texts(keys), object), "")
        return pd.array(names, dtype="str").repeat(times)
    digits = np.frombuffer(keys.tobytes().hex().encode(), f"S{2 * SIZE}").repeat(times)
    ends = np.arange(len(digits) + 1, dtype=np.int64) * 2 * SIZE
    column = pa.LargeStringArray.from_buffers(len(digits), pa.py_buffer(ends), pa.py_buffer(digits))
    return pd.array(column, dtype="str")


def _coded(codes: np.ndarray, words: Sequence[str]) -> Any:
    return pd.Categorical.from_codes(codes, categories=pd.Index(words))
