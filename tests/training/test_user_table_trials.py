"""Trials on a table of the user's own: nothing but training rows is learnt from, groups stay whole, weights reach the
fit, and what cannot be had on such rows is said at plan time."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tailboard import UserError
from tailboard.datasets import lock
from tailboard.datasets.split import Images
from tailboard.harness.planning.image_run import ImageRequest
from tailboard.harness.planning.request import check_names
from tailboard.harness.planning.table_run import resolve
from tailboard.harness.registry.datasets import dataset_of, split_of
from tailboard.harness.reporting import gather
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.serialization import unpack_arrays
from tailboard.harness.training.job import Job
from tailboard.harness.training.learners import estimator_fit
from tailboard.harness.training.learners.estimator_fit import folds
from tailboard.harness.training.learners.table_learners import table_learner
from tailboard.harness.training.scoring_server import ScoringServer
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.methods.part import MethodError
from tailboard.methods.recipe import recipe

ROWS = 240


@pytest.fixture
def people(tmp_path, monkeypatch):
    """A table whose column ``tell`` is the class in validation and test rows, and one value in no training row."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    lines = ["age,city,w,who,y"]
    for i in range(ROWS):
        rare = i % 6 == 0
        age = "" if i % 13 == 0 else f"{rng.normal(50 if rare else 40, 8):.3f}"
        lines.append(f"{age},{('Rome', 'Oslo')[rng.integers(2)]},{1 + i % 3},g{i // 4},{'rare' if rare else 'usual'}")
    (tmp_path / "people.csv").write_text("\n".join(lines))
    return tmp_path


def checked(trials, monkeypatch):
    """As where a plan is read that was made before: labels that were read here would have it checked elsewhere."""
    monkeypatch.setattr(lock, "_labels_read", False)
    check_names(trials, {})


def raw_of(network="logistic_regression", methods="ERM", **words):
    data = {"name": "csv:people.csv", "label": "y", "group": "who"} | words
    return {"name": "t", "data": data, "methods": methods, "network": network, "seeds": 2}


def tuning_trial(seed, **words):
    (trial, *_) = plan(parse(raw_of(**words)))
    return trial.model_copy(update={"stage": "tune", "val_per_class": 6, "seed": seed})


@pytest.mark.parametrize("seed", [0, 1])
def test_groups_stand_on_one_side_of_training_validation_and_test(people, seed):
    split, pool = split_of(tuning_trial(seed), None, True)
    sides = [set(pool.groups[indices].tolist()) for indices in split.indices]
    assert len(split.val) >= 6 and not sides[0] & sides[1]
    rows = {row.tobytes() for row in pool.test.x}
    assert len(pool.train) + len(pool.test) == ROWS and all(sides)
    assert not rows & {row.tobytes() for row in split.train.x if not np.isnan(row).any()}


def fitted(trial, rows, counts, method="ERM", columns=()):
    learner = table_learner(trial, rows, counts, recipe(method), torch.device("cpu"), columns)
    list(learner.epochs())
    return learner


def test_the_encoding_learns_from_training_rows_alone(people):
    trial = tuning_trial(0)
    split, pool = split_of(trial, None, True)
    learner = fitted(trial, split.train, split.counts)
    age = split.train.x[:, 0]
    filled = np.where(np.isnan(age), np.nanmedian(age), age)
    encoded = learner.encoder.transform(np.array([[50.0, 0, 1]]))
    assert encoded[0, 0] == pytest.approx((50 - filled.mean()) / filled.std(), rel=1e-12)
    whole = pool.train.x[:, 0]
    assert filled.mean() != pytest.approx(np.nanmean(whole), rel=1e-9), "validation rows would have changed it"


@pytest.mark.parametrize("method", ["ERM", "SMOTE", "SMOTENC", "RandomUnderSampler"])
def test_a_column_that_gives_held_out_rows_away_tells_nothing(people, method):
    """It is 0 in training rows; where it is the label in others, nothing that was learnt can see it."""
    text = (people / "people.csv").read_text().splitlines()
    split = [("train", "train", "train", "test")[i // 4 % 4] for i in range(ROWS)]
    told = [int(row.endswith("rare")) if part == "test" else 0 for row, part in zip(text[1:], split, strict=True)]
    lines = [f"{row},{tell},{part}" for row, tell, part in zip(text[1:], told, split, strict=True)]
    (people / "people.csv").write_text("\n".join([text[0] + ",tell,split", *lines]))
    (trial, *_) = plan(parse(raw_of()))
    cut, pool = split_of(trial, None, True)
    place = [column.name for column in dataset_of(trial.data).columns].index("tell")
    assert np.array_equal(pool.test.x[:, place], pool.test.y) and not cut.train.x[:, place].any()
    blind = pool.test.x.copy()
    blind[:, place] = 0
    learner = fitted(trial, cut.train, cut.counts, method)
    assert torch.equal(learner.logits(torch.from_numpy(pool.test.x)), learner.logits(torch.from_numpy(blind)))


@pytest.mark.slow
@pytest.mark.usefixtures("cache_of_its_own")
@pytest.mark.parametrize("method", ["ERM", "SMOTE + Threshold"])
def test_a_whole_trial_and_its_scoring_are_the_same_whether_test_rows_tell_their_class_or_not(people, method):
    text = (people / "people.csv").read_text().splitlines()
    split = [("train", "train", "train", "test")[i // 4 % 4] for i in range(ROWS)]
    found = []
    for telling in (True, False):
        told = [
            int(telling and part == "test" and row.endswith("rare")) for row, part in zip(text[1:], split, strict=True)
        ]
        lines = [f"{row},{tell},{part}" for row, tell, part in zip(text[1:], told, split, strict=True)]
        (people / "people.csv").write_text("\n".join([text[0] + ",tell,split", *lines]))
        (trial, *_) = plan(parse(raw_of(methods=method)))
        record = run_trial(Job.of(trial), TrialContext(str(people / "store")))
        found.append((record.status, record.accuracy, record.confusion, list(record.files.values())))
        packages = record.environment["packages"]
        assert ("imbalanced-learn" in packages) == (method != "ERM") and "scikit-learn" in packages
    assert found[0] == found[1] and found[0][0] == "complete"


@pytest.mark.parametrize("method", ["ERM", "SMOTENC"])
def test_a_column_that_gives_validation_rows_away_tells_nothing(people, method):
    """The same of a tuning trial, whose validation rows are cut from the rows that there are to learn from."""
    text = (people / "people.csv").read_text().splitlines()
    (people / "people.csv").write_text("\n".join([f"{text[0]},tell", *(f"{row},0" for row in text[1:])]))
    split, pool = split_of(tuning_trial(0), None, True)
    place = [column.name for column in dataset_of(tuning_trial(0).data).columns].index("tell")
    told = pool.train.x.copy()
    told[split.indices[1], place] = 1 + pool.train.y[split.indices[1]]
    train, val = Images(told[split.indices[0]], split.train.y), told[split.indices[1]]
    assert len(val) >= 12 and val[:, place].all() and not np.array_equal(val[:, place], np.ones(len(val)))
    learner = fitted(tuning_trial(0), train, split.counts, method)
    assert torch.equal(learner.logits(torch.from_numpy(val)), learner.logits(torch.from_numpy(split.val.x)))


def test_a_threshold_is_chosen_on_whole_groups_that_were_held_out(people, monkeypatch):
    (trial, *_) = plan(parse(raw_of(methods="Threshold")))
    request = {"ask": "split", "trial": trial.model_dump(mode="json"), "root": None, "verify": True}
    given = unpack_arrays(ScoringServer().answer(request, b"")[1])
    split, pool = split_of(trial, None, True)
    assert np.array_equal(given["groups"], pool.groups[split.indices[0]]), "the worker is told"
    held_out = []

    def watched(*words):
        for kept, held in folds(*words):
            held_out.append((set(given["groups"][kept]), set(given["groups"][held]), held))
            yield kept, held

    monkeypatch.setattr(estimator_fit, "folds", watched)
    fitted(trial, Images(split.train.x, split.train.y, given["groups"]), split.counts, "Threshold")
    assert len(held_out) == 5 and not any(kept & held for kept, held, _ in held_out)
    assert np.array_equal(np.sort(np.concatenate([rows for *_, rows in held_out])), np.arange(len(split.train)))
    one = np.where(split.train.y == 1, 0, 1 + np.arange(len(split.train)))
    with pytest.raises(MethodError, match="the rows of class 1 are of too few groups to hold one out whole"):
        list(folds(split.train.y, 5, 0, one))


def test_weights_of_rows_reach_the_fit(people):
    (trial, *_) = plan(parse(raw_of(weight="w")))
    split, pool = split_of(trial, None, True)
    learner = fitted(trial, split.train, split.counts)
    place = [column.kind for column in dataset_of(trial.data).columns].index("weight")
    weights = split.train.x[:, place]
    assert set(weights) == {1, 2, 3}
    x, test = (learner.encoder.transform(part.x) for part in (split.train, pool.test))
    direct = LogisticRegression(max_iter=1000).fit(x, split.train.y, sample_weight=weights / weights.mean())
    found = torch.softmax(learner.logits(torch.from_numpy(pool.test.x)), 1).numpy()
    assert np.allclose(found, direct.predict_proba(test), atol=1e-6)
    weighed = parse(raw_of(weight="w"))
    (said,) = gather._weighed([weighed])
    assert not any("weighed" in each for each in gather._unbalanced([weighed])), "that is of the test set alone"
    assert said == "csv:people.csv: training rows are weighed by the column 'w'; each test row counts once."
    plain = LogisticRegression(max_iter=1000).fit(x, split.train.y)
    assert not np.allclose(found, plain.predict_proba(test), atol=1e-4)


@pytest.mark.parametrize(
    ("network", "method", "said"),
    [
        ("logistic_regression", "SMOTE", "SMOTE makes or drops rows, and these have weights"),
        ("mlp", "ERM", "no weights of rows"),
    ],
)
def test_what_rows_with_weights_cannot_have_is_said_before_anything_runs(people, monkeypatch, network, method, said):
    with pytest.raises(MethodError, match=said):
        checked(plan(parse(raw_of(network, method, weight="w"))), monkeypatch)


def test_run_on_a_table_takes_its_columns_of_groups_and_weights(people):
    spec, _ = resolve(ImageRequest("csv:people.csv", "y", group="who", weight="w"), None, lambda word: None)
    facts = spec.data[0].contents
    assert (facts.label, facts.group, facts.weight) == ("y", "who", "w")
    assert "SMOTE" not in {method.name for method in spec.methods}, "rows with weights are not made"
    with pytest.raises(UserError, match=r"'whom'.*did you mean 'who'"):
        resolve(ImageRequest("csv:people.csv", "y", group="whom"), None, lambda word: None)


def test_run_on_a_table_compares_a_dozen_methods_on_two_estimators(people, monkeypatch):
    said = []
    spec, store = resolve(ImageRequest("csv:people.csv", "y"), None, said.append)
    assert (len(spec.methods), len(spec.networks), len(spec.seeds)) == (12, 2, 5) and str(store).endswith("runs/people")
    rows = {(trial.method.name, trial.network) for trial in plan(spec)}
    assert len(rows) == 9 * 2 + 3
    checked(plan(spec), monkeypatch)
    assert said[0] == "csv:people.csv is a table: label: column 'y'" and said[-1].startswith("csv:people.csv: 192 + 48")
    total = round(0.9 * 192)
    assert spec.data[0].total == total
    first, second = (split_of(trial, None, True)[0].indices[0] for trial in plan(spec)[:2])
    assert len(first) == len(second) == total and not np.array_equal(first, second), "each seed draws anew"
    store.write_plan(spec.model_copy(update={"seeds": (7,)}))
    assert resolve(ImageRequest("csv:people.csv", "y"), None, said.append)[0].seeds == (7,), "the same command resumes"
