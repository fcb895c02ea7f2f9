"""The catalog filled: the data sets that come with tailboard, and those of installed packages."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from . import vision  # noqa: F401  (importing them registers theirs)
from .catalog import Dataset, registered
from .readers import embedded  # noqa: F401
from .tables import sets, simulated  # noqa: F401


def catalog() -> dict[str, Dataset]:
    """Every data set by name: ours, and those installed under the entry point ``tailboard.datasets``."""
    _load()
    return dict(registered)


@cache
def _load() -> None:
    """Once for each process: to ask what is installed takes milliseconds."""
    for entry in entry_points(group="tailboard.datasets"):
        entry.load()
