"""The trials of a store as a table, with every field of their specs that may be an axis of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...errors import StoreError
from ...metrics.shots import class_members
from ...planning.reported import ReportedTrial
from ...registry.datasets import dataset_of, long_tail
from ...spec.schema import Data, Shots, Trial
from ...storage.reader import StoreReader
from .. import tuning_tables
from ..reported_store import merge_searches, read_plans, reported_store

DATA = ("dataset", "train_ratio", "total", "head", "profile")  # what is cut from which data
COUNTED = ("images", "majority", "minority")  # training images: all, of the largest class, of the smallest
GROUPS = ("all", "few", "med", "many", "minority", "majority")


def trial_table(store: StoreReader) -> tuple[pd.DataFrame, Shots, list[str]]:
    """Every planned trial of a store.

    Args:
        store: A store or a bundle.

    Returns:
        A row for each trial: its ``key``, ``seed`` and ``trial``; the fields of ``DATA`` and ``COUNTED``; ``method``,
        ``network``, ``weights``, ``tuning`` and ``protocol``; a column for each value of a method (``method.rho``) or
        network, and for each word of the routine (``training.lr``), empty where a trial has none; and ``recalls``, of
        each class in percent, None where the trial is not complete. Then how the first plan counts shot groups, and a
        message for each damaged record.

    Raises:
        StoreError: where there is no store.
        DataError: where a trial's data set is not known here.
    """
    plans = read_plans(store, None, None)
    searches = merge_searches(result for plan in plans for result in plan.results.values())
    protocols = tuning_tables.protocols([plan.spec for plan in plans])
    rows, damaged, finished = [], list[str](), store.finished()
    for row in reported_store(store, plans, searches, protocols, False).rows:
        named = _fields(row.first)
        for reported in row.each():
            key, recalls = reported.trial.key, None
            try:
                outcome = store.result(key) if key in finished and not reported.pending else None
                recalls = np.array(outcome.accuracy["last_ema"]) if outcome and outcome.status == "complete" else None
            except (StoreError, FileNotFoundError) as error:
                damaged.append(str(error))
            rows.append(named | {"key": key, "seed": reported.row.seed, "trial": reported.trial, "recalls": recalls})
    return pd.DataFrame(rows), plans[0].spec.shots, damaged


def _fields(reported: ReportedTrial) -> dict[str, Any]:
    """What its trials share, at the spec's own values: a row that is tuned is named by its method."""
    trial, counts = reported.row, long_tail(reported.row.data)
    return (
        dict(zip(DATA, _data(trial.data, counts), strict=True))
        | dict(zip(COUNTED, (sum(counts), max(counts), min(counts)), strict=True))
        | {"method": trial.method.name, "network": trial.network, "weights": (trial.weights or "random")[:8]}
        | {"tuning": reported.protocol, "protocol": trial.protocol, "plugin": (trial.method.plugin or "")[:8]}
        | {f"method.{name}": value for name, value in trial.method.values.items()}
        | {f"network.{name}": value for name, value in (trial.network_values or {}).items()}
        | {f"training.{name}": value for name, value in trial.training.model_dump(exclude={"kind"}).items()}
    )


def _data(data: Data, counts: Sequence[int]) -> tuple[Any, ...]:
    own = min(counts) / max(counts)  # where nothing is cut
    ratio = own if data.profile == "natural" else float(f"{1 / data.imbalance_factor:.12g}")  # 0.1, not 0.1 + 1e-17
    return data.name, ratio, data.total, data.head, data.profile


def members_of(trial: Trial, group: str, by: Shots) -> tuple[int, ...]:
    """The classes of a group of ``GROUPS``: the minority is the last half of the long tail, less one where they are odd
    in number, the majority all others; the shot groups are counted on the training images.

    Args:
        trial: The trial.
        group: The group.
        by: How shot groups are counted.
    """
    counts = long_tail(trial.data)
    if group not in ("minority", "majority"):
        return class_members(counts, by)[group]
    order = sorted(range(len(counts)), key=lambda c: (-counts[c], c)) if trial.data.profile == "natural" else None
    ranked, rare = order or list(range(len(counts))), len(counts) // 2
    return tuple(sorted(ranked[-rare:] if group == "minority" else ranked[:-rare]))


def parameters_of(trial: Trial) -> int:
    """The parameters of a trial's network on its images, counted without memory for them."""
    from ...registry.networks import parameters  # imports torch

    about = dataset_of(trial.data)
    return parameters(trial.network, about.shape[0], len(about.classes))
