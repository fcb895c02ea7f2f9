"""What is said beside the accuracies where two classes are tested at their natural frequencies: metrics that no
threshold moves, and those of the class with fewer training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...leaderboard.recommendation import first_by
from ...leaderboard.results import COLUMN, summarise
from ...leaderboard.tables.grid import Table, plus_minus
from ..metrics.rescoring import MetricRequest, parse_metric
from ..registry.datasets import test_counts
from ..storage.reader import StoreReader
from .report import Report

METRICS = ("auroc", "average_precision", "f1", "recall_at_precision:0.9")
CAPTION = (
    "In percent, mean ± one standard error over seeds (ddof = 1), at the frequencies of the test set: the area under "
    "the ROC curve, which neither a threshold nor the frequencies move; and of the class with fewer training images "
    "its average precision, its F1, and the recall that a precision of 0.9 leaves. –: not every seed is complete."
)


def natural(stores: Sequence[StoreReader]) -> set[str]:
    """The names of the data sets of two classes whose test set is not balanced."""
    known = [data for store in stores for spec in store.plans() for data in spec.data]
    return {data.name for data in known if len(tested := test_counts(data)) == 2 and len(set(tested)) > 1}


def two_class_tables(
    stores: Sequence[StoreReader], gathered: Callable[[MetricRequest], Report]
) -> tuple[list[Table], list[str]]:
    """The further tables of a report, and sentences for its recommendation; none where no data set asks for them.

    Args:
        stores: What the report is made of.
        gathered: The same report with another metric.

    Returns:
        A table for each protocol, data set and setting, and of the first two metrics which method is first.
    """
    names = natural(stores)
    if not names:
        return [], []
    requests = [parse_metric(word, "test", 0.0) for word in METRICS]
    reports = [gathered(request) for request in requests]
    places: dict[tuple[str, ...], dict[str, list[str]]] = {}
    for report in reports:
        cells = summarise(report.rows, report.metric)
        for cell in cells[(cells["group"] == "all") & cells["dataset"].isin(names)].to_dict("records"):
            text = plus_minus(cell["mean"], cell["stderr"]) if cell["status"] == "complete" else "–"
            rows = places.setdefault(tuple(str(cell[word]) for word in COLUMN[:3]), {})
            rows.setdefault(str(cell["method"]), []).append(text)
    heads = tuple(report.metric.label.removesuffix(" 0.9") for report in reports)
    tables = [
        Table(
            f"{protocol}: two classes",
            spans=((f"{dataset}, {setting}", heads),),
            body=tuple((method, *texts) for method, texts in rows.items()),
            footnotes=(),
            caption=(CAPTION,),
        )
        for (protocol, dataset, setting), rows in places.items()
    ]
    return tables, [sentence for report in reports[:2] for sentence in first_by(report.rows, report.metric)]
