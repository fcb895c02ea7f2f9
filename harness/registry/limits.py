"""What is not tried: estimators and samplers whose time grows with the square of the rows, above a number of them. It
imports nothing heavy, since reports ask it."""

from __future__ import annotations

from ... import UserError
from ..spec.schema import Trial
from .datasets import long_tail

MOST_ROWS = 50_000  # of training
OF_SQUARE = frozenset({
    *("svm", "SVMSMOTE", "ClusterCentroids", "CondensedNearestNeighbour"),
    # These look at all pairs of rows more than once, or at those of rows that were made too.
    *("RepeatedEditedNearestNeighbours", "AllKNN", "SMOTEENN", "SMOTETomek"),
})  # fmt: skip
FARTHEST = 2  # the version of NearMiss that holds and sorts the distances from each row to all of the rarest class


def why_not_tried(trial: Trial) -> str:
    """The reason why a trial is not tried, which holds before anything runs; empty where it is, and where its data are
    not known here."""
    if trial.training.learner == "images":
        return ""
    terms = [] if trial.method.plugin else [term.strip() for term in trial.method.name.split("+")]
    name = next((word for word in (trial.network, *terms) if word in OF_SQUARE), "")
    if not name and "NearMiss" in terms and trial.method.values.get("rows.version") == FARTHEST:
        name = f"NearMiss (rows.version={FARTHEST})"
    try:
        rows = sum(long_tail(trial.data, trial.val_per_class)) if name else 0
    except UserError:
        return ""
    if rows <= MOST_ROWS:
        return ""
    return f"{name} is not tried on more than {MOST_ROWS:,} training rows, and {trial.data.title} has {rows:,} here"
