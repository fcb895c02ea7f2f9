"""Any classifier of an installed package: what a spec calls ``estimator: module:factory``.

A spec may be a stranger's. So the module is looked for in installed packages that build on scikit-learn and nowhere
else, what it names must be one of scikit-learn's classifiers, and it is given numbers and words that are no paths.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from ...methods.names import nearest
from ..errors import NetworkError
from ..spec.learners import FACTORY, LIBRARY, installed_version

WORD = re.compile(r"[\w+ -]*")
OF_FILES = re.compile("file|path|dir|folder")  # in the name of a parameter
SCALARS = (bool, int, float, str, type(None))


@cache
def classifier(name: str) -> tuple[type, Mapping[str, Any]]:
    """The class of ``module:factory@version``, and the defaults of its parameters that are numbers or words.

    Args:
        name: As a trial has it.

    Raises:
        NetworkError: where the package is not installed in that version or does not build on scikit-learn, the module
            has no such class, or it is no classifier or cannot be made of its defaults.
    """
    found = FACTORY.fullmatch(name)
    assert found is not None  # noqa: S101  (for the type checker)
    module, factory, version = found.groups()
    if installed_version(module) != version:
        here = installed_version(module) or f"none that builds on {LIBRARY}"
        raise NetworkError(f"network.estimator: {module} of version {version} is asked for, and installed is {here}")
    kind = _imported(module, factory)
    known = inspect.signature(kind).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in known):
        raise NetworkError(f"network.estimator: {factory} does not name all that it takes, such as its seed")
    named = [each for each in known if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    if without := [each.name for each in named if each.default is each.empty]:
        raise NetworkError(f"network.estimator: {factory} cannot be made without its {without[0]!r}")
    return kind, {each.name: each.default for each in named if isinstance(each.default, SCALARS)}


def check_words(values: Mapping[str, Any]) -> None:
    """NetworkError where a value may be a path: a classifier may write to it."""
    for name, value in values.items():
        if isinstance(value, str) and (not WORD.fullmatch(value) or OF_FILES.search(name)):
            raise NetworkError(
                f"network.values: {name} is {value!r}, which may be a path, and no estimator is given one: words "
                "are of letters, digits, spaces, _, + and -"
            )


def _imported(module: str, factory: str) -> type:
    from sklearn.base import BaseEstimator, ClassifierMixin

    try:
        names = vars(import_module(module))
    except (Exception, SystemExit) as error:  # a library that is not whole raises what it likes
        raise NetworkError(f"network.estimator: {module} cannot be imported: {error}") from None
    classes = [word for word, kind in names.items() if isinstance(kind, type) and issubclass(kind, ClassifierMixin)]
    kind = names.get(factory)
    if factory not in classes or not (isinstance(kind, type) and issubclass(kind, BaseEstimator)):
        why = "is no classifier of scikit-learn's kind" if factory in names else "is not there"
        raise NetworkError(f"network.estimator: {factory} of {module} {why}" + nearest(factory, classes))
    if not (hasattr(kind, "predict_proba") or hasattr(kind, "decision_function")):
        raise NetworkError(f"network.estimator: {factory} has neither predict_proba nor decision_function")
    return kind
