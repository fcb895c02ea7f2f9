"""Every sampler and ensemble of imbalanced-learn as a method, by one adapter (Lemaître et al. 2017, JMLR 18(17)).

A sampler makes or drops encoded rows of a table, once before training; an ensemble is fitted in the place of the
spec's estimators. Their hyperparameters have the library's names and defaults.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, make_dataclass
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from ..part import MethodError, Part, Scene, hyper
from ..range import Range
from ..recipe import Recipe, register

SOURCE = "imbalanced-learn's default"
LIBRARY = "imbalanced-learn; Lemaître et al. 2017, JMLR 18(17)"
STREAM = "imbalanced-learn"
EXTRA = 'imbalanced-learn is not installed: pip install "tailboard[tables]"'


@dataclass(frozen=True)
class Adapted(Part):
    """A class of imbalanced-learn, ``module.factory``."""

    module: ClassVar[str]
    factory: ClassVar[str]

    def made(self, scene: Scene, seed: int, **changed: Any) -> Any:
        """An object of the class, with a seed and the trial's threads where it takes any. MethodError where the library
        is not installed."""
        try:
            kind = getattr(import_module(self.module), self.factory)
        except ModuleNotFoundError as error:
            raise MethodError(EXTRA) from error
        hyperparameters = {name: getattr(self, field.name) for name, field in self.hyperparameters().items()}
        known = inspect.signature(kind).parameters
        drawn = {"random_state": seed} if "random_state" in known else {}
        threads = {"n_jobs": scene.threads} if "n_jobs" in known else {}
        given = hyperparameters | drawn | threads | changed
        if "smote" in known:  # of the two in one, the neighbours are SMOTE's
            smote = import_module("imblearn.over_sampling").SMOTE
            given["smote"] = smote(k_neighbors=given.pop("k_neighbors"), **drawn)
        return kind(**given)


@dataclass(frozen=True)
class Sampler(Adapted):
    """A sampler; ``neighbours`` are those of its hyperparameters that count neighbours within a class. One that acts
    ``before_encoding`` is given categories as numbers, and the places of their columns."""

    neighbours: ClassVar[tuple[str, ...]] = ()
    before_encoding: ClassVar[bool] = False
    condition = "no row was made or dropped"
    shortage = "a class has too few rows for the neighbours that were asked for: fewer were taken"

    def build(self, scene: Scene) -> _Rows:
        return _Rows(self, scene)

    def columns_of(self, categories: Sequence[int]) -> dict[str, Any]:
        """What the class is told of the columns of categories: most know of none."""
        return {}

    def check_columns(self, categories: int, numbers: int) -> None:
        """MethodError where it cannot act on so many columns of categories and of numbers."""


@dataclass(frozen=True)
class MixedSampler(Sampler):
    """A sampler of rows in which some columns hold categories."""

    before_encoding = True

    def columns_of(self, categories: Sequence[int]) -> dict[str, Any]:
        """Where the categories are."""
        return {"categorical_features": [*categories]}

    def check_columns(self, categories: int, numbers: int) -> None:
        """MethodError where all columns are of one kind."""
        if not categories:
            raise MethodError(f"{self.factory} is for tables with categories, and this has none: take SMOTE")
        if not numbers:
            raise MethodError(f"{self.factory} needs a column of numbers, and this table has none: take SMOTEN")


@dataclass(frozen=True)
class CategorySampler(Sampler):
    """A sampler of rows in which all columns hold categories."""

    before_encoding = True

    def check_columns(self, categories: int, numbers: int) -> None:
        """MethodError where a column holds numbers."""
        if numbers:
            other = "SMOTENC" if categories else "SMOTE"
            raise MethodError(f"{self.factory} is for categories alone, and this table has numbers: take {other}")


class _Rows:
    def __init__(self, part: Sampler, scene: Scene) -> None:
        self._part, self._scene, self._short, self._changed = part, scene, False, 0.0
        self._seed = scene.integer(STREAM)
        part.made(scene, self._seed, **part.columns_of([]))  # the library is there, and takes these values

    @property
    def before_encoding(self) -> bool:
        """Whether it is given rows whose categories are numbers."""
        return self._part.before_encoding

    def __call__(self, x: np.ndarray, y: np.ndarray, categories: Sequence[int] = ()) -> tuple[np.ndarray, np.ndarray]:
        """The rows to learn from, as those that are given; ``categories`` are the places of columns of categories.

        MethodError where a class has one row, and the sampler needs a neighbour of it.
        """
        counts = np.bincount(y)
        most = int(counts[counts > 0].min()) - 1
        wanted = {name: getattr(self._part, name) for name in self._part.neighbours}
        if wanted and most < 1:
            raise MethodError(
                f"class {int(np.flatnonzero(counts == 1)[0])} has one row, and {self._part.factory} needs a neighbour"
            )
        fewer = {name: most for name, number in wanted.items() if number > most}
        sampler = self._part.made(self._scene, self._seed, **fewer, **self._part.columns_of(categories))
        made, labels = sampler.fit_resample(x, y)
        self._short, self._changed = bool(fewer), float(len(labels) != len(y) or not np.array_equal(made, x))
        return made, labels

    def notes(self) -> dict[str, float]:
        """Whether rows were made or dropped, and whether with fewer neighbours than asked for."""
        return {"acted": self._changed} | ({"shortage": 1.0} if self._short else {})


@dataclass(frozen=True)
class Ensemble(Adapted):
    """An ensemble: an estimator of its own."""

    def build(self, scene: Scene) -> Any:
        return self.made(scene, scene.integer(STREAM))


def _part(base: type[Part], name: str, module: str, factory: str, values: Mapping[str, Any], **words: Any) -> Part:
    """An adapted class with these hyperparameters: a default, or a default and its range."""
    fields = []
    for word, given in values.items():
        default, search = given if isinstance(given, tuple) else (given, None)
        fields.append((word, type(default), hyper(default, SOURCE, search)))
    own = {"module": module, "factory": factory, "__module__": __name__} | words
    return make_dataclass(name, fields, bases=(base,), frozen=True, namespace=own)()


_LATER = {"KMeansSMOTE": frozenset(["kmeans_estimator", "cluster_balance_threshold"])}
_K = (5, Range(1, 15))
_N = (3, Range(1, 10))
_OVER, _UNDER, _BOTH = "imblearn.over_sampling", "imblearn.under_sampling", "imblearn.combine"
SAMPLERS: dict[str, tuple[str, Mapping[str, Any], tuple[str, ...], str]] = {
    "RandomOverSampler": (_OVER, {}, (), "rows of rare classes repeated until all are as frequent"),
    "SMOTE": (_OVER, {"k_neighbors": _K}, ("k_neighbors",), "rows between neighbours of a class (Chawla et al. 2002)"),
    "SMOTENC": (
        *(_OVER, {"k_neighbors": _K}, ("k_neighbors",)),
        "SMOTE before categories are encoded: a new row has the most frequent of its neighbours (Chawla et al. 2002)",
    ),
    "SMOTEN": (
        *(_OVER, {"k_neighbors": _K}, ("k_neighbors",)),
        "SMOTE of tables that hold categories only (Chawla et al. 2002)",
    ),
    "ADASYN": (_OVER, {"n_neighbors": _K}, ("n_neighbors",), "SMOTE where a class is hard to tell (He et al. 2008)"),
    "BorderlineSMOTE": (
        *(_OVER, {"k_neighbors": _K, "m_neighbors": 10, "kind": "borderline-1"}, ("k_neighbors",)),
        "SMOTE of the rows near other classes (Han et al. 2005)",
    ),
    "SVMSMOTE": (
        *(_OVER, {"k_neighbors": _K, "m_neighbors": 10, "out_step": 0.5}, ("k_neighbors",)),
        "SMOTE of an SVM's support vectors (Nguyen et al. 2011)",
    ),
    "KMeansSMOTE": (
        _OVER,
        {
            "k_neighbors": (2, Range(1, 10)),
            "kmeans_estimator": (8, Range(8, 200, log=True)),
            "cluster_balance_threshold": ("auto", Range(choices=("auto", 0.003, 0.01, 0.03, 0.1))),
        },
        ("k_neighbors",),
        "SMOTE within clusters (Last et al. 2017)",
    ),
    "RandomUnderSampler": (_UNDER, {}, (), "rows of frequent classes left out until all are as rare"),
    "ClusterCentroids": (_UNDER, {"voting": "auto"}, (), "frequent classes replaced by the centres of their clusters"),
    "InstanceHardnessThreshold": (_UNDER, {"cv": 5}, (), "rows that are hard to classify left out (Smith et al. 2014)"),
    "NearMiss": (
        *(_UNDER, {"version": (1, Range(choices=(1, 2, 3))), "n_neighbors": _N}, ("n_neighbors",)),
        "frequent classes' rows nearest to rare ones kept (Mani and Zhang 2003)",
    ),
    "TomekLinks": (
        _UNDER,
        {},
        (),
        "frequent classes without rows whose nearest neighbour is of another (Tomek 1976)",
    ),
    "EditedNearestNeighbours": (
        *(_UNDER, {"n_neighbors": _N, "kind_sel": ("all", Range(choices=("all", "mode")))}, ()),
        "rows that their neighbours contradict left out (Wilson 1972)",
    ),
    "RepeatedEditedNearestNeighbours": (
        *(_UNDER, {"n_neighbors": _N, "kind_sel": ("all", Range(choices=("all", "mode")))}, ()),
        "the same, until nothing changes (Tomek 1976)",
    ),
    "AllKNN": (_UNDER, {"n_neighbors": _N}, (), "the same with one neighbour, two, and so on (Tomek 1976)"),
    "OneSidedSelection": (_UNDER, {"n_seeds_S": 1}, (), "condensed, then without Tomek links (Kubat and Matwin 1997)"),
    "CondensedNearestNeighbour": (
        _UNDER,
        {"n_seeds_S": 1},
        (),
        "without rows that one neighbour gets right (Hart 1968)",
    ),
    "NeighbourhoodCleaningRule": (
        *(_UNDER, {"n_neighbors": _N, "threshold_cleaning": 0.5}, ()),
        "edited nearest neighbours of frequent classes (Laurikkala 2001)",
    ),
    "SMOTEENN": (
        _BOTH,
        {"k_neighbors": _K},
        ("k_neighbors",),
        "SMOTE, then edited nearest neighbours (Batista et al. 2004)",
    ),
    "SMOTETomek": (
        _BOTH,
        {"k_neighbors": _K},
        ("k_neighbors",),
        "SMOTE, then without Tomek links (Batista et al. 2003)",
    ),
}
_TREES = (100, Range(50, 500, log=True))
_FEW = (10, Range(5, 50, log=True))
ENSEMBLES: dict[str, tuple[Mapping[str, Any], str]] = {
    "BalancedRandomForest": ({"n_estimators": _TREES, "min_samples_leaf": (1, Range(1, 20))}, "Chen et al. 2004"),
    "BalancedBagging": ({"n_estimators": _FEW}, "Maclin and Opitz 1997"),
    "EasyEnsemble": ({"n_estimators": _FEW}, "Liu et al. 2009"),
    "RUSBoost": ({"n_estimators": (50, Range(20, 200, log=True)), "learning_rate": (1.0, Range(0.05, 1.0, log=True))},
                 "Seiffert et al. 2010"),
}  # fmt: skip

_KINDS = {"SMOTENC": MixedSampler, "SMOTEN": CategorySampler}

for _name, (_module, _values, _neighbours, _words) in SAMPLERS.items():
    _own = {"neighbours": _neighbours, "later": _LATER.get(_name, frozenset())}
    _sampler = _part(_KINDS.get(_name, Sampler), _name, _module, _name, _values, **_own)
    register(_name, Recipe(rows=_sampler), description=_words, source=LIBRARY)
for _name, (_values, _paper) in ENSEMBLES.items():
    _ensemble = _part(Ensemble, _name, "imblearn.ensemble", f"{_name}Classifier", _values)
    register(
        _name, Recipe(estimator=_ensemble), description=f"an ensemble on balanced draws ({_paper})", source=LIBRARY
    )
