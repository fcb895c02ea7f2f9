"""The learners of tables by name, for what builds none: nothing here imports torch or a library of estimators."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from .training import Kind

ESTIMATORS = {
    "xgboost": "gradient boosted trees (Chen and Guestrin 2016)",
    "lightgbm": "gradient boosted trees, leaf by leaf (Ke et al. 2017)",
    "catboost": "gradient boosted trees, ordered and oblivious (Prokhorenkova et al. 2018)",
    "svm": "support vector machine (Cortes and Vapnik 1995); its scores are margins, no probabilities",
    "logistic_regression": "linear, with an L2 penalty",
    "random_forest": "trees on bootstrap samples (Breiman 2001)",
    "hist_gradient_boosting": "scikit-learn's gradient boosted trees",
}
TABLE_NETWORKS = {"mlp": "layers with BatchNorm and ReLU, for the rows of a table"}
GROUP = "tailboard.estimators"


@cache
def installed_estimators() -> frozenset[str]:
    """Names under the entry point ``tailboard.estimators``; nothing is imported."""
    return frozenset(entry_points(group=GROUP).names)


def learner_kind(name: str) -> Kind:
    """The kind of routine that the learner of a name takes; an unknown name is taken for a network on images."""
    if name in TABLE_NETWORKS:
        return "table"
    return "estimator" if name in ESTIMATORS or name in installed_estimators() else "images"
