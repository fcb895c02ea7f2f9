"""What is recommended after a run of one setting, from its report and the accuracy of each class in its records."""

from __future__ import annotations

from contextlib import suppress

import pandas as pd

from ...leaderboard.recommendation import CLASSES, recommended
from ..errors import StoreError
from ..registry.datasets import dataset_of
from ..storage.reader import StoreReader
from .report import Report


def recommendation(report: Report, store: StoreReader) -> tuple[str, list[str]]:
    """The method that the report of a store speaks for, and sentences about it; nothing where none is complete."""
    complete = report.rows[(report.rows["group"] == "all") & (report.rows["status"] == "complete")]
    found = []
    for method, key in complete[["method", "key"]].itertuples(index=False, name=None):
        with suppress(StoreError, FileNotFoundError):  # the report has said so
            record = store.record(key)
            each = zip(dataset_of(record.trial.data).classes, record.counts, record.accuracy["last_ema"], strict=True)
            found += [(method, *words) for words in each]
    classes = pd.DataFrame(found, columns=pd.Index(CLASSES))
    return recommended(report.rows, classes.groupby([*CLASSES[:3]], sort=False, as_index=False).mean())
