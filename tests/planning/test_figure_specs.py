"""The specs of the paper's figures: each plans, each figure can be drawn of its trials, and the mini forms keep within
90 minutes; what their trials are made of trains."""

import re
from pathlib import Path

import pytest
import torch
from sklearn.metrics import recall_score
from sklearn.svm import SVC
from xgboost import XGBClassifier

from small_spec import SMALL
from tailboard.datasets.tables.encoder import Encoder
from tailboard.harness.planning.plan import Plan
from tailboard.harness.planning.request import check_names
from tailboard.harness.planning.summary import plan_table
from tailboard.harness.registry.datasets import dataset_of, long_tail, split_of
from tailboard.harness.registry.networks import network
from tailboard.harness.reporting.figures.study import check_axes
from tailboard.harness.reporting.figures.trial_table import planned_table
from tailboard.harness.spec.parser import parse, read, shipped
from tailboard.harness.spec.schema import plan
from tailboard.harness.training.job import Job
from tailboard.harness.training.random_streams import RandomStreams
from tailboard.harness.training.trial import TrialContext, run_trial

FIGURES = [name for name in shipped() if re.match(r"fig\d\d|adult-", name)]
MINIS = [name for name in FIGURES if name.endswith("-mini")]
TABLES = Path(__file__).parents[3] / "shared/data"


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_its_trials_can_be_had_and_its_figure_drawn_of_them(name):
    spec = read(name)
    check_names(Plan(spec).dependencies.trials, spec.plugins)
    check_axes(spec)
    assert len(spec.seeds) == 5, "with fewer a claim gets no word"
    assert spec.figure is not None and spec.figure.claim
    for data in spec.data:
        assert data.total is None or sum(long_tail(data)) == data.total


def test_the_mini_forms_have_caps_that_come_to_90_minutes_at_most():
    """In one store, where a trial that several figures share is trained once."""
    first = {name: shipped()[name].read_text().splitlines()[0] for name in MINIS}
    caps = {name: re.match(r"# Cap: (\d+) minutes? of two cores\.", line) for name, line in first.items()}
    assert [name for name, cap in caps.items() if cap is None] == []
    minutes, trained = 0.0, set()
    for name, cap in caps.items():
        keys = {trial.key for trial in plan(read(name))}
        minutes += int(cap[1]) * len(keys - trained) / len(keys)
        trained |= keys
    assert 60 < minutes <= 90
    for name in MINIS:
        trainings = read(name).trainings
        tracked = all(routine.model_dump().get("track") == "minority" for routine in trainings)
        asked = (spec := read(name).figure) and (spec.kind == "fit" or spec.converged)
        assert asked or not tracked, f"{name}: what has not converged must get no word"


def test_a_plan_says_how_many_parameters_each_of_several_networks_has():
    sizes = {name: sum(p.numel() for p in network(name, 1, 10).parameters()) for name in ("small", "small-2")}
    said = plan_table(Plan(read("fig09-mini")))
    assert f"parameters on fashion-mnist-mini: small {sizes['small']:,}, small-2 {sizes['small-2']:,}, " in said
    assert "parameters" not in plan_table(Plan(read("fig12-mini")))


def test_figures_that_share_trials_have_one_key_for_each():
    keys = {name: {trial.key for trial in plan(read(name))} for name in ("fig12", "fig13", "fig15", "fig20")}
    minis = [{trial.key for trial in plan(read(f"{name}-mini"))} for name in keys]
    assert all(each == minis[0] for each in minis)
    gains = [{trial.key for trial in plan(read(f"fig{n}-mini"))} for n in ("06", "07", "08")]
    assert [len(gains[0] & each) for each in gains[1:]] == [15, 15] and len(gains[1] & gains[2]) == 30
    assert minis[0] < {trial.key for trial in plan(read("fig16-mini"))}
    assert keys["fig12"] == keys["fig13"] and keys["fig12"] | keys["fig15"] == keys["fig20"]


def test_augmentations_of_several_words_are_one_axis():
    table = planned_table(read("fig07-mini"))
    assert [*dict.fromkeys(table["training.augmentation"])] == [
        "none", "flip", "crop", "augmix", "trivial_augment_wide", "auto_augment"
    ]  # fmt: skip
    assert "training.augmentation" not in planned_table(read("fig08-mini"))


@pytest.mark.slow
@pytest.mark.skipif(not TABLES.exists(), reason="needs the files of Adult and of RAMP's part of Forest Cover")
@pytest.mark.parametrize(("name", "estimator"), [("fig21-mini", XGBClassifier), ("fig22-mini", SVC)])
def test_the_figures_of_tables_are_those_of_the_libraries_called_directly(tmp_path, name, estimator):
    root = TABLES if name == "fig21-mini" else TABLES / "covertype"
    trial = next(trial for trial in plan(read(name)) if trial.data.imbalance_factor == 100 and trial.seed == 0)
    record = run_trial(Job.of(trial), TrialContext(store=str(tmp_path), root=root))
    split, pool = split_of(trial, root, True)
    drawn = int(torch.randint(2**31 - 1, (), generator=RandomStreams(0)("estimator")))
    own = {"random_state": drawn, "n_jobs": 1, "tree_method": "hist"} if estimator is XGBClassifier else {}
    encoder = Encoder(dataset_of(trial.data).columns).fit(split.train.x)
    direct = estimator(**own).fit(encoder.transform(split.train.x), split.train.y)
    found = direct.predict(encoder.transform(pool.test.x))
    assert len(split.train.y) == 10_000 and record.status == "complete"
    assert record.accuracy["last_ema"] == pytest.approx(100 * recall_score(pool.test.y, found, average=None))


@pytest.mark.parametrize("augment", ["augmix", "auto_augment"])
def test_each_augmentation_trains(tmp_path, augment):
    training = SMALL["training"] | {"epochs": 1, "augment": augment}
    trial = plan(parse(SMALL | {"training": training}))[0]
    record = run_trial(Job.of(trial), TrialContext(store=str(tmp_path)))
    assert (record.status, record.reason) == ("complete", "")
    assert trial.key != plan(parse(SMALL | {"training": training | {"augment": "none"}}))[0].key
