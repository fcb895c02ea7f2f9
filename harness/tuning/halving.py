"""How a search spends its epochs: successive halving, one generation after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..training.cost import work

if TYPE_CHECKING:
    from .search import Search


def rungs(size: int, epochs: int, prune: bool) -> list[tuple[int, int]]:
    """Successive halving: after so many epochs, how many of ``size`` configurations go on; none after the last.

    Four cost what two cost without it: a quarter of the epochs each, another for two, the rest for one.
    """
    halvings = [(epochs // 4, max(1, size // 2)), (epochs // 2, max(1, size // 4))] if prune else []
    return [(until, keep) for until, keep in halvings if until] + [(epochs, 0)]


def epochs(search: Search) -> int:
    """The epochs that a search trains where no trial fails."""
    total = 0
    for start in range(0, search.tune.trials, search.tune.generation):
        alive, before = min(search.tune.generation, search.tune.trials - start), 0
        for until, keep in rungs(alive, search.routine.epochs, search.tune.prune):
            total += alive * (until - before) * len(search.seeds)
            alive, before = min(alive, keep), until
    return total


def ahead(search: Search, start: int) -> float:
    """The work that can only be done one after the other from trial ``start`` on: a trial of each generation that is
    left, and one of the report."""
    (first, *_), plugins = search.first(), search.spec.plugins
    left = -(-(search.tune.trials - start) // search.tune.generation)
    return left * work(first, plugins) + work(search.cell.trial(search.spec.seeds[0]), plugins)
