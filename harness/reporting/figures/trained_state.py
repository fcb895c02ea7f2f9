"""What records hold beside the accuracies, and figures are made of: the accuracy on training images by epoch, and the
decision regions."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ....leaderboard.figures.figure import FigureData, Picture
from ...errors import ReportError, StoreError
from ...registry.datasets import long_tail
from ...spec.schema import Data
from ...storage import paths
from ...storage.reader import StoreReader

TRACKED = {"all": "history_train_accuracy", "minority": "history_train_accuracy_minority"}
REGIONS, PARTS = "regions_", ("shares", "picture", "corners", "classes")


def training_accuracy(store: StoreReader, key: str) -> dict[str, dict[int, float]]:
    """The accuracy in percent on a trial's training images by group, at each epoch (from 1) after which it was taken;
    nothing where it never was. StoreError where the arrays are damaged."""
    found, arrays = {}, {}
    with suppress(FileNotFoundError):
        arrays = store.arrays(key, "history_train_accuracy")
    for group, name in TRACKED.items():
        column = arrays.get(name)
        if column is not None and column.ndim == 1:
            taken = np.flatnonzero(np.isfinite(column))
            found[group] = {int(epoch) + 1: float(column[epoch]) for epoch in taken}
    return {group: epochs for group, epochs in found.items() if epochs}


def fitted_table(store: StoreReader | None, table: pd.DataFrame, group: str, by_epoch: bool) -> pd.DataFrame:
    """The trials with ``value``, the accuracy on their training images, and ``epoch``.

    Args:
        store: Where the records are; None where nothing is trained yet.
        table: The trials.
        group: ``all`` or ``minority``.
        by_epoch: Whether there is a row for each epoch after which it was taken, or one, of the last. A trial that is
            not complete has one row, without a value, at its last epoch.

    Raises:
        ReportError: where no complete trial has it.
    """
    rows: list[dict[str, Any]] = []
    trials: list[dict[Any, Any]] = table.to_dict("records")
    for trial in trials:
        planned = int(trial["training.epochs"])
        complete = store is not None and trial["recalls"] is not None
        taken = training_accuracy(store, str(trial["key"])).get(group, {}) if store is not None and complete else {}
        points = {max(taken): taken[max(taken)]} if taken and not by_epoch else taken or {planned: np.nan}
        rows += [{**trial, "epoch": float(epoch), "value": value} for epoch, value in points.items()]
    found = pd.DataFrame(rows)
    if store is not None and not found["value"].notna().any():
        of = "" if group == "all" else f"{group} "
        raise ReportError(
            f"no trial of {store} says how well its {of}training images were fitted; the spec needs training: "
            "{track: minority, track_every: 5}, and a store of its own"
        )
    return found


def with_convergence(figure: FigureData, store: StoreReader, keys: Iterable[str], converged: float) -> FigureData:
    """The figure with a sentence on the accuracy that its trials reached on their training images, of all and, where
    they were followed, of the minority classes; its claims get no word where one reached less than is asked for, or
    says nothing of it.

    Args:
        figure: The figure.
        store: Where the records are.
        keys: The complete trials.
        converged: What is asked for, in percent.
    """
    taken = [training_accuracy(store, key) for key in keys]
    ends = {group: [each[group][max(each[group])] for each in taken if group in each] for group in TRACKED}
    if len(ends["all"]) < len(taken) or not taken:
        silent = len(taken) - len(ends["all"])
        said = f"{silent} of {len(taken)} trials do not say how well they fit their training images"
    else:
        said = f"accuracy on the training images reached {_range(ends['all'])}"
        said += f", on those of the minority classes {_range(ends['minority'])}" if ends["minority"] else ""
        if min(map(min, filter(None, ends.values()))) >= converged:
            return replace(figure, notes=[*figure.notes, f"Converged: {said}."])
        said = f"not converged: {said}, and {converged:g} are asked for"
    claims = [replace(claim, verdict="", reason=claim.reason or said) for claim in figure.claims]
    return replace(figure, claims=claims, notes=[*figure.notes, f"{said[0].upper()}{said[1:]}."])


def _range(percent: list[float]) -> str:
    ends = dict.fromkeys(f"{end(percent):.1f}" for end in (min, max))
    return f"{' to '.join(ends)} percent"


def region_arrays(
    store: StoreReader | None, key: str, data: Data, complete: bool
) -> tuple[np.ndarray | None, Picture | None]:
    """The decision regions of a trial, classes in the order of the long tail.

    Args:
        store: Where the records are; None where nothing is trained yet.
        key: The trial's.
        data: What it was trained on.
        complete: Whether it is complete.

    Returns:
        The share of each class on each plane (planes, C), and the regions of the first plane; None of a trial that is
        not complete.

    Raises:
        ReportError: where a complete trial has none. StoreError where they are damaged.
    """
    if store is None or not complete:
        return None, None
    try:
        arrays, counts = store.arrays(key, REGIONS), long_tail(data)
    except FileNotFoundError as error:
        raise StoreError(f"{store}/{paths.arrays(key)} is missing") from error
    shares, picture, corners, classes = (arrays.get(REGIONS + name) for name in PARTS)
    if shares is None or picture is None or corners is None or classes is None:
        raise ReportError(
            f"trial {key} of {store} holds no decision regions: it was trained by a plan without "
            "figure: {kind: regions}; run the spec into a store of its own"
        )
    order = sorted(range(len(counts)), key=lambda c: -counts[c])
    rank = np.argsort(order)
    if shares.shape[1:] != rank.shape or not np.allclose(shares.sum(axis=1), 1, atol=1e-3):
        raise StoreError(f"{store}/{paths.arrays(key)} is damaged: its shares are not those of {len(counts)} classes")
    if (
        picture.ndim != 2
        or corners.shape != (3, 2)
        or classes.shape != (3,)
        or not _are_classes(rank, picture, classes)
    ):
        raise StoreError(f"{store}/{paths.arrays(key)} is damaged: its regions are not those of {len(counts)} classes")
    shown = Picture("", "", rank[picture], corners.astype(float), rank[classes].tolist())
    return shares.astype(float)[:, order], shown


def _are_classes(rank: np.ndarray, *numbers: np.ndarray) -> bool:
    return all(a.dtype.kind in "iu" and 0 <= a.min(initial=0) <= a.max(initial=0) < len(rank) for a in numbers)
