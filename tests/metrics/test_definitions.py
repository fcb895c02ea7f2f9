"""Every declared metric: against scikit-learn where it is of two or of ordered classes, from a record's matrix as from
logits, and what holds of all of them."""

import base64
import zlib

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    precision_recall_curve,
    roc_auc_score,
)

from tailboard.harness.errors import SpecError
from tailboard.harness.metrics import validation
from tailboard.harness.metrics.classes import class_ranks, positive_class
from tailboard.harness.metrics.definitions import DEFINITIONS
from tailboard.harness.metrics.scores import Scored, per_class_accuracy
from tailboard.harness.spec.schema import Data, Shots
from tailboard.leaderboard.confusion import Confusion

FIVE = (70, 50, 30, 20, 10)  # images of each of five ordered classes
TWO = (190, 10)


def predictions(tested, seed=0, skill=1.0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(tested)), tested)
    logits = (8 * rng.normal(0, 1, (len(labels), len(tested)))).round() / 8  # some scores are equal, without rounding
    logits[np.arange(len(labels)), labels] += skill
    return logits, labels


def scored(tested, prior=None, matrix=False, **how):
    logits, labels = predictions(tested, **how)
    shares = np.array(tested if prior is None else prior, float)
    ranks, confusion = tuple(range(len(tested))), Confusion.of(logits.argmax(axis=1), labels, len(tested))
    known = {"matrix": confusion} if matrix else {"logits": logits, "labels": labels}
    return Scored(per_class_accuracy(logits, labels), shares / shares.sum(), positive_class(tested), ranks, **known)


def value(name, subject, of=""):
    about = DEFINITIONS[name]
    at = (subject.positive,) if about.of == "class" else tuple(range(len(subject.accuracy)))
    return about.values(subject, {"all": at}, of)["all"]


@pytest.mark.parametrize("prior", [None, (1, 1), (3, 1)])
def test_of_two_classes_the_rarer_is_the_positive_one(prior):
    logits, labels = predictions(TWO)
    subject, one = scored(TWO, prior), labels == 1
    weights = (np.array(TWO if prior is None else prior) / TWO)[labels]
    margin, taken = logits[:, 1] - logits[:, 0], logits.argmax(axis=1)
    assert subject.positive == 1
    assert value("auroc", subject) == pytest.approx(100 * roc_auc_score(one, margin, sample_weight=weights))
    expected = average_precision_score(one, margin, sample_weight=weights)
    assert value("average_precision", subject) == pytest.approx(100 * expected)
    assert value("f1", subject) == pytest.approx(100 * f1_score(one, taken, sample_weight=weights))
    precision, recall, _ = precision_recall_curve(one, margin, sample_weight=weights)
    for share in (0.3, 0.5, 0.9):
        best = 100 * recall[precision >= share - 1e-9].max()
        assert value("recall_at_precision", subject, str(share)) == pytest.approx(best)


@pytest.mark.parametrize("prior", [None, (1,) * 5, (5, 4, 3, 2, 1)])
def test_kappa_of_ordered_classes(prior):
    logits, labels = predictions(FIVE)
    weights = (np.array(FIVE if prior is None else prior) / FIVE)[labels]
    expected = cohen_kappa_score(labels, logits.argmax(axis=1), weights="quadratic", sample_weight=weights)
    assert value("quadratic_kappa", scored(FIVE, prior)) == pytest.approx(100 * expected)


def test_names_that_begin_with_numbers_are_ordered():
    assert class_ranks(("2 moderate", "0 none", "10 worst")) == (1, 0, 2)
    assert class_ranks(("none", "1 mild")) == class_ranks(("1 a", "1 b")) == ()


@pytest.mark.parametrize("name", [name for name, about in DEFINITIONS.items() if about.source != "logits"])
def test_a_record_says_what_the_logits_say(name):
    assert value(name, scored(FIVE, matrix=True)) == pytest.approx(value(name, scored(FIVE)))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_what_holds_of_every_metric(name):
    """It stays within its bounds, does not depend on how the prior is scaled, follows the prior only where it says so,
    and better predictions are better."""
    about, tested = DEFINITIONS[name], TWO if DEFINITIONS[name].two else FIVE
    of = "0.5" if about.of == "share" else ""
    found = [value(name, scored(tested, prior, skill=skill), of) for skill in (0.5, 4.0) for prior in (None, (1,) * 5)
             for prior in [prior and prior[: len(tested)]]]  # fmt: skip
    assert all(about.low <= each <= about.top for each in found)
    assert (found[2] > found[0]) == about.larger_is_better
    assert (found[0] != found[1]) == about.follows_prior
    assert value(name, scored(tested, [10 * n for n in tested], skill=0.5), of) == found[0]


def test_a_matrix_is_kept_as_it_was_and_of_its_images_alone():
    logits, labels = predictions(FIVE)
    matrix = Confusion.of(logits.argmax(axis=1), labels, 5)
    text = matrix.packed()
    again = Confusion.unpacked(text, FIVE)
    dense = np.zeros((5, 5), int)
    dense[again.true, again.predicted] = again.images
    assert (dense == confusion_matrix(labels, logits.argmax(axis=1))).all()
    assert tuple(100 * again.right / again.tested) == pytest.approx(per_class_accuracy(logits, labels))
    wrong = {
        "no base64": "!",
        "cut short": text[:8],
        "of other images": (text, (70, 50, 30, 20, 11)),
        "a bomb": base64.b64encode(zlib.compress(bytes(10**8))).decode(),
        "nothing": base64.b64encode(zlib.compress(b"")).decode(),
        "beyond its classes": base64.b64encode(zlib.compress(np.array([25, 180], "<u4").tobytes())).decode(),
        "twice": base64.b64encode(zlib.compress(np.array([0, 1, 0, 1], "<u4").tobytes())).decode(),
    }
    for case in wrong.values():
        packed, tested = case if isinstance(case, tuple) else (case, FIVE)
        with pytest.raises(ValueError, match=r"matrix|entries|rows"):
            Confusion.unpacked(packed, tested)


def test_of_many_classes_a_matrix_takes_the_room_of_its_images():
    labels = np.repeat(np.arange(10_000), 2)
    matrix = Confusion.of((labels * 7) % 10_000, labels, 10_000)
    assert len(matrix.true) == 10_000 and len(matrix.packed()) < 60_000


CIFAR = Data(name="cifar10", imbalance_factor=10)
COUNTS = (4000, 3000, 2000, 1000, 800, 700, 600, 500, 450, 400)


@pytest.mark.parametrize("metric", validation.METRICS)
def test_a_search_looks_for_any_metric_that_its_data_have(metric):
    try:
        validation.check_name(metric)
        validation.check(metric, CIFAR, COUNTS, Shots(few=500, many=1000))
    except SpecError as error:
        assert metric in ("val/quadratic_kappa", "val/f1", "val/recall", "val/precision", "val/average_precision")
        assert "which" not in str(error) and metric in str(error)


@pytest.mark.parametrize("metric", ["val/recall:truck", "val/f1:9", "val/precision:cat"])
def test_a_search_looks_at_a_named_class(metric):
    validation.check_name(metric)
    validation.check(metric, CIFAR, COUNTS, Shots())


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("val/f1:cta", "did you mean 'cat'"),
        ("val/ece", "no trial reports 'val/ece'"),
        ("val/auroc:3", "no trial reports"),
        ("val/recall_at_precision:0.5", "no trial reports"),
        ("val/f1", "it is of one class: name it, as in f1:3"),
        ("val/few", "has no class in 'few'"),
    ],
)
def test_a_search_refuses_what_no_trial_reports(metric, words):
    with pytest.raises(SpecError, match=words):
        validation.check_name(metric)
        validation.check(metric, CIFAR, COUNTS, Shots())
