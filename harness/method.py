"""From a trial's words to its method."""

from __future__ import annotations

from collections.abc import Mapping

from ..methods.plugin import load_plugin
from ..methods.recipe import Recipe, recipe
from .spec import Trial


def recipe_of(trial: Trial, plugins: Mapping[str, str] | None) -> Recipe:
    """The trial's method with the trial's values. MethodError where a name or a value is wrong."""
    plugin = load_plugin((plugins or {})[trial.method.plugin]) if trial.method.plugin else None
    return recipe(trial.method.name, plugin).tuned(trial.method.values)
