"""The trials of a store as a table, with every field of their specs that may be an axis of a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from ...errors import ReportError
from ...metrics.shots import class_members
from ...planning.reported import ReportedTrial, merge_rows, report_rows
from ...registry.datasets import dataset_of, long_tail
from ...spec.labels import weights_label
from ...spec.schema import Data, Shots, Spec
from ...storage.columns.results import STATUSES
from ...storage.index import trial_results
from ...storage.packed_keys import packed, positions
from ...storage.reader import StoreReader
from .. import tuning_tables
from ..reported_store import merge_searches, read_plans, reported_store

DATA = ("dataset", "train_ratio", "total", "head", "profile")  # what is cut from which data
COUNTED = ("images", "majority", "minority")  # training images: all, of the largest class, of the smallest


def trial_table(store: StoreReader, plan: str = "") -> tuple[pd.DataFrame, Shots, list[str]]:
    """Every planned trial of a store.

    Args:
        store: A store or a bundle.
        plan: The name of the only plan that counts; empty for all.

    Returns:
        A row for each trial: its ``key``, ``seed``, ``data`` and kind of ``learner``; the fields of ``DATA`` and
        ``COUNTED``; ``method``, ``network``, ``weights``, ``tuning`` and ``protocol``; a column for each value of a
        method (``method.rho``) or network, and for each word of the routine (``training.lr``), empty where a trial has
        none; ``recalls``, of each class in percent, None where the trial is not complete; and whether its data were
        ``verified``. Then how the first plan counts shot groups, and a message for each damaged record.

    Raises:
        StoreError: where there is no store.
        ReportError: where it holds no such plan.
        DataError: where a trial's data set is not known here.
    """
    plans = [each for each in read_plans(store, None, None, importance=False) if plan in ("", each.spec.name)]
    if not plans:
        raise ReportError(f"{store} holds no plan {plan!r}; tailboard run {plan} makes it")
    searches = merge_searches(result for plan in plans for result in plan.results.values())
    protocols = tuning_tables.protocols([plan.spec for plan in plans])
    shown = reported_store(store, plans, searches, protocols, False).rows
    keys = packed(key for row in shown for key in row.keys if key)
    results, damaged, _ = trial_results(store, keys)
    starts, complete, rows = results.offsets(), results.status == STATUSES.index("complete"), []
    place = iter(positions(keys, results.keys).tolist())
    for row in shown:
        named = _fields(row.first)
        for key, seed in zip(row.keys, row.seeds, strict=True):
            at = next(place) if key else -1
            recalls, verified = None, True
            if at >= 0 and complete[at]:
                recalls = results.accuracy[starts[at] : starts[at] + results.classes[at]]
                verified = results.verified[at] == 1
            rows.append(named | {"key": key, "seed": seed, "recalls": recalls, "verified": verified})
    return _with_augmentation(pd.DataFrame(rows)), plans[0].spec.shots, damaged


def planned_table(spec: Spec) -> pd.DataFrame:
    """The same of a plan of which nothing is trained, at the spec's own values."""
    rows = [
        _fields(row.first) | {"key": key, "seed": seed, "recalls": None, "verified": True}
        for row in merge_rows(report_rows(spec, {}))
        for key, seed in zip(row.keys, row.seeds, strict=True)
    ]
    return _with_augmentation(pd.DataFrame(rows))


def _with_augmentation(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the column ``training.augmentation``, where several words of a routine differ that change images:
    what is done to them in one word, such as ``flip``, ``crop``, ``augmix`` or ``none``."""
    words = ["training.flip", "training.crop_padding", "training.augment"]
    if sum(word in table and table[word].nunique() > 1 for word in words) < 2:
        return table
    named = [
        "+".join(filter(None, ["flip" * bool(flip), "crop" * bool(crop), "" if augment == "none" else augment]))
        or "none"
        for flip, crop, augment in table[words].itertuples(index=False, name=None)
    ]
    return table.assign(**{"training.augmentation": named})


def _fields(reported: ReportedTrial) -> dict[str, Any]:
    """What its trials share, at the spec's own values: a row that is tuned is named by its method."""
    trial, counts = reported.row, long_tail(reported.row.data)
    return (
        {"data": trial.data, "learner": trial.training.learner}
        | dict(zip(DATA, _data(trial.data, counts), strict=True))
        | dict(
            zip(
                COUNTED,
                (sum(counts), trial.data.majority or max(counts), trial.data.minority or min(counts)),
                strict=True,
            )
        )
        | {"method": trial.method.name, "network": trial.network, "weights": weights_label(trial)}
        | {"tuning": reported.protocol, "protocol": trial.protocol, "plugin": (trial.method.plugin or "")[:8]}
        | {f"method.{name}": value for name, value in trial.method.values.items()}
        | {f"network.{name}": value for name, value in (trial.network_values or {}).items()}
        | {f"training.{name}": value for name, value in trial.training.model_dump(exclude={"kind"}).items()}
    )


def _data(data: Data, counts: Sequence[int]) -> tuple[Any, ...]:
    own = min(counts) / max(counts)  # where nothing is cut
    ratio = own if data.profile == "natural" else float(f"{1 / data.imbalance_factor:.12g}")  # 0.1, not 0.1 + 1e-17
    return data.title, ratio, data.total, data.head, data.profile


def members_of(data: Data, group: str, by: Shots) -> tuple[int, ...]:
    """The classes of a group: the minority is the last half of the long tail, less one where they are odd
    in number, the majority all others; the shot groups are counted on the training images.

    Args:
        data: The data set and its long tail.
        group: The group.
        by: How shot groups are counted.
    """
    counts = long_tail(data)
    if group not in ("minority", "majority"):
        return class_members(counts, by)[group]
    ranked, rare = list(range(len(counts))), len(counts) // 2
    if data.profile == "natural":
        ranked.sort(key=lambda c: -counts[c])
    return tuple(sorted(ranked[-rare:] if group == "minority" else ranked[:-rare]))


def parameters_of(network: str, data: Data) -> int:
    """The parameters of a network on the images of a data set, counted without memory for them."""
    from ...registry.networks import parameters  # imports torch

    about = dataset_of(data)
    return parameters(network, about.shape[0], len(about.classes))
