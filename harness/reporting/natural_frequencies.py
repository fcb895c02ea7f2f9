"""Further metrics of test sets at their natural frequencies: of two classes AUROC, G-mean and those of the class with
fewer training examples; of several classes of a table, means over the classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ...leaderboard.metric import ACCURACY
from ...leaderboard.recommendation import first_by
from ...leaderboard.tables.further_metrics import FurtherMetrics
from ..metrics.rescoring import parse_metric
from ..registry.datasets import each_once, test_counts
from ..spec.schema import Data
from ..storage.reader import StoreReader
from .report import Report

OPENING = "In percent, mean ± one standard error over seeds (ddof = 1), at the frequencies of the test set:"
ENDING = "n = 5 seeds unless shown; a failed, diverged or missing trial is never averaged in."


@dataclass(frozen=True)
class _Kind:
    """A kind of data sets: what their table is called, its columns, and what its caption says of them. Of the first two
    columns a sentence says which method is first."""

    title: str
    metrics: tuple[str, ...]
    caption: str

    def of(self, names: set[str], examples: str, gathered: Callable[..., Report]) -> FurtherMetrics:
        """The table's values, of the data sets with these names, which hold images or other ``examples``; ``gathered``
        makes the report by another metric."""
        measured = []
        for other in (gathered(rescore=parse_metric(word, "test", 0.0)) for word in self.metrics):
            rows = other.rows[(other.rows["group"] == "all") & other.rows["dataset"].isin(names)]
            measured.append((rows.reset_index(drop=True), other.metric))
        return FurtherMetrics(self.title, f"{OPENING} {self.caption.format(examples=examples)} {ENDING}", measured)


TWO = _Kind(
    "two classes",
    ("auroc", "average_precision", "f1", "g_mean", "recall_at_precision:0.9"),
    "the area under the ROC curve, which neither a threshold nor the frequencies move; and of the class with fewer "
    "training {examples} its average precision, its F1, and the recall that a precision of 0.9 leaves; G-mean is the "
    "geometric mean of both classes' accuracies.",
)
SEVERAL = _Kind(
    "several classes",
    ("macro_f1", "auroc", "macro_average_precision", "g_mean", "macro_recall_at_precision:0.9"),
    "F1, the area under the ROC curve, the average precision, and the recall that a precision of 0.9 leaves, of each "
    "class against the rest, averaged over the classes; G-mean is the geometric mean of the classes' accuracies.",
)


def natural(stores: Sequence[StoreReader]) -> dict[str, _Kind]:
    """The data sets whose test set is not balanced and that have a table of further metrics: those of two classes, and
    tables of several."""
    known = each_once(data for store in stores for spec in store.plans() for data in spec.data)
    kinds = {data.title: _kind(data, test_counts(data)) for data in known}
    return {name: kind for name, kind in kinds.items() if kind}


def _kind(data: Data, tested: Sequence[int]) -> _Kind | None:
    if len(set(tested)) < 2:
        return None
    return TWO if len(tested) == 2 else SEVERAL if data.is_table else None


def with_further_metrics(gathered: Callable[..., Report], stores: Sequence[StoreReader]) -> Report:
    """A report of the accuracies, with further metrics of such data sets where it has any.

    Args:
        gathered: Makes the report; with the keyword ``rescore`` by another metric.
        stores: What it is made of.
    """
    report = gathered()
    if report.metric == ACCURACY:  # which says that every test set is balanced
        return report
    kinds, shown = natural(stores), set(report.rows["dataset"])
    names = {kind: {name for name in shown if kinds.get(name) == kind} for kind in (TWO, SEVERAL)}
    further = tuple(kind.of(of_kind, report.metric.examples, gathered) for kind, of_kind in names.items() if of_kind)
    return replace(report, further=further) if further else report


def sentences(report: Report) -> list[str]:
    """Which method is first by each of the first two of the further metrics."""
    measured = [pair for each in report.further for pair in each.measured[:2]]
    return [sentence for rows, metric in measured for sentence in first_by(rows, metric)]
