"""The learners of tables by name: estimators with fit and predict, and the network for rows.

Each is a part, whose fields are its hyperparameters; ``build`` returns what scikit-learn's contract asks for: ``fit(x,
y, sample_weight)``, ``classes_``, and ``predict_proba`` or ``decision_function``. A package adds one under the entry
point ``tailboard.estimators``, as a name and a subclass of :class:`Estimator`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, entry_points
from typing import Any, ClassVar

from ...methods.ensemble_names import OWN
from ...methods.names import nearest
from ...methods.part import MethodError, Part, Scene, hyper
from ...methods.range import Range
from ...methods.recipe import Recipe, with_values
from ..errors import NetworkError
from ..spec.learners import FACTORY, GROUP, PACKAGES
from ..spec.schema import Trial, Value
from .installed_classifiers import check_words, classifier

EXTRA = 'pip install "tailboard[tables]"'


@dataclass(frozen=True)
class Estimator(Part):
    """A part that builds an estimator. ``module`` and ``factory`` name its class, ``threads`` and ``seed`` what that
    calls the number of threads and the seed (nothing where it has none), ``fixed`` what is set beside the fields.

    ``cost`` are its operations; what grows with the square of the rows has a limit in ``limits.py``.
    """

    module: ClassVar[str]
    factory: ClassVar[str]
    threads: ClassVar[str] = "n_jobs"
    seed: ClassVar[str] = "random_state"
    fixed: ClassVar[Mapping[str, Any]] = {}

    def options(self, scene: Scene) -> dict[str, Any]:
        """The arguments of its class."""
        own = {name: getattr(self, field.name) for name, field in self.hyperparameters().items()}
        own |= {self.seed: scene.integer("estimator")} if self.seed else {}
        return own | ({self.threads: scene.threads} if self.threads else {}) | dict(self.fixed)

    def build(self, scene: Scene) -> Any:
        """The estimator, not fitted. MethodError where its library is not installed."""
        try:
            kind = getattr(import_module(self.module), self.factory)
        except ModuleNotFoundError as error:
            raise MethodError(f"{self.module.partition('.')[0]} is not installed: {EXTRA}") from error
        return kind(**self.options(scene))

    def cost(self, rows: int, columns: int) -> float:
        """The operations of a fit, roughly: what tells which of a plan's trials takes longer."""
        return 2000.0 * rows * columns


@dataclass(frozen=True)
class XGBoost(Estimator):
    """Gradient boosted trees (Chen and Guestrin 2016, arXiv 1603.02754)."""

    n_estimators: int = hyper(100, "XGBoost's default", Range(50, 500, log=True))
    max_depth: int = hyper(6, "XGBoost's default", Range(2, 12))
    learning_rate: float = hyper(0.3, "XGBoost's default", Range(0.01, 0.5, log=True))
    min_child_weight: float = hyper(1.0, "XGBoost's default", Range(0.1, 20.0, log=True))
    subsample: float = hyper(1.0, "XGBoost's default", Range(0.5, 1.0))
    colsample_bytree: float = hyper(1.0, "XGBoost's default", Range(0.5, 1.0))
    reg_lambda: float = hyper(1.0, "XGBoost's default", Range(0.01, 100.0, log=True))
    module, factory = "xgboost", "XGBClassifier"
    fixed = {"tree_method": "hist", "verbosity": 0}


@dataclass(frozen=True)
class LightGBM(Estimator):
    """Gradient boosted trees, grown leaf by leaf (Ke et al. 2017)."""

    n_estimators: int = hyper(100, "LightGBM's default", Range(50, 500, log=True))
    num_leaves: int = hyper(31, "LightGBM's default", Range(7, 255, log=True))
    learning_rate: float = hyper(0.1, "LightGBM's default", Range(0.01, 0.5, log=True))
    min_child_samples: int = hyper(20, "LightGBM's default", Range(2, 100, log=True))
    colsample_bytree: float = hyper(1.0, "LightGBM's default", Range(0.5, 1.0))
    reg_lambda: float = hyper(0.0, "LightGBM's default", Range(0.0, 10.0))
    module, factory = "lightgbm", "LGBMClassifier"
    fixed = {"deterministic": True, "force_row_wise": True, "verbosity": -1}


@dataclass(frozen=True)
class CatBoost(Estimator):
    """Ordered boosting of oblivious trees (Prokhorenkova et al. 2018, arXiv 1706.09516)."""

    iterations: int = hyper(300, "ours: CatBoost's default is 1000", Range(100, 1000, log=True))
    depth: int = hyper(6, "CatBoost's default", Range(2, 10))
    learning_rate: float = hyper(0.1, "ours: CatBoost derives it from the rows", Range(0.01, 0.5, log=True))
    l2_leaf_reg: float = hyper(3.0, "CatBoost's default", Range(1.0, 30.0, log=True))
    module, factory, threads, seed = "catboost", "CatBoostClassifier", "thread_count", "random_seed"
    fixed = {"verbose": False, "allow_writing_files": False}


@dataclass(frozen=True)
class SVM(Estimator):
    """A support vector machine with a kernel (Cortes and Vapnik 1995); its scores are margins."""

    C: float = hyper(1.0, "scikit-learn's default", Range(0.01, 100.0, log=True))
    kernel: str = hyper("rbf", "scikit-learn's default", Range(choices=("linear", "rbf")))
    gamma: str = hyper("scale", "scikit-learn's default", Range(choices=("scale", "auto")))
    module, factory, threads, seed = "sklearn.svm", "SVC", "", ""
    fixed = {"break_ties": True, "cache_size": 500}

    def cost(self, rows: int, columns: int) -> float:
        """As of :class:`Estimator`."""
        return 3.0 * rows**2 * columns


@dataclass(frozen=True)
class LogisticRegression(Estimator):
    """Multinomial logistic regression with an L2 penalty."""

    C: float = hyper(1.0, "scikit-learn's default", Range(1e-3, 100.0, log=True))
    max_iter: int = hyper(1000, "ours: scikit-learn's 100 does not always converge")
    module, factory, threads, seed = "sklearn.linear_model", "LogisticRegression", "", "random_state"

    def cost(self, rows: int, columns: int) -> float:
        """As of :class:`Estimator`."""
        return 400.0 * rows * columns


@dataclass(frozen=True)
class RandomForest(Estimator):
    """Trees on bootstrap samples (Breiman 2001)."""

    n_estimators: int = hyper(100, "scikit-learn's default", Range(50, 500, log=True))
    min_samples_leaf: int = hyper(1, "scikit-learn's default", Range(1, 20, log=True))
    max_features: str = hyper("sqrt", "scikit-learn's default", Range(choices=("sqrt", "log2")))
    criterion: str = hyper("gini", "scikit-learn's default", Range(choices=("gini", "entropy")))
    module, factory = "sklearn.ensemble", "RandomForestClassifier"

    def cost(self, rows: int, columns: int) -> float:
        """As of :class:`Estimator`."""
        return 20.0 * self.n_estimators * rows * columns


@dataclass(frozen=True)
class HistGradientBoosting(Estimator):
    """scikit-learn's boosted trees on histograms."""

    max_iter: int = hyper(100, "scikit-learn's default", Range(50, 500, log=True))
    max_leaf_nodes: int = hyper(31, "scikit-learn's default", Range(7, 255, log=True))
    learning_rate: float = hyper(0.1, "scikit-learn's default", Range(0.01, 0.5, log=True))
    min_samples_leaf: int = hyper(20, "scikit-learn's default", Range(2, 100, log=True))
    l2_regularization: float = hyper(0.0, "scikit-learn's default", Range(0.0, 10.0))
    module, factory, threads = "sklearn.ensemble", "HistGradientBoostingClassifier", ""
    fixed = {"early_stopping": False}


@dataclass(frozen=True)
class MLP(Part):
    """Its layers are built in ``networks.py``."""

    width: int = hyper(256, "ours", Range(choices=(64, 128, 256, 512)))
    depth: int = hyper(2, "ours: hidden layers", Range(1, 4))
    dropout: float = hyper(0.0, "ours", Range(0.0, 0.5))

    def __post_init__(self) -> None:
        self.require(1 <= self.width <= 8192, "width is from 1 to 8192")
        self.require(1 <= self.depth <= 32, "depth is from 1 to 32 hidden layers")
        self.require(0 <= self.dropout < 1, "dropout must be in [0, 1)")


@dataclass(frozen=True)
class Own(Part):
    """Stands for the estimator of a method that brings its own."""

    def build(self, scene: Scene) -> Any:
        """MethodError: without such a method there is nothing to fit."""
        raise MethodError(f"{OWN} stands for the estimator of a method that brings one; name an estimator")


LEARNERS: dict[str, Part] = {
    "xgboost": XGBoost(),
    "lightgbm": LightGBM(),
    "catboost": CatBoost(),
    "svm": SVM(),
    "logistic_regression": LogisticRegression(),
    "random_forest": RandomForest(),
    "hist_gradient_boosting": HistGradientBoosting(),
    "mlp": MLP(),
}


@cache
def table_learners() -> dict[str, Part]:
    """Every learner of tables by name: ours, and those installed under the entry point ``tailboard.estimators``."""
    return LEARNERS | {entry.name: entry.load()() for entry in entry_points(group=GROUP)}


@cache
def _installed(name: str) -> Estimator:
    """The part of a classifier of an installed package: its fields are what a value can be given for."""
    kind, defaults = classifier(name)
    module, _, factory = name.partition("@")[0].partition(":")
    own = {"n_jobs": "threads", "random_state": "seed"}
    taken = {what: word if word in defaults else "" for word, what in own.items()}
    free = [word for word in defaults if word not in own]
    if ours := [word for word in free if hasattr(Estimator, word)]:
        raise NetworkError(f"network.estimator: {factory} has a parameter {ours[0]!r}, which cannot be set here")
    fields = [(word, type(defaults[word]), hyper(defaults[word], "the default of its class")) for word in free]
    words = {"module": module, "factory": factory, "__module__": kind.__module__} | taken
    return make_dataclass(factory, fields, bases=(Estimator,), frozen=True, namespace=words)()


def table_learner(name: str, values: Mapping[str, Value] | None = None) -> Part:
    """The learner of a name with other values. NetworkError where the name, a value's name or a value is wrong."""
    known = table_learners() | ({OWN: Own()} if name == OWN else {})
    if name not in known and FACTORY.fullmatch(name):
        check_words(values or {})
        known |= {name: _installed(name)}
    if name not in known:
        raise NetworkError(f"unknown estimator {name!r}" + nearest(name, known))
    part = known[name]
    for word in values or {}:
        if word not in part.hyperparameters():
            raise NetworkError(f"network.values: {name} has no {word!r}" + nearest(word, part.hyperparameters()))
    try:
        return with_values(part, values or {})
    except MethodError as error:
        raise NetworkError(f"network.values: {error}") from None


def libraries_of(trial: Trial, method: Recipe) -> tuple[str, ...]:
    """The packages that a trial on a table goes through: scikit-learn, which encodes, and those of its estimator and of
    the method's parts. NetworkError as :func:`table_learner`."""
    from ...methods.sampling.imbalanced_learn import Adapted  # registers methods, which are to stand behind ours

    learner = learner_of(trial)
    if learner is None:
        return ()
    parts = [part for part in (learner, *method.parts().values()) if isinstance(part, (Estimator, Adapted))]
    tops = dict.fromkeys(["sklearn", *(part.module.partition(".")[0] for part in parts)])
    return tuple(name for top in tops if _is_package(name := PACKAGES.get(top, top)))


def _is_package(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:  # a package's estimator may have a module of another name
        return False
    return True


def learner_of(trial: Trial) -> Part | None:
    """The learner of a trial on a table, with the trial's values; None of a network on images. NetworkError as
    :func:`table_learner`."""
    return table_learner(trial.network, trial.network_values) if trial.training.learner != "images" else None
