"""What a method of tables must hold: one that makes or drops rows, or brings its own estimator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ...datasets.tables.columns import Column
from ...methods.part import MethodError
from ...methods.recipe import Entry
from ..spec.parser import parse
from ..spec.schema import Trial, plan
from ..training.learners.contract import Learner, check_columns
from .dry_run import COLUMNS, table_dry_run
from .network_checks import ranges_contain_defaults, require

COUNTS = (60, 30, 15)
SMALL = (40, 20, 3)
CATEGORIES = (Column("a", "category"), Column("b", "category"))


def of_tables(entry: Entry) -> bool:
    """Whether a method is for tables only."""
    recipe = entry.recipe
    return bool(recipe.rows or recipe.estimator or getattr(recipe.finish, "held_out", False))


def _columns(entry: Entry) -> tuple[Column, ...]:
    """Columns that the method can act on."""
    try:
        check_columns(entry.recipe, COLUMNS)
    except MethodError:
        return CATEGORIES
    return COLUMNS


def _trial() -> Trial:
    words = {"name": "t", "data": "adult", "methods": "ERM", "network": "logistic_regression", "seeds": 1}
    return plan(parse(words))[0]


def _fitted(entry: Entry, counts: tuple[int, ...] = COUNTS) -> Learner:
    classes = counts[::2] if getattr(entry.recipe.finish, "held_out", False) else counts  # a threshold is between two
    learner = table_dry_run(entry.recipe, _trial(), classes, _columns(entry))
    for _ in learner.epochs():
        pass
    return learner


def _rows(entry: Entry, number: int) -> torch.Tensor:
    rng = np.random.default_rng(1)
    if _columns(entry) is CATEGORIES:
        return torch.from_numpy(rng.integers(0, 4, (number, len(CATEGORIES))).astype(float))
    return torch.from_numpy(np.column_stack([rng.normal(size=(number, 2)) + 1, rng.integers(0, 4, number)]))


def fits_the_same_twice(entry: Entry) -> str:
    """Two fits of one seed give the same scores. AssertionError where they do not."""
    one, other = (_fitted(entry).logits(_rows(entry, 50)) for _ in range(2))
    require(torch.equal(one, other), "two fits of one seed differ")
    return "two fits of one seed agree bit for bit"


def takes_a_class_of_three_rows(entry: Entry) -> str:
    """A class with fewer rows than neighbours is no obstacle. AssertionError where scores are not finite."""
    scores = _fitted(entry, SMALL).logits(_rows(entry, 50))
    require(bool(torch.isfinite(scores).all()), "scores are not finite")
    return f"classes of {SMALL} rows"


def scores_each_row_by_itself(entry: Entry) -> str:
    """A row's scores do not depend on those beside it. AssertionError where they do."""
    learner, rows = _fitted(entry), _rows(entry, 20)
    together = learner.logits(rows)[:4]
    alone = torch.cat([learner.logits(rows[i : i + 1].clone()) for i in range(4)])
    away = float((together - alone).abs().max())
    require(away <= 1e-4 * float(together.abs().max()), "scores change with the rows beside them")
    return "the same scores alone and among others"


TABLE_CHECKS: tuple[Callable[[Entry], str], ...] = (
    fits_the_same_twice,
    takes_a_class_of_three_rows,
    scores_each_row_by_itself,
    ranges_contain_defaults,
)
