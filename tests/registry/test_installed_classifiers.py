"""``estimator: module:factory``: any classifier of an installed package, and nothing that is none."""

import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from tailboard import UserError
from tailboard.datasets.split import Images
from tailboard.datasets.tables.columns import Column
from tailboard.harness.errors import NetworkError
from tailboard.harness.registry.estimators import LEARNERS, learner_of, table_learners
from tailboard.harness.spec.learners import ESTIMATORS, TABLE_NETWORKS, installed_estimators
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.training.learners.table_learners import table_learner
from tailboard.harness.tuning.search import searches
from tailboard.methods.recipe import Recipe

NEIGHBOURS = "sklearn.neighbors:KNeighborsClassifier"


def raw_of(network, **words):
    data = {"name": "simulated-table", "profile": "natural", "total": 1000}
    return {"name": "t", "data": data, "methods": "ERM", "network": network, "seeds": 1} | words


def trial_of(word, values=None):
    return plan(parse(raw_of({"estimator": word, "values": values or {}})))[0]


def test_each_learner_of_our_own_has_a_name_that_a_spec_knows_and_a_class():
    assert LEARNERS.keys() == ESTIMATORS.keys() | TABLE_NETWORKS.keys()


def test_it_predicts_as_its_library_called_directly_and_its_version_is_in_the_key():
    trial = trial_of(NEIGHBOURS, {"n_neighbors": 3, "weights": "distance"})
    assert trial.network == f"{NEIGHBOURS}@{version('scikit-learn')}" and trial.training.learner == "estimator"
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1], [60, 20]))
    x = rng.normal(size=(80, 2)) + y[:, None]
    columns = (Column("a"), Column("b"))
    learner = table_learner(trial, Images(x, y), (60, 20), Recipe(), torch.device("cpu"), columns)
    list(learner.epochs())
    z = learner.encoder.transform(x)
    direct = KNeighborsClassifier(3, weights="distance", n_jobs=1).fit(z, y)
    assert learner.estimator.n_jobs == 1
    assert np.array_equal(learner.logits(torch.from_numpy(x)).argmax(1).numpy(), direct.predict(z))


def test_a_range_that_the_spec_gives_is_searched():
    tune = {"trials": 4, "parameters": [{"name": "network.n_neighbors", "low": 1, "high": 30}]}
    (search,) = searches(parse(raw_of({"estimator": NEIGHBOURS}, tune=tune))).values()
    assert search.space["network.n_neighbors"].default == 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("os:system", "no installed package that builds on scikit-learn holds 'os'"),
        ("pytest:main", "no installed package that builds on scikit-learn holds 'pytest'"),
        ("beside:Factory", "a file beside the spec is not run"),
        ("scikit_learn:Factory", "a file beside the spec is not run"),  # the package's name, and no module's
        ("optuna:Study", "no installed package that builds on scikit-learn holds 'optuna'"),  # only its extra does
        ("sklearn.svm", "module:factory is expected, such as sklearn.svm:LinearSVC"),
        ("sklearn.__main__:X", "module:factory is expected"),
        ("sklearn.neighbors:KNeighborClassifier", "did you mean 'KNeighborsClassifier'"),
        ("sklearn.svm:SVR", "SVR of sklearn.svm is no classifier of scikit-learn's kind"),
        ("sklearn.model_selection:train_test_split", "is no classifier of scikit-learn's kind"),
        ("sklearn.ensemble:VotingClassifier", "cannot be made without its 'estimators'"),
        ("sklearn.nothing:X", "cannot be imported"),
    ],
)
def test_what_is_no_classifier_of_an_installed_package_is_refused_in_one_line(tmp_path, monkeypatch, word, said):
    for module in ("beside", "scikit_learn"):
        (tmp_path / f"{module}.py").write_text("raise SystemExit('it ran')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(UserError, match=said) as error:
        learner_of(trial_of(word))
    assert "\n" not in str(error.value)


def test_of_another_version_or_with_a_path_it_is_not_made():
    trial = trial_of(NEIGHBOURS)
    with pytest.raises(NetworkError, match=r"version 0\.1 is asked for, and installed is"):
        learner_of(trial.model_copy(update={"network": f"{NEIGHBOURS}@0.1"}))
    for path in ("../out", "..", "out.csv", "C:out"):
        with pytest.raises(NetworkError, match="may be a path, and no estimator is given one"):
            learner_of(trial.model_copy(update={"network_values": {"algorithm": path}}))
    with pytest.raises(UserError, match="give a name, or estimator: module:factory, not both"):
        parse(raw_of({"name": "svm", "estimator": NEIGHBOURS}))


PACKAGE = """
from dataclasses import dataclass
from tailboard.harness.registry.estimators import Estimator
from tailboard.methods.part import hyper
from tailboard.methods.range import Range

@dataclass(frozen=True)
class Nearest(Estimator):
    n_neighbors: int = hyper(3, "ours", Range(1, 30))
    module, factory, seed = "sklearn.neighbors", "KNeighborsClassifier", ""
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package is installed that offers the estimator ``nearest``."""
    about = tmp_path / "site" / "nearest-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: nearest\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[tailboard.estimators]\nnearest = nearest_estimator:Nearest\n")
    (tmp_path / "site" / "nearest_estimator.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    for cached in (installed_estimators, table_learners):
        cached.cache_clear()
    yield
    sys.modules.pop("nearest_estimator", None)
    for cached in (installed_estimators, table_learners):
        cached.cache_clear()


def test_a_package_adds_an_estimator_that_is_listed_searched_and_predicts_as_its_library(installed, tailboard):
    code, out, _ = tailboard("list", "networks")
    assert code == 0 and "nearest" in out and "of an installed package" in out
    raw = raw_of({"name": "nearest", "values": {"n_neighbors": 5}}, methods=["ERM", "SMOTE"])
    trial, _ = plan(parse(raw))
    assert trial.network == "nearest" and trial.training.learner == "estimator"
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat([0, 1], [60, 20]))
    x = rng.normal(size=(80, 2)) + y[:, None]
    learner = table_learner(trial, Images(x, y), (60, 20), Recipe(), torch.device("cpu"), (Column("a"), Column("b")))
    list(learner.epochs())
    z = learner.encoder.transform(x)
    assert np.array_equal(learner.logits(torch.from_numpy(x)).argmax(1), KNeighborsClassifier(5).fit(z, y).predict(z))
    (search,) = searches(parse(raw_of("nearest", tune={"trials": 4, "parameters": "network.n_neighbors"}))).values()
    assert search.space["network.n_neighbors"].default == 3
    with pytest.raises(NetworkError, match="nearest has no 'n_neighbours'; did you mean 'n_neighbors'"):
        learner_of(plan(parse(raw_of({"name": "nearest", "values": {"n_neighbours": 5}})))[0])


@pytest.mark.slow
def test_our_methods_stand_before_the_library_s_whatever_is_imported_first():
    code = "import tailboard.harness.registry.estimators; from tailboard.methods.registry import registry; "
    code += "assert next(iter(registry())) == 'ERM'"
    subprocess.run([sys.executable, "-c", code], check=True)
