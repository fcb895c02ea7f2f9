"""Classes tested at their natural frequencies: what stands below their table, and what is said of it."""

import json
from functools import partial

import jsonschema
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import average_precision_score, f1_score, precision_recall_curve, recall_score, roc_auc_score
from typer.testing import CliRunner

import tailboard as tb
from tailboard.harness.cli.app import app
from tailboard.harness.metrics.rescoring import parse_metric
from tailboard.harness.metrics.scores import per_class_accuracy
from tailboard.harness.registry.datasets import each_once
from tailboard.harness.reporting.gather import gather
from tailboard.harness.reporting.natural_frequencies import SEVERAL, TWO, natural, sentences, with_further_metrics
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Provenance, Record
from tailboard.harness.storage.store import Store
from tailboard.leaderboard.formats.records import SCHEMA


def store_of(top, counts):
    """Five seeds of two methods on two classes, with so many images of each, a fifth of them tested."""
    data = {"name": photos(top, counts), "profile": "natural"}
    return filled(Store(top / "store"), parse({"name": "s", "data": data, "methods": ["ERM", "Focal Loss"]}))


def photos(top, counts):
    for name, count in zip(("well", "ill"), counts, strict=True):
        (top / "photos" / name).mkdir(parents=True)
        for index in range(count):
            pixels = np.random.default_rng([count, index]).integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(top / "photos" / name / f"{index}.png")
    return f"folder:{top / 'photos'}"


def filled(store, spec):
    """The store with a record of each trial, whose logits are drawn; ERM tells the classes apart worst."""
    store.write_plan(spec)
    trained, tested = spec.data[0].contents.available, spec.data[0].contents.tested
    labels = np.repeat(np.arange(len(tested)), tested).astype(np.int16)
    for number, trial in enumerate(plan(spec)):
        logits = np.random.default_rng(number).normal(0, 1, (len(labels), len(tested)))
        logits[np.arange(len(labels)), labels] += 1 + 2 * (trial.method.name != "ERM")
        logits = logits.astype(np.float16)
        store.write_arrays(trial.key, {"last_ema": logits, "last": logits, "labels": labels})
        accuracy = per_class_accuracy(logits, labels)
        store.write_record(Record(
            key=trial.key, trial=trial, status="complete", counts=trained, test_counts=tested,
            data=Provenance(verified=True, hashes={}, fingerprint="0" * 64),
            accuracy={"last_ema": accuracy, "last": accuracy},
        ))  # fmt: skip
    return store


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.slow
def test_a_table_of_what_no_threshold_moves_and_the_method_that_is_first(tmp_path):
    store = store_of(tmp_path, (120, 20))
    report = with_further_metrics(partial(gather, [store]), [store])
    (table,), said = report.tables, sentences(report)
    assert table.spans[0][1] == ("AUROC", "average precision", "F1", "G-mean", "recall at a precision")
    expected = {"ERM": [], "Focal Loss": []}
    for key in sorted(store.finished()):
        arrays = store.arrays(key)
        one, margin = arrays["labels"] == 1, np.diff(arrays["last_ema"].astype(float))[:, 0]
        name = store.record(key).trial.method.name
        expected[name].append((roc_auc_score(one, margin), average_precision_score(one, margin)))
    for method, *texts in table.body:
        means = 100 * np.mean(expected[method], axis=0)
        assert [text.split(" ")[0] for text in texts[:2]] == [f"{mean:.1f}" for mean in means]
    assert said[0].startswith("By AUROC Focal Loss is first: ") and "points beside ERM" in said[0]
    assert said[1].startswith("By average precision Focal Loss is first: ")
    printed = CliRunner().invoke(app, ["report", str(store)]).stdout
    assert "two classes" in printed and "recall that a precision of 0.9 leaves" in printed
    board = tb.report(str(store))
    assert "two classes" in str(board) and "two classes" in board._repr_html_()
    entries = json.loads(CliRunner().invoke(app, ["report", str(store), "--format", "json", "--versus", "ERM"]).stdout)
    jsonschema.validate(entries, json.loads(SCHEMA.read_text()))
    means = {(entry["method"], entry["metric"]): entry["mean"] for entry in entries if entry["group"] == "all"}
    metrics = ("balanced_accuracy", "auroc", "average_precision", "f1", "g_mean", "recall_at_precision:0.9")
    assert means.keys() == {(method, metric) for method in expected for metric in metrics}
    for method, values in expected.items():
        assert means[method, "auroc"] == pytest.approx(100 * np.mean(values, axis=0)[0])
    page = board.save(tmp_path / "page.html").read_text()
    assert "two classes</caption>" in page and f"<td>{table.body[0][1]}</td>" in page
    assert "balanced test set" not in printed and "the test set is not balanced" in printed


@pytest.mark.slow
def test_a_table_of_several_classes_has_the_means_over_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kinds = [name for name, count in {"fir": 200, "oak": 60, "yew": 25}.items() for _ in range(count)]
    (tmp_path / "trees.csv").write_text("\n".join(["height,kind", *(f"{n},{kind}" for n, kind in enumerate(kinds))]))
    data = {"name": "csv:trees.csv", "label": "kind"}
    spec = parse({"name": "s", "data": data, "methods": ["ERM", "SMOTE"], "network": "xgboost"})
    store = filled(Store(tmp_path / "store"), spec)
    assert [*natural([store]).values()] == [SEVERAL]
    report = with_further_metrics(partial(gather, [store]), [store])
    (table, *_), expected = report.tables, {"ERM": [], "SMOTE": []}
    assert table.title.endswith(": several classes") and table.spans[0][1] == (
        *("macro F1", "AUROC", "macro average precision", "G-mean", "macro recall at a precision"),
    )
    for key in sorted(store.finished()):
        arrays = store.arrays(key)
        labels, logits = arrays["labels"], arrays["last_ema"].astype(float)
        found, shares = logits.argmax(axis=1), np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        recalls = recall_score(labels, found, average=None)
        scores = f1_score(labels, found, average="macro"), roc_auc_score(labels, shares, multi_class="ovr")
        precision = average_precision_score(np.eye(3)[labels], shares, average="macro")
        curves = [precision_recall_curve(labels == c, shares[:, c]) for c in range(3)]
        caught = np.mean([recall[precise >= 0.9 - 1e-12].max() for precise, recall, _ in curves])
        values = (*scores, precision, recalls.prod() ** (1 / 3), caught)
        expected[store.record(key).trial.method.name].append(values)
    for method, *texts in table.body:
        means = 100 * np.mean(expected[method], axis=0)
        assert [text.split(" ")[0] for text in texts] == [f"{mean:.1f}" for mean in means]
    assert [said.partition(" is first")[0] for said in sentences(report)] == ["By macro F1 SMOTE", "By AUROC SMOTE"]
    entries = json.loads(report.rendered("json"))
    jsonschema.validate(entries, json.loads(SCHEMA.read_text()))
    metrics = {
        "balanced_accuracy",
        "macro_f1",
        "auroc",
        "macro_average_precision",
        "g_mean",
        "macro_recall_at_precision:0.9",
    }
    assert {entry["metric"] for entry in entries} == metrics
    for form in ("md", "latex"):
        assert "averaged over the classes; G-mean is the geometric mean" in " ".join(report.rendered(form).split())


def test_a_row_with_a_failed_seed_is_shown_with_its_n_and_mark_in_both_tables(tmp_path):
    store = store_of(tmp_path, (120, 20))
    key = min(key for key in store.finished() if store.record(key).trial.method.name == "ERM")
    failed = store.record(key).model_copy(update={"status": "failed", "reason": "out of rows", "accuracy": {}})
    (tmp_path / "store" / "records" / f"{key}.json").unlink()
    store.write_record(failed)
    store = Store(tmp_path / "store")
    report = with_further_metrics(partial(gather, [store]), [store])
    (table,) = report.tables
    texts = {method: cells for method, *cells in table.body}
    assert all(text.endswith(" (n=4)¹") for text in texts["ERM"])
    assert not any("n=" in text for text in texts["Focal Loss"])
    assert table.footnotes == ("¹ 1 of 5 failed: out of rows",)
    lines = [line for line in report.rendered("md").splitlines() if line.startswith("| ERM")]
    assert len(lines) == 2 and all("(n=4)¹ |" in line for line in lines)


def test_captions_and_the_page_of_a_table_speak_of_its_rows(tmp_path):
    file = tmp_path / "people.csv"
    file.write_text("age,income\n" + "".join(f"{age},{'high' if age > 80 else 'low'}\n" for age in range(100)))
    data = {"name": f"csv:{file}", "label": "income", "profile": "natural"}
    spec = parse({"name": "s", "data": data, "methods": ["ERM", "Threshold"], "network": "xgboost"})
    board = tb.report(str(filled(Store(tmp_path / "store"), spec)))
    page = board.save(tmp_path / "page.html").read_text()
    for text in (str(board), board._repr_html_()):
        assert "more than 100 training rows." in text and "not of new test rows." in text
        assert "with fewer training rows its average precision" in text and "images" not in text
    assert '"examples":"rows"' in page
    assert '"examples"' not in tb.report(str(store_of(tmp_path, (120, 20)))).save(tmp_path / "images.html").read_text()


def test_python_reports_any_metric(tmp_path):
    store = store_of(tmp_path, (120, 20))
    board = tb.report(str(store), metric="auroc")
    expected = gather([store], rescore=parse_metric("auroc", "test", 0.0))
    pd.testing.assert_frame_equal(board.rows, expected.rows)
    assert tb.report(str(store), metric="balanced_accuracy", prior="test").report.metric.of_hits
    assert "tau = 1" in str(tb.report(str(store), tau=1.0))
    with pytest.raises(tb.UserError, match="did you mean"):
        tb.report(str(store), metric="auroq")
    with pytest.raises(tb.UserError, match="of which more is better"):
        tb.report(str(store), metric="nll").save(tmp_path / "page.html")


def test_where_the_test_set_is_balanced_the_table_is_enough(tmp_path):
    store = store_of(tmp_path, (20, 20))
    report = gather([store])
    assert with_further_metrics(lambda: report, [store]) is report


def test_a_known_set_that_is_not_balanced_is_never_called_balanced(tmp_path):
    store = Store(tmp_path / "store")
    data = {"name": "adult", "train_ratio": 0.01, "total": 10000}
    store.write_plan(parse({"name": "s", "data": data, "methods": ["ERM"], "network": "logistic_regression"}))
    report = gather([store]).rendered("md")
    assert "balanced test set" not in report
    assert "adult: the test set is not balanced; its classes have 3846 to 12435 examples." in report
    assert natural([store]) == {"adult": TWO}


def test_a_data_set_of_many_tails_is_looked_up_once():
    data = [{"name": name, "total": total} for total in (8000, 9000, 10000) for name in ("adult", "covertype")]
    spec = parse({"name": "s", "data": data, "methods": ["ERM"], "network": "logistic_regression"})
    assert [each.name for each in each_once(spec.data)] == ["adult", "covertype"]
