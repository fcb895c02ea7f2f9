"""A model of rows in a file: it predicts as its trial did, to the bit, and runs nothing of a stranger's."""

import io
import json
import pickle
import random
import sys
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
import torch
from safetensors.torch import load, save, save_file
from sklearn.naive_bayes import GaussianNB

import tailboard as tb
from tailboard.datasets.split import Images
from tailboard.datasets.tables.columns import Column
from tailboard.harness.errors import ModelError
from tailboard.harness.prediction.csv_output import csv_goal
from tailboard.harness.prediction.table_model import WORD, SavedColumn, TableDescription, TableModel, digest
from tailboard.harness.prediction.table_rows import write_row_predictions
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Provenance
from tailboard.harness.training.learners.estimator_file import FORMS, opened, saved
from tailboard.harness.training.learners.sound_trees import Unsound, check_lightgbm, check_xgboost
from tailboard.harness.training.learners.table_learners import table_learner
from tailboard.methods.part import MethodError
from tailboard.methods.recipe import recipe

COLUMNS = (Column("age"), Column("pay"), Column("town", "category"), Column("since", "date"))
TOWNS = ("Aix", "Bonn", "Cork")
FEW = {"xgboost": "n_estimators", "lightgbm": "n_estimators", "random_forest": "n_estimators", "catboost": "iterations",
       "hist_gradient_boosting": "max_iter"}  # fmt: skip
ENSEMBLES = ("BalancedRandomForest", "RUSBoost", "EasyEnsemble", "BalancedBagging")


def rows(classes: int = 3) -> Images:
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(classes), (60, 30, 12)[:classes]))
    made = [rng.normal(size=(len(y), 2)) + y[:, None], rng.integers(0, 3, len(y)), rng.integers(0, 9, len(y))]
    x = np.column_stack(made)
    x[:5, 0], x[5:8, 2] = np.nan, np.nan
    return Images(x, y.astype(np.int64))


def learner_of(network: str, method: str = "ERM", classes: int = 3):
    entry = {"name": network, "values": {FEW[network]: 12}} if network in FEW else network
    raw = {"name": "t", "data": "adult", "methods": [method], "network": entry, "seeds": 1}
    trial, train = plan(parse(raw))[0], rows(classes)
    counts = tuple(np.bincount(train.y).tolist())
    made = recipe(method).tuned({"estimator.n_estimators": 3} if method in ENSEMBLES else {})
    learner = table_learner(trial, train, counts, made, torch.device("cpu"), COLUMNS)
    list(learner.epochs())
    return trial, learner


def model_of(trial, learner) -> TableModel:
    tensors = learner.averaged_weights()
    (form,) = tensors.keys() & FORMS.keys()
    description = TableDescription(
        trial=trial,
        classes=("a", "b", "=c")[: learner.scene.classes],
        counts=learner.scene.counts,
        columns=tuple(SavedColumn(name=n, kind=k, categories=TOWNS if k == "category" else ()) for n, k in COLUMNS),
        form=form,
        sha256=digest(tensors),
        data=Provenance(verified=True, hashes={}, fingerprint=""),
    )
    return TableModel.of(description, tensors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "method"),
    [*((name, "ERM") for name in (*FEW, "svm", "logistic_regression")), *(("xgboost", name) for name in ENSEMBLES)],
)
def test_a_model_in_a_file_scores_as_its_trial_to_the_bit(tmp_path, network, method):
    for classes in (3,) if method in ENSEMBLES else (2, 3):
        trial, learner = learner_of(network, method, classes)
        model_of(trial, learner).save(tmp_path / "m.model")
        model = tb.load_model(tmp_path / "m.model")
        assert np.array_equal(model.logits(rows().x), learner.logits(torch.from_numpy(rows().x)).numpy())


@pytest.mark.parametrize("values", [{}, {"width": 64, "depth": 3, "dropout": 0.2}])
def test_a_network_of_rows_in_a_file_scores_as_its_trial_to_the_bit(tmp_path, values):
    raw = {"name": "t", "data": "adult", "methods": ["Logit adjustment"], "seeds": 1, "training": {"epochs": 2}}
    (trial,) = plan(parse(raw | {"network": {"name": "mlp", "values": values}}))
    train = rows()
    counts = tuple(np.bincount(train.y).tolist())
    learner = table_learner(trial, train, counts, recipe("Logit adjustment"), torch.device("cpu"), COLUMNS)
    list(learner.epochs())
    model_of(trial, learner).save(tmp_path / "m.model")
    model = tb.load_model(tmp_path / "m.model")
    assert np.array_equal(model.logits(train.x), learner.logits(torch.from_numpy(train.x)).numpy())
    data = bytes(model.tensors["mlp"].numpy().tobytes())
    features = model.encoder.transform(train.x).shape[1]
    state = load(data)
    for wrong in (
        {name: tensor for name, tensor in state.items() if name != "head.bias"},
        state | {"head.weight": state["head.weight"] * float("nan")},
        state | {"features.0.weight": state["features.0.weight"][:, 1:].contiguous()},
        state | {"features.1.running_var": state["features.1.running_var"][1:].contiguous()},
        state | {"features.0.weight": state["features.0.weight"].double()},
        {"head.weight": torch.zeros(2, 2**12)},
    ):
        with pytest.raises(Unsound):
            opened("mlp", save(wrong), features)
    with pytest.raises(Unsound):
        opened("mlp", data[: len(data) // 2], features)


@pytest.mark.parametrize("method", ["SMOTE + Logit adjustment", "Threshold", "Reweighting"])
def test_what_a_method_does_to_scores_is_saved_with_it(tmp_path, method):
    trial, learner = learner_of("logistic_regression", method, 2)
    model_of(trial, learner).save(tmp_path / "m.model")
    found = tb.load_model(tmp_path / "m.model").logits(rows().x)
    assert np.array_equal(found, learner.logits(torch.from_numpy(rows().x)).numpy())


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    trial, learner = learner_of("random_forest")
    path = tmp_path_factory.mktemp("model") / "m.model"
    model_of(trial, learner).save(path)
    return path


def save_row_predictions(model, table, goal):
    with csv_goal(goal, sys.stdout) as file:
        return write_row_predictions(model, table, file)


TABLE = "town,extra,age,pay,since\nBonn,1,0.5,1,1970-01-03\n ?,2,,2.5,\nParis,3,1,NA,1969-12-31\n"


def test_a_parquet_file_is_predicted_as_the_csv_of_the_same_rows(tmp_path, file):
    model = tb.load_model(file)
    rows = {"town": ["Bonn", None, "Paris"], "age": [0.5, None, 1], "pay": [1, 2.5, None], "odd": [[1], [2], []]}
    since = [date(1970, 1, 3), None, date(1969, 12, 31)]
    pq.write_table(pa.table(rows | {"since": since}), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text(TABLE)
    for name in ("t.csv", "t.parquet"):
        assert save_row_predictions(model, tmp_path / name, tmp_path / f"{name}.out") == 3
    assert (tmp_path / "t.parquet.out").read_bytes() == (tmp_path / "t.csv.out").read_bytes()
    pq.write_table(pa.table({"age": [1.0], "pay": [1], "towns": ["Bonn"]}), tmp_path / "t.parquet")
    with pytest.raises(tb.UserError, match="no column 'town'; did you mean 'towns'"):
        save_row_predictions(model, tmp_path / "t.parquet", tmp_path / "out.csv")
    (tmp_path / "t.parquet").write_text(TABLE)
    with pytest.raises(tb.UserError, match="cannot be read as Parquet"):
        save_row_predictions(model, tmp_path / "t.parquet", tmp_path / "out.csv")


def test_of_a_wide_parquet_file_the_columns_that_the_model_takes_are_counted_alone(tmp_path, file, monkeypatch):
    monkeypatch.setattr("tailboard.datasets.user_tables.cells.MOST_CELLS", 3 * 4)
    monkeypatch.setattr("tailboard.datasets.user_tables.parquet_file.EXPANDED", 1e-6)  # a thousand bytes
    rows = {"town": ["Bonn", "", "Paris"], "age": [0.5, 2, 1], "pay": [1, 2.5, 3], "since": [None] * 3}
    wide = pa.table(rows | {f"other {place}": [0.5] * 3 for place in range(4200)})
    pq.write_table(
        pa.Table.from_arrays([*wide.columns, wide["age"]], [*wide.column_names, "other 1"]), tmp_path / "t.parquet"
    )
    assert save_row_predictions(tb.load_model(file), tmp_path / "t.parquet", tmp_path / "out.csv") == 3
    for changed, words in (
        ({name: values * 2 for name, values in rows.items()}, "at most 12 values"),
        (rows | {"town": ["a" * 5000, "b" * 5000, "c" * 5000]}, "would take more than"),
    ):
        pq.write_table(pa.table(changed), tmp_path / "t.parquet")
        with pytest.raises(tb.UserError, match=words):
            save_row_predictions(tb.load_model(file), tmp_path / "t.parquet", tmp_path / "out.csv")
    pq.write_table(pa.Table.from_arrays([wide["age"]] * 2, ["age", " age"]), tmp_path / "t.parquet")
    with pytest.raises(tb.UserError, match="two columns are called 'age'"):
        save_row_predictions(tb.load_model(file), tmp_path / "t.parquet", tmp_path / "out.csv")


def test_a_csv_gets_labels_and_a_column_of_probabilities_for_each_class(tmp_path, file):
    model, table = tb.load_model(file), tmp_path / "t.csv"
    table.write_text(TABLE)
    assert save_row_predictions(model, table, tmp_path / "out.csv") == 3
    lines = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()]
    assert lines[0] == ["label", "p_a", "p_b", "p_'=c"] and len(lines) == 4
    x = np.array([[0.5, 1, 1, 2], [np.nan, 2.5, np.nan, np.nan], [1, np.nan, 3, -1]])
    found = model.predictions(x, None)
    assert [line[1:] for line in lines[1:]] == [[f"{p:.6g}" for p in each] for each in found.probabilities]
    frame = {"town": ["Bonn", None, "Paris"], "age": [0.5, float("nan"), 1], "pay": [1, 2.5, None],
             "since": ["1970-01-03", None, "1969-12-31"]}  # fmt: skip
    assert np.array_equal(model.predict(frame).logits, found.logits)
    assert model.predict(frame, "balanced").probabilities.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("sign", ["; ", "\t"])
def test_a_csv_is_read_with_the_separators_that_training_takes(tmp_path, file, sign):
    model = tb.load_model(file)
    for name, text in (("t.csv", TABLE), ("other.csv", "\ufeff" + TABLE.replace(",", sign).replace("Bonn", '"Bonn"'))):
        (tmp_path / name).write_text(text)
        assert save_row_predictions(model, tmp_path / name, tmp_path / f"{name}.out") == 3
    assert (tmp_path / "t.csv.out").read_bytes() == (tmp_path / "other.csv.out").read_bytes()


def test_what_pandas_calls_missing_is_missing(file):
    frame = pd.DataFrame({
        "town": pd.array(["Bonn", pd.NA, "Paris"], "string"), "age": pd.array([1, pd.NA, 2], "Int64"),
        "pay": [1.0, float("nan"), 2.5], "since": pd.to_datetime(["1970-01-03", None, "1969-12-31"]),
    })  # fmt: skip
    plain = {"town": ["Bonn", "", "Paris"], "age": [1, "", 2], "pay": [1, "", 2.5],
             "since": ["1970-01-03", "", "1969-12-31"]}  # fmt: skip
    model = tb.load_model(file)
    assert np.array_equal(model.predict(frame).logits, model.predict(plain).logits)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("since,town,age\n,Bonn,1\n", "no column 'pay'"),
        ("since,town,agee,pay\n,Bonn,1,1\n", "no column 'age'; did you mean 'agee'"),
        ("since,town,age,pay\n,Bonn,1,1\n,Bonn,old,1\n", "row 2: age is 'old', no number"),
        ("since,town,age,pay\n,Bonn,inf,1\n", "row 1: age is infinite"),
        ("since,town,age,pay\n,Bonn,1\n", "row 1: 3 values, and the first line names 4"),
        ("since,town,age,pay\nlate,Bonn,1,1\n", "row 1: since is 'late', no date such as 2026-01-31"),
        ("town,age,age,pay\nBonn,1,1,1\n", "two columns are called 'age'"),
        ("since,town,age,pay\n", "no rows to predict"),
        ("", "no rows to predict"),
    ],
)
def test_a_wrong_table_is_said_in_a_line(tmp_path, file, text, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ModelError, match=words) as error:
        save_row_predictions(tb.load_model(file), tmp_path / "t.csv", tmp_path / "out.csv")
    assert "\n" not in str(error.value) and not (tmp_path / "out.csv").exists()


class Bomb:
    """A class that a stranger's file names."""

    def __reduce__(self):
        return print, ("ran",)


def packed(schema: dict) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as held:
        held.writestr("schema.json", json.dumps(schema))
    return data.getvalue()


def compressed(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return made.getvalue()


def test_a_strangers_bytes_run_nothing(capsys):
    _, forest = learner_of("random_forest")
    _, good = saved(forest.estimator)
    method = {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode", "content": {}}
    for data in (
        pickle.dumps(Bomb()),
        packed(method),
        packed({"__class__": "dict", "__module__": "builtins", "__loader__": "MethodNode", "content": {"a": method}}),
        packed({"__class__": "dict", "__module__": "builtins", "content": {}}),
        skops.io.dumps(GaussianNB().fit([[0.0], [1.0]], [0, 1])),
        compressed(good),
    ):
        with pytest.raises(Unsound):
            opened("skops", data, 5)
    assert capsys.readouterr().out == ""
    with pytest.raises(MethodError, match="GaussianNB cannot be saved: no format"):
        saved(GaussianNB())


def test_a_tree_that_leads_out_of_itself_is_refused():
    width = learner_of("random_forest")[1].encoder.transform(rows().x).shape[1]
    forest = learner_of("random_forest")[1].estimator
    forest.estimators_[3].tree_.feature[0] = 10**6
    with pytest.raises(Unsound, match="a feature beyond"):
        opened("skops", saved(forest)[1], width)
    forest.estimators_[3].tree_.feature[0], forest.estimators_[3].tree_.children_left[0] = 0, 0
    with pytest.raises(Unsound, match="leads out"):
        opened("skops", saved(forest)[1], width)
    machine = learner_of("svm")[1].estimator
    machine._n_support[0] += 50
    with pytest.raises(Unsound, match="vectors"):
        opened("skops", saved(machine)[1], width)
    booster = json.loads(saved(learner_of("xgboost")[1].estimator)[1])
    check_xgboost(booster, width)
    booster["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"][0] = 10**6
    with pytest.raises(Unsound, match="leads out"):
        opened("xgboost", json.dumps(booster).encode(), width)
    text = saved(learner_of("lightgbm")[1].estimator)[1].decode()
    check_lightgbm(text, width)
    with pytest.raises(Unsound):
        opened("lightgbm", text.replace("left_child=", "left_child=9999999 ", 1).encode(), width)


def test_a_changed_file_is_refused_in_a_line(tmp_path, file):
    data, draw = file.read_bytes(), random.Random(0)  # noqa: S311  (no secret)
    for _ in range(30):
        made = bytearray(data)
        for _ in range(3):
            made[draw.randrange(len(made))] ^= 1 << draw.randrange(8)
        (tmp_path / "m.model").write_bytes(made[: draw.choice([len(made), draw.randrange(len(made))])])
        with pytest.raises(tb.UserError) as error:
            tb.load_model(tmp_path / "m.model")
        assert "\n" not in str(error.value)
    save_file({"encoder": torch.zeros(3, dtype=torch.uint8)}, tmp_path / "m.model", {WORD: "{}"})
    with pytest.raises(ModelError, match="its description, trial: Field required"):
        tb.load_model(tmp_path / "m.model")
