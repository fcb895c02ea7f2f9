"""Every metric, each in one declaration: from here reports, searches, pages and the conformance checks know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, fsum, inf, log
from typing import Literal

import numpy as np

from ...leaderboard.metric import ACCURACY
from .curves import average_precision, recall_at, roc_area
from .scores import Scored
from .shots import mean_of

Members = Mapping[str, Sequence[int]]  # the classes of each group that has some
BINS = 15  # of the calibration error; Guo et al. 2017 (arXiv 1706.04599)


@dataclass(frozen=True)
class Definition:
    """One metric.

    Args:
        name: Its word in ``--metric``, and after ``val/`` in ``tune.metric``.
        label: In a few words, for headings and axes.
        text: What opens the caption; ``{of}`` stands for what follows the colon.
        measure: Its value in each group of classes, from what a trial was scored on.
        source: What it needs: the ``accuracy`` of each class, which every record holds; the ``confusion`` matrix, of
            newer records or the logits; or the stored ``logits``.
        of: Of what it is: of each group of ``classes``; of one ``class``, named after a colon, or of two classes the
            one with fewer training images; of the latter only, at the ``share`` after the colon; or of ``all`` classes.
        two: Whether it is of two classes only. ``ordered``: whether of ordered classes only.
        follows_prior: Whether it changes with the shares of the classes among the tested images.
        tuned: Whether a search may look for its largest value.
        larger_is_better, low, top, digits, unit, kind: As of ``leaderboard.metric.Metric``.
    """

    name: str
    label: str
    text: str
    measure: Callable[[Scored, Members, str], Mapping[str, float]]
    source: Literal["accuracy", "confusion", "logits"]
    of: Literal["classes", "class", "share", "all"] = "classes"
    two: bool = False
    ordered: bool = False
    follows_prior: bool = True
    tuned: bool = True
    larger_is_better: bool = True
    low: float = 0.0
    top: float = 100.0
    digits: int = 1
    unit: str = ACCURACY.unit
    kind: str = ACCURACY.kind

    def values(self, scored: Scored, members: Members, of: str = "") -> dict[str, float]:
        """Its value of each group.

        Args:
            scored: How a trial classified its images.
            members: The numbers of the classes of each group.
            of: What follows the colon.
        """
        measured = self.measure(scored, members, of)
        return {group: min(max(value, self.low), self.top) for group, value in measured.items()}  # rounding may exceed

    @property
    def scope(self) -> str:
        """Of which data it is, in words."""
        if self.two or self.ordered:
            return "two classes" if self.two else "ordered classes"
        return {"class": "a class", "all": "all classes"}.get(self.of, "each group of classes")

    def lacks(self, of: str, classes: int, ranks: Sequence[int]) -> str:
        """Why a data set does not have it; empty where it does.

        Args:
            of: What follows the colon.
            classes: How many it has.
            ranks: The place of each in their order; empty where they have none.
        """
        if self.two and classes != 2:
            return f"of two classes, not {classes}"
        if self.of == "class" and not of and classes != 2:
            return f"of one class: name it, as in {self.name}:3"
        if self.ordered and not ranks:
            return "of ordered classes: names that begin with numbers order them"
        return ""


def _averaged(values_of: Callable[[Scored], Sequence[float]]) -> Callable[[Scored, Members, str], Mapping[str, float]]:
    """Of values of each class, the mean over the classes of a group."""

    def measure(scored: Scored, members: Members, _: str) -> Mapping[str, float]:
        values = values_of(scored)
        return {group: mean_of(values, at) for group, at in members.items()}

    return measure


def _images(of: Callable[[Scored, np.ndarray], float]) -> Callable[[Scored, Members, str], Mapping[str, float]]:
    """Of a function of some images (N,), its value for the images of a group's classes."""

    def measure(scored: Scored, members: Members, _: str) -> Mapping[str, float]:
        labels = scored.predictions[1]
        return {group: of(scored, np.isin(labels, list(at))) for group, at in members.items()}

    return measure


def _accuracy(scored: Scored, members: Members, _: str) -> Mapping[str, float]:
    if len(set(scored.prior)) == 1:  # the same bits as balanced accuracy
        return {group: mean_of(scored.accuracy, at) for group, at in members.items()}
    each, prior = scored.accuracy, scored.prior
    return {group: float(np.average([each[c] for c in at], weights=prior[[*at]])) for group, at in members.items()}


def _worst(scored: Scored, members: Members, _: str) -> Mapping[str, float]:
    return {group: min(scored.accuracy[c] for c in at) for group, at in members.items()}


def _geometric(scored: Scored, members: Members, _: str) -> Mapping[str, float]:
    def mean(values: Sequence[float]) -> float:
        return exp(fsum(map(log, values)) / len(values)) if min(values) > 0 else 0.0

    return {group: mean([scored.accuracy[c] for c in at]) for group, at in members.items()}


def _precision(scored: Scored) -> list[float]:
    """Of each class; 0 where no image is taken for it."""
    right = np.array(scored.accuracy) / 100 * scored.prior
    taken = np.bincount(scored.confusion.predicted, scored.confusion.shares(scored.prior), len(right))
    return (100 * np.divide(right, taken, out=np.zeros(len(right)), where=taken > 0)).tolist()


def _f1(scored: Scored) -> list[float]:
    right = np.array(scored.accuracy) / 100 * scored.prior
    taken = np.bincount(scored.confusion.predicted, scored.confusion.shares(scored.prior), len(right))
    return (200 * right / (taken + scored.prior)).tolist()


def _quadratic_kappa(scored: Scored, members: Members, _: str) -> Mapping[str, float]:
    """1 less the mean squared distance of rank and predicted rank, over what it would be if they were independent."""
    matrix, ranks = scored.confusion, np.array(scored.ranks, float)
    shares, true, taken = matrix.shares(scored.prior), ranks[matrix.true], ranks[matrix.predicted]
    means, squares = ((shares * x).sum() for x in (true, taken)), ((shares * x**2).sum() for x in (true, taken))
    expected = sum(squares) - 2 * np.prod(list(means))
    return {group: float(100 - 100 * (shares * (true - taken) ** 2).sum() / expected) for group in members}


def _areas(area: Callable[[np.ndarray, np.ndarray, np.ndarray], float]) -> Callable[[Scored], list[float]]:
    """In percent and for each class, the area under its curve against the rest."""

    def each(scored: Scored) -> list[float]:
        (_, labels), scores = scored.predictions, scored.log_probabilities
        return [100 * area(scores[:, c], labels == c, scored.weights) for c in range(scores.shape[1])]

    return each


def _recall_at_precision(scored: Scored, members: Members, of: str) -> Mapping[str, float]:
    (_, labels), scores, c = scored.predictions, scored.log_probabilities, scored.positive
    return dict.fromkeys(members, 100 * recall_at(float(of), scores[:, c], labels == c, scored.weights))


def _each_recall_at_precision(scored: Scored, members: Members, of: str) -> Mapping[str, float]:
    each = _areas(partial(recall_at, float(of)))(scored)
    return {group: mean_of(each, at) for group, at in members.items()}


def _nll(scored: Scored, members: np.ndarray) -> float:
    scores, labels = scored.log_probabilities[members], scored.predictions[1][members]
    return float(np.average(-scores[np.arange(len(labels)), labels], weights=scored.weights[members]))


def _ece(scored: Scored, members: np.ndarray) -> float:
    """The mean over bins of |accuracy - confidence|, each bin (low, high] as heavy as its images."""
    logits, labels = (array[members] for array in scored.predictions)
    weights, confidence = scored.weights[members], np.exp(scored.log_probabilities[members].max(axis=1))
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, weights * ((logits.argmax(axis=1) == labels) - confidence), minlength=BINS)
    return float(100 * np.abs(gaps).sum() / weights.sum())


RARE = "the class with fewer training examples"
DEFINITIONS = {
    definition.name: definition
    for definition in (
        Definition(
            ACCURACY.name, "balanced accuracy", ACCURACY.text, _averaged(lambda scored: scored.accuracy), "accuracy",
            follows_prior=False,
        ),
        Definition("accuracy", "accuracy", "Accuracy in percent", _accuracy, "accuracy"),
        Definition(
            "worst_class", "accuracy of the worst class", "Accuracy of the worst class of each group in percent",
            _worst, "accuracy", follows_prior=False,
        ),
        Definition(
            "g_mean", "G-mean", "Geometric mean of the accuracies of the classes of each group in percent",
            _geometric, "accuracy", follows_prior=False,
        ),
        Definition(
            "recall", "recall", "Accuracy on the class {of} in percent", _averaged(lambda scored: scored.accuracy),
            "accuracy", of="class", follows_prior=False,
        ),
        Definition("precision", "precision", "Precision of the class {of} in percent", _averaged(_precision),
                   "confusion", of="class"),
        Definition("f1", "F1", "F1 of the class {of} in percent", _averaged(_f1), "confusion", of="class"),
        Definition(
            "macro_f1", "macro F1", "F1 of each class in percent, averaged over the classes of each group",
            _averaged(_f1), "confusion",
        ),
        Definition(
            "quadratic_kappa", "quadratic weighted kappa",
            "Cohen's kappa in percent, with quadratic weights of the classes' order",
            _quadratic_kappa, "confusion", of="all", ordered=True, low=-100.0, kind="number from -100 to 100",
        ),
        Definition(
            "auroc", "AUROC", "Area under the ROC curve, each class against the rest, in percent: mean over the "
            "classes of each group", _averaged(_areas(roc_area)), "logits",
        ),
        Definition(
            "average_precision", "average precision", "Average precision of the class {of} in percent",
            _averaged(_areas(average_precision)), "logits", of="class",
        ),
        Definition(
            "macro_average_precision", "macro average precision",
            "Average precision of each class against the rest in percent, averaged over the classes of each group",
            _averaged(_areas(average_precision)), "logits",
        ),
        Definition(
            "recall_at_precision", "recall at a precision",
            f"Largest recall in percent of {RARE} at a precision of at least {{of}}",
            _recall_at_precision, "logits", of="share", two=True, tuned=False,
        ),
        Definition(
            "macro_recall_at_precision", "macro recall at a precision",
            "Largest recall in percent of each class against the rest at a precision of at least {of}, averaged over "
            "the classes of each group", _each_recall_at_precision, "logits", of="share", tuned=False,
        ),
        Definition(
            "ece", "calibration error",
            f"Expected calibration error in percent of the images of each group ({BINS} bins of equal width)",
            _images(_ece), "logits", tuned=False, larger_is_better=False,
        ),
        Definition(
            "nll", "negative log-likelihood", "Negative log-likelihood in nats of the images of each group",
            _images(_nll), "logits", tuned=False, larger_is_better=False, top=inf, digits=3, unit="nats",
            kind="number of nats",
        ),
    )
}  # fmt: skip
