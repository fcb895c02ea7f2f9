"""Which methods passed their check before, under the same code: they need not be built again.

It is remembered for parts and learners of this package alone: the code of others is not looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ...methods.recipe import Recipe
from ..registry.estimators import learner_of
from ..registry.methods import recipe_of
from ..registry.remembered import remember, remembered
from ..spec.schema import Trial
from .method_check import check_methods


def check_new_methods(trials: Mapping[str, Trial], plugins: Mapping[str, str]) -> None:
    """Build the methods that did not pass before, and remember those that pass now.

    Args:
        trials: One of each method, by all the words that decide whether it passes.
        plugins: The text of each plugin that they are made of, by its SHA-256.

    Raises:
        MethodError: as :func:`~.method_check.check_methods`.
    """
    passed, lasting, new = remembered("passed"), set(), []
    for words, trial in trials.items():
        recipe = recipe_of(trial, plugins)
        name = ""
        if _is_of_this_package(recipe, trial):
            name = hashlib.sha256(f"{words} {recipe}".encode()).hexdigest()
            lasting.add(name)
        if name not in passed:
            new.append(trial)
    if new:
        check_methods(new, plugins)
    if not lasting <= passed:
        remember("passed", passed | lasting)


def _is_of_this_package(recipe: Recipe, trial: Trial) -> bool:
    """Whether what the trial trains is made of code that :func:`~..registry.remembered.code` looks at."""
    parts = [*recipe.parts().values(), *filter(None, [learner_of(trial)])]
    house = __name__.partition(".")[0] + "."
    return not trial.method.plugin and all(type(part).__module__.startswith(house) for part in parts)
