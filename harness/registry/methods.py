"""From a trial's words to its method."""

from __future__ import annotations

from collections.abc import Mapping

from ...methods.part import MethodError
from ...methods.plugin import load_plugin
from ...methods.recipe import Entry, Recipe
from ...methods.registry import recipe
from ..spec.schema import Trial


def plugin_of(trial: Trial, plugins: Mapping[str, str] | None) -> dict[str, Entry]:
    """The methods that the trial's plugin file registers, by name; none where it has no plugin. MethodError where the
    file fails, with the method whose entry of the spec names it."""
    if not trial.method.plugin:
        return {}
    try:
        return load_plugin((plugins or {})[trial.method.plugin])
    except MethodError as error:
        raise MethodError(f"{trial.method.name}: {error}") from error


def recipe_of(trial: Trial, plugins: Mapping[str, str] | None) -> Recipe:
    """The trial's method with the trial's values.

    Args:
        trial: Which.
        plugins: The texts of plugin files, by their hashes.

    Returns:
        The recipe.

    Raises:
        MethodError: where a name is wrong, or a value, with the method that it was given to.
    """
    made = recipe(trial.method.name, plugin_of(trial, plugins))
    try:
        return made.tuned(trial.method.values)
    except MethodError as error:
        raise MethodError(f"{trial.method.name}: {error}") from error
