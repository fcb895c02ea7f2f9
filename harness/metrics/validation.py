"""What a tuning trial can be judged by, from the per-class accuracies on its validation images."""

from __future__ import annotations

from ..spec.labels import shot_means
from ..spec.schema import Shots
from ..storage.record import Outcome

METRICS = ("val/balanced_accuracy", "val/few", "val/med", "val/many", "val/worst_class")


def measured(metric: str, outcome: Outcome, by: Shots) -> float:
    """The metric in percent. KeyError where a group has no classes (see ``search.check``)."""
    name = metric.removeprefix("val/")
    if name == "worst_class":
        return min(outcome.accuracy["last_ema"])
    return shot_means(outcome, by)["all" if name == "balanced_accuracy" else name]
