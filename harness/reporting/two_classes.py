"""What is said beside the accuracies where two classes are tested at their natural frequencies: metrics that no
threshold moves, and those of the class with fewer training images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ...leaderboard.metric import ACCURACY
from ...leaderboard.recommendation import first_by
from ...leaderboard.tables.further_metrics import FurtherMetrics
from ..metrics.rescoring import MetricRequest, parse_metric
from ..registry.datasets import each_once, test_counts
from ..storage.reader import StoreReader
from .report import Report

METRICS = ("auroc", "average_precision", "f1", "g_mean", "recall_at_precision:0.9")
CAPTION = (
    "In percent, mean ± one standard error over seeds (ddof = 1), at the frequencies of the test set: the area under "
    "the ROC curve, which neither a threshold nor the frequencies move; and of the class with fewer training "
    "{examples} its average precision, its F1, and the recall that a precision of 0.9 leaves; G-mean is the geometric "
    "mean of both classes' accuracies. n = 5 seeds unless shown; a failed, diverged or missing trial is never averaged "
    "in."
)


def natural(stores: Sequence[StoreReader]) -> set[str]:
    """The names of the data sets of two classes whose test set is not balanced."""
    known = each_once(data for store in stores for spec in store.plans() for data in spec.data)
    return {data.title for data in known if len(tested := test_counts(data)) == 2 and len(set(tested)) > 1}


def with_two_classes(
    report: Report, stores: Sequence[StoreReader], gathered: Callable[[MetricRequest], Report]
) -> Report:
    """The report with further metrics of such data sets; itself where it has none.

    Args:
        report: Of the accuracies.
        stores: What it is made of.
        gathered: The same report by another metric.
    """
    if report.metric == ACCURACY:  # which says that every test set is balanced
        return report
    names = natural(stores) & set(report.rows["dataset"])
    if not names:
        return report
    measured = []
    for other in (gathered(parse_metric(word, "test", 0.0)) for word in METRICS):
        rows = other.rows[(other.rows["group"] == "all") & other.rows["dataset"].isin(names)]
        measured.append((rows.reset_index(drop=True), other.metric))
    caption = CAPTION.format(examples=report.metric.examples)
    return replace(report, further=FurtherMetrics("two classes", caption, measured))


def sentences(report: Report) -> list[str]:
    """Which method is first by each of the first two of the further metrics."""
    measured = report.further.measured[:2] if report.further else []
    return [sentence for rows, metric in measured for sentence in first_by(rows, metric)]
