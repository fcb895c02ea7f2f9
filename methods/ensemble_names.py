"""The methods that bring an estimator of their own: they have one row, whatever estimators a spec names. It imports
nothing heavy, since a plan is made of it."""

from __future__ import annotations

ENSEMBLES = frozenset({"BalancedRandomForest", "BalancedBagging", "EasyEnsemble", "RUSBoost"})
OWN = "ensemble"  # stands for the network of their trials


def is_ensemble(method: str) -> bool:
    """Whether a method, or a term of a sum, brings its own estimator."""
    return not ENSEMBLES.isdisjoint(term.strip() for term in method.split("+"))
