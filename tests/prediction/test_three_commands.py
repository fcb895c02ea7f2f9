"""From a folder of JPEGs, or a CSV of rows, to a model and its predictions, in the three commands of the README."""

import csv
import shlex

import numpy as np
import pytest
from PIL import Image

import tailboard as tb
from tailboard.harness.planning import image_run
from tailboard.harness.planning.prepare import PreparedRun
from tailboard.harness.training.job import Job
from tailboard.harness.training.stop_decision import StopDecision
from tailboard.harness.training.trial import run_trial


def in_process(prepared: PreparedRun, *_: object) -> bool:
    """What Ray does for a run, one trial after the other."""
    needed = prepared.request.plan.dependencies
    for trial in needed.missing(prepared.store):
        run_trial(Job.of(trial, keep_weights=trial.key in needed.prerequisite_keys), prepared.context)
    return False


@pytest.mark.slow
def test_a_folder_becomes_a_model_and_predictions(tmp_path, cache_of_its_own, tailboard, monkeypatch):
    monkeypatch.setattr("tailboard.harness.driver.execute", in_process)
    monkeypatch.setattr(image_run, "STEPS", 1)
    monkeypatch.setattr(image_run, "FEWEST_EPOCHS", 6)
    for number, (name, count) in enumerate({"cat": 30, "dog": 12}.items()):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng(1000 * number + index)
            pixels = rng.integers(90 * number, 90 * number + 100, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{index:03d}.jpg")
    code, out, _ = tailboard("run", "--data", "folder:photos", "--methods", "ERM, Reweighting", "--seeds", 1)
    assert code == 0 and "has the largest balanced accuracy" in out and "Its worst class is" in out
    command = next(line for line in out.splitlines() if line.startswith("A model of it")).partition(": ")[2]
    assert command.startswith("tailboard train runs/photos --method ")
    words = shlex.split(command)[1:]
    code, out, err = tailboard(*words)
    assert code == 0 and "bit for bit" in err
    assert out.startswith(f"{words[-1]}: {words[3]} on folder:photos, 34 images of 2 classes")
    code, _, err = tailboard("predict", words[-1], "photos", "-o", "predictions.csv")
    assert (code, err) == (0, "predictions.csv: 42 images\n")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 42 and rows[0]["image"] == "photos/cat/000.jpg"
    right = [row["label"] == row["image"].split("/")[1] for row in rows]
    assert np.mean(right) > 0.7
    assert tb.load_model(words[-1]).predict("photos/cat/000.jpg").labels == [rows[0]["label"]]
    assert all(sum(float(row[f"p_{name}"]) for name in ("cat", "dog")) == pytest.approx(1, abs=1e-4) for row in rows)


def while_it_is_stopped(prepared: PreparedRun, *_: object) -> bool:
    """The same, each trial asked to stop after its first epoch: the fit of an estimator has ended by then."""
    for trial in prepared.request.plan.dependencies.missing(prepared.store):
        run_trial(Job.of(trial), prepared.context, should_stop=lambda: StopDecision.DRAIN)
    return False


@pytest.mark.slow
def test_a_csv_of_rows_becomes_a_model_predictions_and_a_bundle(tmp_path, cache_of_its_own, tailboard, monkeypatch):
    monkeypatch.setattr("tailboard.harness.driver.execute", while_it_is_stopped)
    rng, rows = np.random.default_rng(0), [["amount", "country", "fraud"]]
    for order in range(300):
        fraud = order % 6 == 0
        rows.append([round(rng.normal(3 if fraud else 1), 3), ("NO", "DE, south")[order % 2], "yes" if fraud else "no"])
    with (tmp_path / "orders.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    own = ("--label", "fraud", "--methods", "ERM, SMOTE", "--network", "logistic_regression", "--seeds", 1)
    code, out, err = tailboard("run", "--data", "csv:orders.csv", *own)
    assert code == 0 and "has the largest balanced accuracy" in out and "By AUROC" in out, err
    command = next(line for line in out.splitlines() if line.startswith("A model of it")).partition(": ")[2]
    words = shlex.split(command)[1:]
    code, _, err = tailboard(*words)
    assert code == 0 and "bit for bit" in err
    code, _, err = tailboard("predict", words[-1], "orders.csv", "-o", "predictions.csv")
    assert (code, err) == (0, "predictions.csv: 300 rows\n")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == ["label", "p_no", "p_yes"] and len(found) == 300
    assert np.mean([each["label"] == row[-1] for each, row in zip(found, rows[1:], strict=True)]) > 0.75
    assert tailboard("export", "runs/orders", "-o", "orders.zip")[0] == 0
    code, out, _ = tailboard("verify", "orders.zip")
    assert code == 0 and "every number holds" in out and "2 records" in out, out
