"""From records to the tidy table that the leaderboard reads: one row for each trial and shot group."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import fsum
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..datasets.longtail import shots, terciles
from ..leaderboard.results import NOT_YET
from .chosen import Planned
from .data import long_tail
from .record import Outcome
from .spec import Data, Shots, Training, Trial
from .store import Store, StoreError

if TYPE_CHECKING:
    from .rescored import Rescore

GROUPS = ("few", "med", "many", "all")


def method_label(trial: Trial) -> str:
    """The method's name, with the values that were changed: ``Focal Loss (loss.gamma=2)``."""
    values = ", ".join(f"{name}={value}" for name, value in trial.method.values.items())
    return f"{trial.method.name} ({values})" if values else trial.method.name


def setting_label(data: Data) -> str:
    """The long tail in words: ``IF 100``, ``step, IF 10, head 300``."""
    words = [] if data.profile == "exp" else [data.profile]
    factor = f"{data.imbalance_factor:g}"
    exact = float(factor) == data.imbalance_factor
    words.append(f"IF {factor if exact else repr(data.imbalance_factor)}")
    return ", ".join(words + ([f"head {data.head}"] if data.head else []))


class Labels:
    """Words for the protocol and the method of each trial. All that differs among the trials is told, so that no two
    of one seed stand in one cell, whatever plans and stores they come from."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        routines, versions = {}, {}
        for trial in trials:
            routines.setdefault(_routine(trial), trial)
            versions.setdefault(method_label(trial), set()).add(trial.method.plugin)
        fields = {routine: _fields(trial) for routine, trial in routines.items()}
        differ = [n for n in ("epochs", *_OWN, *Training.model_fields) if len({str(f[n]) for f in fields.values()}) > 1]
        tell = dict.fromkeys(["epochs", *differ])
        self._protocols = {
            routine: ", ".join(f"{found[n]} epochs" if n == "epochs" else f"{n} {found[n]}" for n in tell)
            for routine, found in fields.items()
        }
        self._versions = {label for label, plugins in versions.items() if len(plugins) > 1}

    def protocol(self, trial: Trial) -> str:
        return f"{trial.network}, {self._protocols[_routine(trial)]}"

    def method(self, trial: Trial) -> str:
        """The method's label, with the start of its file's SHA-256 where two versions of a plugin are compared."""
        label = method_label(trial)
        return f"{label} [{(trial.method.plugin or 'built in')[:8]}]" if label in self._versions else label


_OWN = ("threads", "val_per_class", "stage", "protocol")  # of a trial, beside its training


def _routine(trial: Trial) -> tuple[str | int, ...]:
    return trial.training.canonical, *(getattr(trial, name) for name in _OWN)


def _fields(trial: Trial) -> dict[str, Any]:
    return trial.training.model_dump() | {name: getattr(trial, name) for name in _OWN}


@lru_cache(maxsize=1024)
def class_groups(counts: tuple[int, ...], by: Shots) -> tuple[str, ...]:
    """The shot group of each class: few, med or many."""
    return terciles(counts) if by.by == "tercile" else shots(counts, by.few, by.many)


@lru_cache(maxsize=1024)
def class_members(counts: tuple[int, ...], by: Shots) -> dict[str, tuple[int, ...]]:
    """The classes of each group."""
    groups = class_groups(counts, by)
    members = {name: tuple(c for c, group in enumerate(groups) if group == name) for name in GROUPS}
    return members | {"all": tuple(range(len(counts)))}


def mean_of(values: Sequence[float], at: Sequence[int]) -> float:
    """The mean over some classes; the same bits in whatever order they come."""
    return fsum([values[c] for c in at]) / len(at)


def shot_means(record: Outcome, by: Shots) -> dict[str, float]:
    """Mean per-class accuracy of each group that has classes, in percent; ``all`` is balanced accuracy."""
    accuracy = record.accuracy["last_ema"]
    return {group: mean_of(accuracy, at) for group, at in class_members(record.counts, by).items() if at}


def tidy(
    store: Store, shown: Sequence[Planned], by: Shots, labels: Labels, rescore: Rescore | None = None
) -> tuple[pd.DataFrame, list[str]]:
    """The rows of the trials, and a message for each record that is damaged; such a trial counts as missing.

    The columns are those of ``leaderboard.results.COLUMNS``, in seconds, and percent or what the metric is in.
    """
    finished, broken = store.finished(), store.broken()
    damaged: list[str] = []
    rows = []
    for one in shown:
        outcome, means, trial = None, {}, one.trial
        if trial.key in finished and not one.why:
            try:
                found = store.outcome(trial.key)
                if found.status == "complete":
                    means = rescore.measured(store, trial, found, by) if rescore else shot_means(found, by)
                outcome = found
            except (StoreError, FileNotFoundError) as error:
                damaged.append(str(error))
        about = _identity(one, labels) + _state(outcome, one, broken.get(trial.key, NOT_YET))
        members = class_members(
            outcome.counts if outcome and outcome.counts else long_tail(trial.data, trial.val_per_class), by
        )
        groups = rescore.groups if rescore else GROUPS
        rows += [(*about, group, len(members[group]), means.get(group, math.nan)) for group in groups]
    return _frame(rows), damaged


def _frame(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    """Column by column, each let go once it is made: a list of rows weighs several times its frame."""
    columns = list(zip(*rows, strict=True)) or [()] * len(NAMES)
    rows.clear()
    return pd.DataFrame({name: columns.pop() for name in reversed(NAMES)})[NAMES]


NAMES = ["key", "dataset", "setting", "protocol", "method", "seed", "status", "reason", "verified", "device_seconds",
         "group", "classes", "value"]  # fmt: skip


def protocol_label(one: Planned, labels: Labels) -> str:
    return ", ".join(filter(None, [labels.protocol(one.row), one.protocol]))


def row_label(one: Planned, labels: Labels) -> str:
    return f"{labels.method(one.row)}, {one.mark}" if one.mark else labels.method(one.row)


def _identity(one: Planned, labels: Labels) -> tuple[Any, ...]:
    return (
        one.key,
        one.row.data.name,
        setting_label(one.row.data),
        protocol_label(one, labels),
        row_label(one, labels),
        one.row.seed,
    )


def _state(outcome: Outcome | None, one: Planned, why_missing: str) -> tuple[Any, ...]:
    """Status, reason, whether the data were the official bytes, and the seconds of training."""
    if outcome is None:
        return "failed" if one.failed else "missing", one.why or why_missing, True, math.nan
    verified = outcome.data.verified if outcome.data else True
    return outcome.status, outcome.reason, verified, outcome.train_seconds
