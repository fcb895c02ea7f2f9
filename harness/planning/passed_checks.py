"""Which methods passed their check before, under the same code: what trains nothing need not build them again.

It is remembered for parts and learners of this package alone: the code of others is not looked at. A run asks nothing
here, and checks each of its methods.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ...datasets.catalog import DataError
from ...datasets.files import cache, read_bytes
from ...datasets.user_images.scan import write_whole
from ...methods.recipe import Recipe
from ..registry.estimators import learner_of
from ..registry.methods import recipe_of
from ..spec.schema import Trial
from .method_check import check_methods

ROOT = Path(__file__).resolve().parents[2]
MOST_BYTES = 2**20  # of the file; one that would be larger begins anew


def check_new_methods(trials: Mapping[str, Trial], plugins: Mapping[str, str]) -> None:
    """Build the methods that did not pass before, and remember those that pass now.

    Args:
        trials: One of each method, by all the words that decide whether it passes.
        plugins: The text of each plugin that they are made of, by its SHA-256.

    Raises:
        MethodError: as :func:`~.method_check.check_methods`.
    """
    code = _code()
    passed, lasting, new = _read(code), set(), []
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
        _write(code, passed | lasting)


def _is_of_this_package(recipe: Recipe, trial: Trial) -> bool:
    """Whether what the trial trains is made of code that :func:`_code` looks at."""
    parts = [*recipe.parts().values(), *filter(None, [learner_of(trial)])]
    house = __name__.partition(".")[0] + "."
    return not trial.method.plugin and all(type(part).__module__.startswith(house) for part in parts)


def _code() -> str:
    """A hash of all that a check runs: Python, this package's files, and the names and versions of what is
    installed."""
    folders = [Path(folder) for folder in sys.path if folder and Path(folder).is_dir()]
    installed = sorted(each.name for folder in folders for each in folder.glob("*.*-info"))
    code = hashlib.sha256("\n".join([sys.version, *installed]).encode())
    for folder in ("methods", "datasets", "harness"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            code.update(f"\n{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return code.hexdigest()


def _file() -> Path:
    return cache() / "methods" / "passed.txt"  # a folder: data sets are looked for anew where the cache's own changes


def _read(code: str) -> frozenset[str]:
    """The names of what passed under this code: the lines after the first, which is the code's."""
    try:
        first, *names = read_bytes(_file(), MOST_BYTES).decode("ascii").split()
    except (OSError, ValueError, DataError):
        return frozenset()
    return frozenset(names) if first == code else frozenset()


def _write(code: str, names: frozenset[str]) -> None:
    """Whole or not at all; where nothing can be written, the next plan checks again."""
    text = "\n".join([code, *sorted(names)])
    if len(text) > MOST_BYTES:
        return
    with suppress(OSError):
        write_whole(_file(), text)
