"""From records to the tidy table that the leaderboard reads: one row for each trial and shot group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from ..datasets.longtail import shots, terciles
from .data import long_tail
from .record import Record
from .spec import Data, Shots, Training, Trial, plan
from .store import Store, StoreError

GROUPS = ("few", "med", "many", "all")


def method_label(trial: Trial) -> str:
    """The method's name, with the values that were changed: ``Focal Loss (loss.gamma=2)``."""
    values = ", ".join(f"{name}={value}" for name, value in trial.method.values.items())
    return f"{trial.method.name} ({values})" if values else trial.method.name


def setting_label(data: Data) -> str:
    """The long tail in words: ``IF 100``, ``step, IF 10, head 300``."""
    words = [] if data.profile == "exp" else [data.profile]
    words.append(f"IF {data.imbalance_factor:g}")
    return ", ".join(words + ([f"head {data.head}"] if data.head else []))


def protocol_labels(trials: Sequence[Trial]) -> dict[tuple[str, Training], str]:
    """Words for each network and training among the trials: what no two of them share tells them apart."""
    trainings = list(dict.fromkeys(trial.training for trial in trials))
    fields = [t.model_dump() for t in trainings]
    differ = [name for name in Training.model_fields if len({str(f[name]) for f in fields}) > 1]
    tell = ["epochs", *(name for name in differ if name != "epochs")]
    return {
        (trial.network, trial.training): ", ".join(
            [trial.network, *(_words(name, getattr(trial.training, name)) for name in tell)]
        )
        for trial in trials
    }


def _words(name: str, value: Any) -> str:
    return f"{value} epochs" if name == "epochs" else f"{name} {value}"


@lru_cache(maxsize=1024)
def class_groups(counts: tuple[int, ...], by: Shots) -> tuple[str, ...]:
    """The shot group of each class: few, med or many."""
    return terciles(counts) if by.by == "tercile" else shots(counts, by.few, by.many)


@lru_cache(maxsize=1024)
def _members(counts: tuple[int, ...], by: Shots) -> dict[str, np.ndarray]:
    of_class = np.array(class_groups(counts, by))
    return {group: np.arange(len(counts)) if group == "all" else np.flatnonzero(of_class == group) for group in GROUPS}


def shot_means(record: Record, by: Shots) -> dict[str, float]:
    """Mean per-class accuracy of each group that has classes, in percent; ``all`` is balanced accuracy."""
    accuracy = np.array(record.accuracy["last_ema"])
    return {g: float(accuracy[at].mean()) for g, at in _members(record.counts, by).items() if len(at)}


def planned(store: Store) -> list[Trial]:
    """The trials of every plan in the store, each once, in the plans' order."""
    return list({trial.key: trial for spec in store.plans() for trial in plan(spec)}.values())


def tidy(store: Store, trials: Sequence[Trial], by: Shots) -> tuple[pd.DataFrame, list[str]]:
    """The rows of the trials, and a message for each record that is damaged; such a trial counts as missing.

    The columns are those of ``leaderboard.results.COLUMNS``, in percent and seconds.
    """
    finished, broken, labels = store.finished(), store.broken(), protocol_labels(trials)
    damaged: list[str] = []

    def load(trial: Trial) -> Record | None:
        try:
            return store.record(trial.key) if trial.key in finished else None
        except (StoreError, FileNotFoundError) as error:
            damaged.append(str(error))
            return None

    with ThreadPoolExecutor(8) as pool:
        records = list(pool.map(load, trials))
    rows = []
    for trial, record in zip(trials, records, strict=True):
        about = {
            "key": trial.key,
            "dataset": trial.data.name,
            "setting": setting_label(trial.data),
            "protocol": labels[trial.network, trial.training],
            "method": method_label(trial),
            "seed": trial.seed,
            "status": record.status if record else "missing",
            "reason": record.reason if record else broken.get(trial.key, "not run yet"),
            "verified": record.data.verified if record and record.data else True,
            "device_seconds": record.train_seconds if record else math.nan,
        }
        members = _members(record.counts if record else long_tail(trial.data, trial.val_per_class), by)
        means = shot_means(record, by) if record and record.status == "complete" else {}
        rows += [
            about | {"group": group, "classes": len(at), "value": means.get(group, math.nan)}
            for group, at in members.items()
        ]
    return pd.DataFrame(rows), sorted(damaged)
