"""Another metric than the accuracies in the records, of each trial: by group of classes, or at each test ratio."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from ....leaderboard.figures.ratio_matrix import exponential_prior
from ...errors import ReportError
from ...metrics.prior import Prior
from ...metrics.rescoring import MetricRequest
from ...spec.schema import Shots
from ...storage.reader import StoreReader
from .request import AT_TEST_RATIOS, FigureRequest


def check_metric(table: pd.DataFrame, metric: MetricRequest) -> None:
    """ReportError where a data set lacks it."""
    for data in dict.fromkeys(table["data"]):
        if why := metric.lacks(data):
            raise ReportError(f"--metric: {data.name} has no {metric.name}, which is {why}")


def with_metric(store: StoreReader, table: pd.DataFrame, shots: Shots, asked: FigureRequest) -> pd.DataFrame:
    """The trials with the metric: ``measured``, by group, or ``tested``, at each test ratio.

    Args:
        store: Where the records are.
        table: The trials.
        shots: How the classes are grouped.
        asked: Which figure, of which metric.

    Raises:
        ReportError: where a data set lacks the metric, or has another number of classes than the others.
        StoreError: where it needs arrays that are damaged or not there.
    """
    if asked.kind not in AT_TEST_RATIOS:
        return table.assign(measured=pd.Series(list(_measured(store, table, shots, asked.metric)), table.index, object))
    tested: list[dict[float, float]] = [{} for _ in table.index]
    for ratio in map(float, table["train_ratio"].unique()):
        classes = {len(recalls) for recalls in table["recalls"] if recalls is not None}
        if len(classes) > 1:
            raise ReportError("the data sets have other numbers of classes; draw them one by one")
        prior = Prior(shares=tuple(exponential_prior(classes.pop(), ratio).tolist()))
        for found, values in zip(
            tested, _measured(store, table, shots, replace(asked.metric, prior=prior)), strict=True
        ):
            found[ratio] = values.get("all", np.nan)
    return table.assign(tested=pd.Series(tested, table.index, object))


def _measured(
    store: StoreReader, table: pd.DataFrame, shots: Shots, metric: MetricRequest
) -> Iterator[dict[str, float]]:
    """The metric of each trial by group; nothing of one that is not complete. ReportError where a data set lacks it."""
    check_metric(table, metric)
    for key, recalls in zip(table["key"], table["recalls"], strict=True):
        yield metric.measured(store, store.record(key), shots) if recalls is not None else {}
