"""What a method of tables must hold: one that makes or drops rows, or brings its own estimator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ...methods.recipe import Entry
from ..spec.parser import parse
from ..spec.schema import Trial, plan
from ..training.learners.contract import Learner
from .dry_run import table_dry_run

COUNTS = (60, 30, 15)
SMALL = (40, 20, 3)


def of_tables(entry: Entry) -> bool:
    """Whether a method is for tables only."""
    return bool(entry.recipe.rows or entry.recipe.estimator)


def _trial() -> Trial:
    return plan(parse({"name": "t", "data": "adult", "methods": "ERM", "network": "logistic_regression", "seeds": 1}))[
        0
    ]


def _fitted(entry: Entry, counts: tuple[int, ...] = COUNTS) -> Learner:
    learner = table_dry_run(entry.recipe, _trial(), counts)
    for _ in learner.epochs():
        pass
    return learner


def _rows(number: int) -> torch.Tensor:
    rng = np.random.default_rng(1)
    return torch.from_numpy(np.column_stack([rng.normal(size=(number, 2)) + 1, rng.integers(0, 4, number)]))


def fits_the_same_twice(entry: Entry) -> str:
    """Two fits of one seed give the same scores. AssertionError where they do not."""
    one, other = (_fitted(entry).logits(_rows(50)) for _ in range(2))
    if not torch.equal(one, other):
        raise AssertionError("two fits of one seed differ")
    return "two fits of one seed agree bit for bit"


def takes_a_class_of_three_rows(entry: Entry) -> str:
    """A class with fewer rows than neighbours is no obstacle. AssertionError where scores are not finite."""
    scores = _fitted(entry, SMALL).logits(_rows(50))
    if not torch.isfinite(scores).all():
        raise AssertionError("scores are not finite")
    return f"classes of {SMALL} rows"


def scores_each_row_by_itself(entry: Entry) -> str:
    """A row's scores do not depend on those beside it. AssertionError where they do."""
    learner, rows = _fitted(entry), _rows(20)
    together = learner.logits(rows)[:4]
    alone = torch.cat([learner.logits(rows[i : i + 1].clone()) for i in range(4)])
    if float((together - alone).abs().max()) > 1e-4 * float(together.abs().max()):
        raise AssertionError("scores change with the rows beside them")
    return "the same scores alone and among others"


def ranges_contain_defaults(entry: Entry) -> str:
    """Every default lies in its range. AssertionError where one does not."""
    values, ranges = entry.recipe.values(), entry.recipe.search()
    for name, search in ranges.items():
        if values[name] not in search:
            raise AssertionError(f"{name}: the default {values[name]} is not in {search}")
    return f"{len(ranges)} ranges"


TABLE_CHECKS: tuple[Callable[[Entry], str], ...] = (
    fits_the_same_twice,
    takes_a_class_of_three_rows,
    scores_each_row_by_itself,
    ranges_contain_defaults,
)
