"""The registry filled: the methods that come with tailboard, and those of installed packages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from . import components, table5  # noqa: F401  (importing them registers their methods)
from .names import nearest
from .part import MethodError
from .recipe import Entry, Recipe, registered
from .sampling import imbalanced_learn  # noqa: F401


def registry() -> dict[str, Entry]:
    """Every method by name: ours, and those installed under the entry point ``tailboard.methods``."""
    _load()
    return dict(registered)


@cache
def _load() -> None:
    """Once for each process: to ask what is installed takes milliseconds, and each trial of a large plan would."""
    for entry in entry_points(group="tailboard.methods"):
        entry.load()


def recipe(name: str, plugin: Mapping[str, Entry] | None = None) -> Recipe:
    """The recipe of a registered method, or of a sum of them: ``recipe("SAM-A + M2m")``.

    ``plugin`` are the methods of a plugin file. MethodError names an unknown one and the nearest right word.
    """
    known = registry() | dict(plugin or {})
    if name in known:
        return known[name].recipe
    if len(several := [term.strip() for term in name.split(",")]) > 1 and all(term in known for term in several):
        raise MethodError(f"{name!r} is no method but {len(several)}: write a list, [{', '.join(several)}]")
    total = Recipe()
    for term in (part.strip() for part in name.split("+")):
        if term not in known:
            raise MethodError(f"unknown method {term!r}" + nearest(term, known))
        total = total | known[term].recipe
    return total
