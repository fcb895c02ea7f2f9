"""Other metrics from the stored logits: the definitions, what leaves the table as it is, and what is refused."""

import csv
import io
import itertools
import json
import re
import shutil
import sys

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)

import tailboard
from tailboard.harness.cli.app import main
from tailboard.harness.metrics.prior import Prior
from tailboard.harness.metrics.rescoring import MetricRequest, parse_metric
from tailboard.harness.metrics.scores import per_class_accuracy
from tailboard.harness.registry.datasets import dataset
from tailboard.harness.reporting.gather import gather
from tailboard.harness.reporting.pages.html_pages import page_content
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Shots, plan
from tailboard.harness.storage.record import Provenance, Record
from tailboard.harness.storage.store import Store

COUNTS = (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
BY = Shots(few=100, many=1000)
CLASSES = len(COUNTS)
LABELS = np.repeat(np.arange(CLASSES), 30).astype(np.int16)


def logits_of(seed, skill):
    """Float16, as they are stored: the largest of each row is 0."""
    rng = np.random.default_rng(seed)
    found = rng.normal(0, 1, (len(LABELS), CLASSES)) + np.log(COUNTS) / 3
    found[np.arange(len(LABELS)), LABELS] += skill
    return (found - found.max(axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five seeds of two methods on CIFAR-10, with the logits of what never was a network."""
    made = Store(tmp_path_factory.mktemp("rescored"))
    spec = parse({"name": "s", "data": "cifar10", "methods": ["ERM", "Focal Loss"]})
    made.write_plan(spec)
    for i, trial in enumerate(plan(spec)):
        logits = logits_of(i, 1.5 + (trial.method.name == "ERM"))
        last = logits_of(100 + i, 1.0 + (trial.method.name == "ERM"))
        made.write_arrays(trial.key, {"last_ema": logits, "last": last, "labels": LABELS})
        data = Provenance(verified=True, hashes={}, fingerprint="0" * 64)
        made.write_record(
            Record(key=trial.key, trial=trial, status="complete", counts=COUNTS, data=data,
                   test_counts=(30,) * CLASSES,
                   accuracy={"last_ema": per_class_accuracy(logits, LABELS), "last": per_class_accuracy(last, LABELS)})
        )  # fmt: skip
    return made


def values(store, name="balanced_accuracy", prior="balanced", tau=0.0, group="all"):
    """The metric of each trial by key."""
    rows = gather([store], BY, rescore=parse_metric(name, str(prior), tau)).rows
    return rows[rows["group"] == group].set_index("key")["value"].to_dict()


def stored(store):
    for key in store.finished():
        yield key, store.arrays(key)["last_ema"].astype(float)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def weights(shares):
    return (np.array(shares) / sum(shares) / np.bincount(LABELS))[LABELS]


FEW = [c for c, n in enumerate(COUNTS) if n < 100]
ECE_EDGES = np.linspace(0, 1, 16)


def calibration_error(probabilities, weight):
    """By the definition, bin after bin."""
    top, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == LABELS
    total = 0.0
    for low, high in itertools.pairwise(ECE_EDGES):
        at = (top > low) & (top <= high)
        if at.any():
            gap = np.average(right[at], weights=weight[at]) - np.average(top[at], weights=weight[at])
            total += weight[at].sum() / weight.sum() * abs(gap)
    return 100 * total


def recall_at(share, positive, scores, weight):
    """The last point of scikit-learn's curve has no threshold: nothing is recalled there."""
    precision, recall, _ = precision_recall_curve(positive, scores, sample_weight=weight)
    return recall[precision >= share - 1e-12].max()


DEFINITIONS = {
    "balanced_accuracy": lambda z, w: 100 * recall_score(LABELS, z.argmax(1), average="macro"),
    "accuracy": lambda z, w: 100 * accuracy_score(LABELS, z.argmax(1), sample_weight=w),
    "macro_f1": lambda z, w: 100 * f1_score(LABELS, z.argmax(1), average="macro", sample_weight=w),
    "g_mean": lambda z, w: 100 * recall_score(LABELS, z.argmax(1), average=None).prod() ** (1 / CLASSES),
    "precision:9": lambda z, w: (
        100 * precision_score(LABELS, z.argmax(1), labels=[9], average="macro", sample_weight=w, zero_division=0)
    ),
    "f1:truck": lambda z, w: 100 * f1_score(LABELS, z.argmax(1), average=None, sample_weight=w)[9],
    "average_precision:9": lambda z, w: 100 * average_precision_score(LABELS == 9, softmax(z)[:, 9], sample_weight=w),
    "macro_average_precision": lambda z, w: (
        100 * np.mean([average_precision_score(c == LABELS, softmax(z)[:, c], sample_weight=w) for c in range(CLASSES)])
    ),
    "macro_recall_at_precision:0.5": lambda z, w: (
        100 * np.mean([recall_at(0.5, c == LABELS, softmax(z)[:, c], w) for c in range(CLASSES)])
    ),
    "worst_class": lambda z, w: 100 * recall_score(LABELS, z.argmax(1), average=None).min(),
    "recall:9": lambda z, w: 100 * recall_score(LABELS, z.argmax(1), average=None)[9],
    "auroc": lambda z, w: (
        100 * roc_auc_score(LABELS, softmax(z), multi_class="ovr", average="macro")
        if len(set(w)) == 1
        else 100 * np.mean([roc_auc_score(c == LABELS, softmax(z)[:, c], sample_weight=w) for c in range(CLASSES)])
    ),
    "ece": lambda z, w: calibration_error(softmax(z), w),
    "nll": lambda z, w: log_loss(LABELS, softmax(z), sample_weight=w),
}


@pytest.mark.parametrize("tau", [0.0, 0.7])
@pytest.mark.parametrize("prior", ["balanced", "train"])
@pytest.mark.parametrize("name", DEFINITIONS)
def test_the_metric_is_scikit_learns(store, name, prior, tau):
    """ECE, which it does not have, by the definition. Any prior is a weight of each image."""
    found = values(store, name, prior, tau)
    weight = weights(COUNTS if prior == "train" else (1,) * CLASSES)
    for key, logits in stored(store):
        adjusted = logits - tau * np.log(np.array(COUNTS) / sum(COUNTS))
        assert found[key] == pytest.approx(DEFINITIONS[name](adjusted, weight), rel=1e-6)


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1", "worst_class", "nll"])
def test_groups_are_of_their_classes(store, name):
    found = values(store, name, "train", group="few")
    at = np.isin(LABELS, FEW)
    for key, z in stored(store):
        recall = 100 * recall_score(LABELS, z.argmax(1), average=None)[FEW]
        expected = {
            "balanced_accuracy": recall.mean(),
            "worst_class": recall.min(),
            "macro_f1": 100 * f1_score(LABELS, z.argmax(1), average=None, sample_weight=weights(COUNTS))[FEW].mean(),
            "nll": log_loss(LABELS[at], softmax(z)[at], sample_weight=weights(COUNTS)[at], labels=range(CLASSES)),
        }
        assert found[key] == pytest.approx(expected[name], rel=1e-6)


@pytest.mark.parametrize("form", ["md", "latex", "csv", "json"])
def test_neutral_values_leave_the_table_as_it_is(store, form):
    """To the byte: tau = 0, and balanced accuracy at whatever prior."""
    plain = gather([store], BY).rendered(form)
    for neutral in (
        MetricRequest(),
        MetricRequest(prior=Prior("train")),
        MetricRequest(tau=0.0, prior=Prior(shares=(1.0,) * CLASSES)),
    ):
        assert gather([store], BY, rescore=neutral).rendered(form) == plain
    assert gather([store], BY, rescore=MetricRequest(tau=0.1)).rendered(form) != plain


def test_at_the_balanced_prior_accuracy_is_balanced_accuracy(store):
    assert values(store, "accuracy") == values(store)
    assert values(store, "accuracy", "train") != values(store)


def test_a_prior_from_a_file(store, tmp_path):
    file = tmp_path / "prior.txt"
    file.write_text(" ".join(map(str, COUNTS)))
    assert values(store, "accuracy", file) == pytest.approx(values(store, "accuracy", "train"))
    pairs = zip(dataset("cifar10").classes, COUNTS, strict=True)
    named = ",".join(f"{name}={n}" for name, n in sorted(pairs))
    assert values(store, "accuracy", named) == pytest.approx(values(store, "accuracy", "train"))
    numbered = ",".join(f"{label}={n}" for label, n in enumerate(COUNTS))
    assert values(store, "accuracy", numbered) == pytest.approx(values(store, "accuracy", "train"))


@pytest.fixture
def report(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tailboard", "report", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.mark.slow
def test_the_report_says_what_was_measured(store, report):
    code, out, _ = report(store, "--metric", "nll", "--prior", "train", "--tau", 1, "--versus", "ERM")
    assert code == 0
    assert "Negative log-likelihood in nats" in out
    assert "(test prior: train) (post-hoc logit adjustment, tau = 1)" in out
    assert "Less is better here" in out
    assert "Published" not in out
    _, out, _ = report(store, "--metric", "macro_f1", "--format", "csv")
    assert {line["metric"] for line in csv.DictReader(io.StringIO(out))} == {"macro_f1"}
    _, out, _ = report(store, "--metric", "recall:truck", "--format", "json")
    assert [(entry["group"], entry["metric"]) for entry in json.loads(out)] == [("all", "recall:truck")] * 2


NOT_AVERAGED = "from its last weights (as they were at the end, not averaged)"


def test_the_last_weights_stand_in_place_of_their_average(store, report, tmp_path):
    """The numbers of the records, in every form, under a caption that says so."""
    last = [store.record(key).accuracy["last"] for key in store.finished() if store.record(key).trial.seed == 0]
    rows = tailboard.report(str(store.root), few=100, many=1000, weights="last").rows
    shown = rows[(rows["group"] == "all") & (rows["seed"] == 0)]["value"]
    assert sorted(shown) == pytest.approx(sorted(np.mean(accuracy) for accuracy in last), rel=1e-12)
    page = tmp_path / "page.html"
    boundaries = "--few", 100, "--many", 1000
    _, out, _ = report(store, "--weights", "last", "--html", page, "--published", *boundaries)
    assert NOT_AVERAGED in out and "(weights: last)" in out and NOT_AVERAGED in page.read_text()
    assert NOT_AVERAGED in report(store, "--weights", "last", "--format", "latex", *boundaries)[1]
    _, out, _ = report(store, "--weights", "last", "--format", "csv", *boundaries)
    assert {line["metric"] for line in csv.DictReader(io.StringIO(out))} == {"balanced_accuracy, weights: last"}
    content = page_content(
        gather([store], BY, rescore=parse_metric("balanced_accuracy", "balanced", 0, "last")), [store]
    )
    right = {key: evidence.right for key, evidence in content.evidence.items()}
    assert right == {key: tuple(round(0.3 * a) for a in store.record(key).accuracy["last"]) for key in store.finished()}
    z = {key: store.arrays(key)["last"].astype(float) for key in store.finished()}
    rows = gather([store], BY, rescore=parse_metric("macro_f1", "balanced", 0, "last")).rows
    found = rows[rows["group"] == "all"].set_index("key")["value"].to_dict()
    assert found == pytest.approx({key: DEFINITIONS["macro_f1"](z[key], weights((1,) * CLASSES)) for key in z})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weights", "lats"], "--weights: 'lats' is not one of ema, last; did you mean 'last'?"),
        (["--metric", "macrof1"], "--metric: there is no 'macrof1'; did you mean 'macro_f1'?"),
        (["--metric", "recall"], "cifar10 has no recall, which is of one class: name it, as in recall:3"),
        (["--metric", "recall:trcuk"], "cifar10 has no class 'trcuk' (or its number, 0 to 9); did you mean 'truck'?"),
        (["--metric", "recall:10"], "cifar10 has no class '10'"),
        (["--metric", "ece:3"], "ece has no class"),
        (["--metric", "f1"], "cifar10 has no f1, which is of one class: name it, as in f1:3"),
        (["--metric", "f1:"], "a class follows f1:"),
        (["--metric", "quadratic_kappa"], "which is of ordered classes: names that begin with numbers order them"),
        (
            ["--metric", "recall_at_precision:0.9"],
            "cifar10 has no recall_at_precision, which is of two classes, not 10",
        ),
        (["--metric", "recall_at_precision"], "is at a share from 0 to 1, as in recall_at_precision:0.9"),
        (["--metric", "recall_at_precision:90"], "is at a share from 0 to 1"),
        (["--metric", "accuracy", "--prior", "blanced"], "did you mean 'balanced'?"),
        (["--metric", "accuracy", "--prior", "cat=1"], "no share of class 'airplane'"),
        (["--metric", "accuracy", "--prior", "cat=1,cat=2"], "a class stands twice"),
        (["--metric", "accuracy", "--prior", "cta=1"], "no class 'cta' here; did you mean 'cat'?"),
        (["--metric", "accuracy", "--prior", "cat=0"], "must be above 0"),
        (["--prior", "nowhere"], "--prior: test, balanced, train, shares as in cat=0.9,dog=0.1, or a file"),
        (["--tau", "inf"], "--tau: inf is not between -100 and 100"),
    ],
)
def test_a_wrong_word_gets_one_message(store, report, words, message):
    code, out, err = report(store, *words)
    assert (code, out) == (1, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("text", ["1 2 3", "", "1 1 1 1 1 1 1 1 1 0", "a b", "1 1 1 1 1 1 1 1 1 -1"])
def test_a_prior_that_is_none_is_refused(store, report, tmp_path, text):
    file = tmp_path / "prior.txt"
    file.write_text(text)
    code, _, err = report(store, "--metric", "accuracy", "--prior", file)
    assert code == 1
    assert "--prior" in err


def test_without_its_logits_a_trial_is_missing_and_named(store, tmp_path, report):
    shutil.copytree(store.root, tmp_path / "copy")
    gone = sorted((tmp_path / "copy" / "arrays").iterdir())[0]
    gone.unlink()
    code, out, err = report(tmp_path / "copy", "--metric", "macro_f1")
    assert code == 2
    assert gone.name in err
    assert "without its logits, and without --tau, a record gives balanced_accuracy, accuracy, worst_class" in err
    assert "(n=4)" in out
    assert report(tmp_path / "copy")[0] == 0


def test_a_page_shows_any_metric_of_which_more_is_better(store, report, tmp_path):
    page = tmp_path / "page.html"
    assert report(store, "--metric", "macro_f1", "--html", page)[0] == 0
    (content,) = re.findall(r'id="content">(.*?)</script>', page.read_text())
    shown = json.loads(content)
    assert shown["measure"]["name"] == "macro_f1" and not shown["measure"]["counted"]
    means = {line["method"]: line["cells"]["all"]["mean"] for line in shown["lines"]}
    found = values(store, "macro_f1")
    keys = [key for key in found if store.record(key).trial.method.name == shown["methods"][0]]
    assert means[0] == pytest.approx(np.mean([found[key] for key in keys]))
    code, _, err = report(store, "--metric", "nll", "--html", page)
    assert code == 1 and "--html: a page shows metrics of which more is better" in err


def test_image_noise_of_the_report(store, report):
    """Each class has 30 images: the error of a class mean is sqrt(p (1 - p) / 30) of its images' shares of hits."""
    code, out, _ = report(store, "--noise", "images", "--versus", "ERM", "--few", 100, "--many", 1000)
    assert code == 0
    means, against = out.split("test-image noise")[1:3]
    assert "It speaks of new test images at these seeds" in means
    hits = {name: [] for name in ("ERM", "Focal Loss")}
    for key, logits in stored(store):
        hits[store.record(key).trial.method.name].append(logits.argmax(axis=1) == LABELS)
    for text, score in ((means, np.mean(hits["Focal Loss"], axis=0)),
                        (against, np.mean(hits["Focal Loss"], axis=0) - np.mean(hits["ERM"], axis=0))):  # fmt: skip
        variance = sum(score[c == LABELS].var() / 30 for c in range(CLASSES)) / CLASSES**2
        cell = next(line for line in text.splitlines() if line.startswith("| Focal Loss")).split("|")[-2].strip()
        mean, error = cell.replace("−", "-").replace("\\", "").split(" [")[0].split(" ± ")
        assert float(mean) == pytest.approx(100 * score.mean(), abs=0.051)
        assert float(error) == pytest.approx(100 * np.sqrt(variance), abs=0.051 + 0.05 * 100 * np.sqrt(variance))


def test_a_form_that_is_no_text_needs_a_file(store, report, tmp_path):
    code, _, err = report(store, "--format", "parquet")
    assert (code, "name a file with -o" in err) == (1, True)
    assert report(store, "--format", "parquet", "-o", tmp_path / "rows.parquet")[0] == 0
    assert (tmp_path / "rows.parquet").read_bytes()[:4] == b"PAR1"
    assert report(store, "--noise", "seeds")[0] == 1
