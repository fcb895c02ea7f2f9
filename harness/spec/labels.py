"""The words of a row, and the groups and means that it is of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import fsum
from typing import Any

from ...datasets.longtail import shots, terciles
from ..planning.reported import Planned
from ..storage.record import Outcome
from .schema import Data, Shots, Training, Trial

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


def label(trial: Trial) -> str:
    return f"{method_label(trial)}, {trial.data.name}, {setting_label(trial.data)}, seed {trial.seed}"


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


def protocol_label(one: Planned, labels: Labels) -> str:
    return ", ".join(filter(None, [labels.protocol(one.row), one.protocol]))


def row_label(one: Planned, labels: Labels) -> str:
    return f"{labels.method(one.row)}, {one.mark}" if one.mark else labels.method(one.row)
