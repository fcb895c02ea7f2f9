"""``tailboard figure``: from a store's records to curves and claims; nothing is trained."""

import re
import sys

import numpy as np
import pytest
from sklearn.metrics import f1_score

from study_stores import DATA, SPEC, facts, printed, recalls_of, store_of
from tailboard.harness.errors import ReportError
from tailboard.harness.registry.networks import network
from tailboard.harness.reporting.figures import study
from tailboard.harness.reporting.figures.study import FigureRequest, study_figure
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan


def test_improvement_of_a_method_over_erm(tmp_path):
    store = store_of(tmp_path)
    told = facts(store, "--kind", "improvement")
    assert [row["x"] for row in told["curves"]] == [0.05, 0.2, 1.0]
    assert {row["curve"] for row in told["curves"]} == {"Focal Loss"}
    trials = [trial for trial in plan(parse(SPEC)) if trial.data.imbalance_factor == 20]
    mean = {(t.method.name, t.seed): recalls_of(t).mean() for t in trials}
    gains = [100 * (mean["Focal Loss", s] - mean["ERM", s]) / mean["ERM", s] for s in range(5)]
    assert told["curves"][0]["mean"] == pytest.approx(np.mean(gains))
    claim = told["claims"][0]
    assert (claim["figure"], claim["panel"], claim["n"]) == ("improvement", "fashion-mnist-mini, small", 5)
    assert claim["claim"] == "Focal Loss is better than ERM at train ratio 0.05"
    assert claim["verdict"] == "supported"
    assert claim["effect"] == pytest.approx(np.mean(gains))
    assert claim["low"] < claim["effect"] < claim["high"]


def test_words_of_the_routine_are_curves_and_groups_are_panels(tmp_path):
    store = store_of(tmp_path, methods="ERM", training={"epochs": 4, "batch_size": [16, 64, 128]})
    told = facts(store, "--kind", "improvement", "--baseline", "128", "--group", "minority,majority")
    assert {row["curve"] for row in told["curves"]} == {"batch_size 16", "batch_size 64"}
    assert {row["panel"] for row in told["curves"]} == {
        f"fashion-mnist-mini, small, {group} classes" for group in ("minority", "majority")
    }
    swept = facts(store, "--kind", "sweep", "--x", "batch_size", "--group", "minority")
    assert [row["x"] for row in swept["curves"]] == [16, 64, 128] * 3  # a panel for each train ratio
    trials = plan(parse(SPEC | {"methods": "ERM", "training": {"epochs": 4, "batch_size": 16}}))
    minority = np.mean([recalls_of(trial)[5:].mean() for trial in trials if trial.data.imbalance_factor == 20])
    assert swept["curves"][0]["mean"] == pytest.approx(minority)


def test_any_metric_of_which_more_is_better(tmp_path):
    told = facts(store_of(tmp_path), "--kind", "sweep", "--x", "train_ratio", "--metric", "worst_class")
    trials = [trial for trial in plan(parse(SPEC)) if trial.data.imbalance_factor == 20 and trial.method.name == "ERM"]
    assert told["curves"][0]["mean"] == pytest.approx(np.mean([recalls_of(trial).min() for trial in trials]))
    assert told["axes"]["value"]["y"] == "accuracy of the worst class (%)"


def test_the_matrix_of_a_store_by_hand(tmp_path):
    store = store_of(tmp_path, methods="ERM")
    told = facts(store, "--kind", "ratio_matrix", "--margin", "2")
    balanced = [row for row in told["curves"] if row["curve"] == "balanced"]
    trials = [trial for trial in plan(parse(SPEC | {"methods": "ERM"})) if trial.data.imbalance_factor == 1]
    shares = 0.05 ** (np.arange(10) / 9)
    by_hand = np.mean([recalls_of(trial) @ shares / shares.sum() for trial in trials])
    assert balanced[0]["mean"] == pytest.approx(by_hand)
    verdicts = {claim["claim"].split(" ")[0]: claim["verdict"] for claim in told["claims"]}
    assert verdicts["at"] == "supported"
    assert [claim["margin"] for claim in told["claims"]] == [None, 2.0, pytest.approx(np.log10(20) / 2), None]
    assert not any("with data" in note for note in told["notes"])
    unequal = store_of(tmp_path / "u", methods="ERM", data=DATA | {"total": None, "head": 60})
    assert "with data: {total: N} each has as many" in facts(unequal, "--kind", "ratio_matrix")["notes"][0]


def test_the_matrix_of_another_metric_is_that_metric_at_each_test_ratio(tmp_path):
    store = store_of(tmp_path, methods="ERM")
    trials, stored = plan(store.plans()[0]), []
    labels = np.repeat(np.arange(10), [30, 12, 20, 8, 16, 10, 24, 6, 14, 10])
    for number, trial in enumerate(trials):
        logits = np.random.default_rng(number).normal(size=(len(labels), 10)) + 2 * np.eye(10)[labels]
        stored.append(logits.astype(np.float32))
        store.write_arrays(trial.key, {"last_ema": stored[-1], "labels": labels})
    told = facts(store, "--kind", "ratio_matrix", "--metric", "macro_f1")
    assert told["axes"]["matrix"]["y"] == "macro F1 at that test ratio (%)"
    rows = {(row["curve"], row["x"]): row["mean"] for row in told["curves"] if row["quantity"] == "matrix"}
    shares = 0.2 ** (np.arange(10) / 9)
    weights = (shares / np.bincount(labels))[labels]
    by_hand = [
        100 * f1_score(labels, found.argmax(axis=1), average="macro", sample_weight=weights)
        for found, trial in zip(stored, trials, strict=True)
        if trial.data.imbalance_factor == 1
    ]
    assert rows["trained at 1", 0.2] == pytest.approx(np.mean(by_hand))


def test_misalignment_over_totals(tmp_path):
    store = store_of(tmp_path, methods="ERM", data=DATA | {"total": [200, 400]})
    told = facts(store, "--kind", "misalignment")
    assert {row["x"] for row in told["curves"]} == {200, 400}
    assert {row["quantity"] for row in told["curves"]} == {"distance", "log distance"}


def test_scaling_counts_the_parameters_of_each_network(tmp_path):
    store = store_of(tmp_path, methods="ERM", network=["small", "resnet20"], data=DATA | {"train_ratio": [0.05, 1]})
    told = facts(store, "--kind", "scaling")
    sizes = [sum(p.numel() for p in network(name, 1, 10).parameters()) for name in ("small", "resnet20")]
    assert [row["x"] for row in told["curves"]] == sorted(sizes) * 2
    assert [claim["panel"] for claim in told["claims"]] == [
        "fashion-mnist-mini, train_ratio 0.05",
        "fashion-mnist-mini, train_ratio 1",
    ]
    tailed, balanced = (claim["claim"] for claim in told["claims"])  # the paper says of balanced data the reverse
    largest = f"the largest ({max(sizes):,} parameters)"
    assert tailed == f"ERM: the best smaller network beats {largest}"
    assert balanced == f"ERM: {largest} beats the best smaller network"


def test_a_figure_is_the_same_bytes_whatever_ended_first_and_says_what_is_missing(tmp_path):
    forward, again = store_of(tmp_path / "a"), store_of(tmp_path / "b", turn=-1)
    for end in ("svg", "csv", "json"):
        for name, store in (("a", forward), ("b", again)):
            assert printed(store, "--kind", "improvement", "-o", tmp_path / f"{name}.{end}").return_value == 0
        assert (tmp_path / f"a.{end}").read_bytes() == (tmp_path / f"b.{end}").read_bytes()
    partial = printed(store_of(tmp_path / "c", left_out=[0]), "--kind", "improvement")
    assert partial.return_value == 2
    assert "no word: 1 of 5 seeds are not complete" in partial.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kind", "improvment"], "--kind: 'improvment' is not one of .*improvement"),
        (["--kind", "sweep"], "--x: name the number that is swept"),
        (["--kind", "sweep", "--x", "batchsize"], "--x: no field 'batchsize' here.*training.batch_size"),
        (["--kind", "sweep", "--x", "method"], "--x: method is no number"),
        (["--kind", "sweep", "--x", "lr"], "training.lr is 0.1 in every trial, so it is no axis"),
        (["--kind", "sweep", "--x", "gamma"], "method.gamma is 3 in every trial that has it, so it is no axis"),
        (["--kind", "scaling"], r"parameters is [\d.e+]+ in every trial.*network: \[NAME, NAME\]"),
        (["--kind", "improvement", "--baseline", "Focal"], "--baseline: no curve 'Focal' here.*Focal Loss"),
        (["--kind", "improvement", "--x", "lr"], "--x: of a sweep"),
        (["--kind", "improvement", "--group", "tail"], "--group: 'tail' is not one of"),
        (["--kind", "ratio_matrix", "--group", "few"], "--group: ratio_matrix is of all, minority or majority"),
        (["--kind", "ratio_matrix", "--margin", "0"], "--margin: 0 must be above 0"),
        (["--kind", "ratio_matrix", "--metric", "worst_class"], "worst_class is the same at every test ratio"),
        (["--kind", "fit", "--metric", "macro_f1"], "--metric: fit is of the accuracy on the training images"),
        (["--kind", "improvement", "--metric", "nll"], "--metric: of nll less is better"),
        (["--kind", "improvement", "--metric", "recall:Coat", "--group", "few"], "--group: recall is of all, not few"),
        (["--kind", "improvement", "--metric", "recall_at_precision:0.9"], "has no recall_at_precision"),
        (["--kind", "misalignment"], r"several totals, as in data: \{total: \[500, 2000\]\}"),
        (["--kind", "improvement", "-o", "f.gif"], "--output: f.gif must end in .svg"),
    ],
)
def test_a_wrong_word_and_a_store_without_the_axes(tmp_path, words, said):
    methods = ["ERM", {"name": "Focal Loss", "values": {"gamma": 3}}]
    done = printed(store_of(tmp_path, methods=methods), *words)
    assert isinstance(done.exception, ReportError)
    assert re.search(said, str(done.exception)), str(done.exception)


def test_two_words_that_differ_need_one_that_is_the_curves(tmp_path):
    store = store_of(tmp_path, methods="ERM", training={"epochs": 4, "batch_size": [16, 64], "flip": [True, False]})
    with pytest.raises(ReportError, match=r"--curve: training.batch_size and training.flip differ; name the one"):
        study_figure(store, FigureRequest("improvement", baseline="16"))
    told = study_figure(store, FigureRequest("improvement", curve="training.flip", baseline="True"))
    assert {claim.panel for claim in told.data.claims} == {
        "fashion-mnist-mini, small, batch_size 16", "fashion-mnist-mini, small, batch_size 64"
    }  # fmt: skip


def test_data_that_are_not_the_official_bytes_are_told(tmp_path):
    assert facts(store_of(tmp_path / "a"), "--kind", "improvement")["notes"][1:] == []
    told = facts(store_of(tmp_path / "b", verified=False), "--kind", "improvement")
    assert told["notes"][1:] == ["Some trials ran on data whose checksums differ."]


def test_curves_that_share_no_panel_are_not_compared(tmp_path):
    store_of(tmp_path, methods="ERM")
    store = store_of(tmp_path, name="g", methods="Focal Loss", data=DATA | {"total": 200})
    with pytest.raises(ReportError, match=r"no two complete trials .* total 200: ERM was not trained here"):
        study_figure(store, FigureRequest("improvement"))


def test_a_store_of_nothing_complete_has_no_figure(tmp_path):
    with pytest.raises(ReportError, match=r"no trial of .* is complete, so there is nothing to draw"):
        study_figure(store_of(tmp_path, left_out=range(30)), FigureRequest("improvement"))


def test_without_matplotlib_the_install_command_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tailboard.leaderboard.figures.drawing", None)
    monkeypatch.delattr("tailboard.leaderboard.figures.drawing", raising=False)
    figure = study.study_figure(store_of(tmp_path), FigureRequest("improvement"))
    with pytest.raises(ReportError, match=r"pip install \"tailboard\[figures\]\", or name a \.csv"):
        figure.write(tmp_path / "f.svg")
