"""What is recommended after a run of one data set, from its report and the accuracy of each class in its records."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

import pandas as pd

from ...leaderboard.recommendation import CLASSES, joined, recommended
from ..errors import StoreError
from ..registry.datasets import dataset_of
from ..storage.reader import StoreReader
from .report import Report


@dataclass(frozen=True)
class Recommendation:
    """A method that a report speaks for, ``key`` of one of its trials, and sentences about it. All are empty where no
    method is complete. ``ambiguous`` says whether another row has a method of that name."""

    method: str = ""
    key: str = ""
    sentences: tuple[str, ...] = ()
    ambiguous: bool = False


def recommendation(report: Report, store: StoreReader) -> Recommendation:
    """What the report of a store speaks for. Of several networks or estimators a method on each is a candidate, called
    ``METHOD on ESTIMATOR``; all were fitted on the same draws, so that they are compared seed by seed."""
    rows, baseline = joined(report.rows)
    complete = rows[(rows["group"] == "all") & (rows["status"] == "complete")]
    lines = []
    for method, key in complete[["method", "key"]].itertuples(index=False, name=None):
        with suppress(StoreError, FileNotFoundError):  # the report has said so
            record = store.record(key)
            each = zip(dataset_of(record.trial.data).classes, record.counts, record.accuracy["last_ema"], strict=True)
            lines += [(method, *words) for words in each]
    classes = pd.DataFrame(lines, columns=pd.Index(CLASSES))
    each_class = classes.groupby(["method", "class"], sort=False, as_index=False).mean()
    name, sentences = recommended(rows, each_class, baseline, report.metric.examples)
    if not name:
        return Recommendation()
    key = str(complete.loc[complete["method"] == name, "key"].iloc[0])
    method = str(report.rows.loc[report.rows["key"] == key, "method"].iloc[0])
    same = report.rows[report.rows["method"] == method]
    return Recommendation(method, key, tuple(sentences), same["row_key"].nunique() > 1)
