"""The learners of tables by name, for what builds none: nothing here imports torch or a library of estimators."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import Distribution, PackageNotFoundError, distribution, entry_points, packages_distributions
from typing import Any

from ..errors import SpecError
from .training import Kind

ESTIMATORS = {
    "xgboost": "gradient boosted trees (Chen and Guestrin 2016)",
    "lightgbm": "gradient boosted trees, leaf by leaf (Ke et al. 2017)",
    "catboost": "gradient boosted trees, ordered and oblivious (Prokhorenkova et al. 2018)",
    "svm": "support vector machine (Cortes and Vapnik 1995); its scores are margins, no probabilities",
    "logistic_regression": "linear, with an L2 penalty",
    "random_forest": "trees on bootstrap samples (Breiman 2001)",
    "hist_gradient_boosting": "scikit-learn's gradient boosted trees",
}
TABLE_NETWORKS = {"mlp": "layers with BatchNorm and ReLU, for the rows of a table"}
GROUP = "tailboard.estimators"
FACTORY = re.compile(r"([A-Za-z]\w*(?:\.[A-Za-z]\w*)*):([A-Za-z]\w*)@([\w.+!-]+)")  # module, class, version
LIBRARY = "scikit-learn"
PACKAGES = {"sklearn": LIBRARY, "imblearn": "imbalanced-learn"}  # whose names are not those of their modules


@cache
def installed_estimators() -> frozenset[str]:
    """Names under the entry point ``tailboard.estimators``; nothing is imported."""
    return frozenset(entry_points(group=GROUP).names)


def learner_kind(name: str) -> Kind:
    """The kind of routine that the learner of a name takes; an unknown name is taken for a network on images."""
    if name in TABLE_NETWORKS:
        return "table"
    known = name in ESTIMATORS or FACTORY.fullmatch(name) or name in installed_estimators()
    return "estimator" if known else "images"


def with_factory(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of ``network`` under the name of its ``estimator``, where it has one in the place of a name. SpecError
    where it has both, or as :func:`factory_name`."""
    if "estimator" not in entry:
        return entry
    if "name" in entry:
        raise SpecError("network: give a name, or estimator: module:factory, not both")
    rest = {word: value for word, value in entry.items() if word != "estimator"}
    return {"name": factory_name(entry["estimator"])} | rest


def factory_name(word: object) -> str:
    """``module:factory`` with the version of the package that holds it, ``module:factory@version``, as it stands in
    keys. Nothing is imported.

    Raises:
        SpecError: where it is no such word, or no installed package that builds on scikit-learn holds the module.
    """
    if not isinstance(word, str) or not FACTORY.fullmatch(f"{word}@0"):
        raise SpecError(f"network.estimator: module:factory is expected, such as sklearn.svm:LinearSVC, not {word!r}")
    module = word.partition(":")[0]
    version = installed_version(module)
    if not version:
        raise SpecError(
            f"network.estimator: no installed package that builds on {LIBRARY} holds {module!r}. Install it; a file "
            f"beside the spec is not run. A package offers others under the entry point {GROUP}"
        )
    return f"{word}@{version}"


@cache
def installed_version(module: str) -> str:
    """The version of the installed package that holds a module; empty where none does, or it does not build on
    scikit-learn. Nothing is imported."""
    top = module.partition(".")[0]
    try:
        package = distribution(PACKAGES.get(top, top))
        package = package if _holds(package, top) else None
    except PackageNotFoundError:
        package = None
    if package is None:  # looking through the files of all packages takes long
        package = next((distribution(name) for name in packages_distributions().get(top, ())), None)
    if package is None:
        return ""
    always = (need for need in package.requires or () if "extra" not in need.partition(";")[2])
    needs = (re.split(r"[^A-Za-z0-9._-]", need)[0].lower() for need in always)
    return package.version if package.name.lower() == LIBRARY or LIBRARY in needs else ""


def _holds(package: Distribution, top: str) -> bool:
    """Whether a package has a module of that name: the names of packages are normalised, so that one that is asked for
    by another spelling may be there, and the module be a file beside the spec."""
    listed = (package.read_text("top_level.txt") or "").split()
    return top in listed or any(file.parts[0] in (top, f"{top}.py") for file in package.files or ())
