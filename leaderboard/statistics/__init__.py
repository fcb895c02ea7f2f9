"""The arithmetic of comparisons: paired tests, ranks, bootstrap, budgets, repetition."""

from .paired import ALPHA, FEWEST_SEEDS, NO_SPREAD, POWER, detectable, holm, paired

__all__ = ["ALPHA", "FEWEST_SEEDS", "NO_SPREAD", "POWER", "detectable", "holm", "paired"]
