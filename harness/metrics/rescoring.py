"""Any metric of the records or the stored logits, without training: at any test prior, with the logits adjusted after
the fact.

Each test image of class c weighs pi_c / n_c, where pi is the prior that is asked for and n_c the test images of the
class: what the metric would be on a test set in which the classes are so frequent.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np

from ...datasets.catalog import DataError
from ...leaderboard.metric import ACCURACY, GROUPS, Metric
from ...methods.names import nearest
from ..errors import ReportError, StoreError
from ..registry.datasets import dataset_of
from ..spec.schema import Data, Shots
from ..storage import paths
from ..storage.reader import StoreReader
from ..storage.record import Record, TrialResult, Weights
from .classes import class_names, class_number, class_ranks, positive_class
from .definitions import DEFINITIONS, Definition
from .prior import AS_TESTED, Prior, parse_prior
from .scores import Scored, confusion_of, per_class_accuracy
from .shots import class_members

LARGEST_TAU = 100  # of the log of a share that is 10 at most: far beyond any logit
WEIGHTS: dict[str, Weights] = {"ema": "last_ema", "last": "last"}
WITHOUT_LOGITS = "without its logits, and without --tau, a record gives " + " and ".join(
    ", ".join(name for name, about in DEFINITIONS.items() if about.source == source) + words
    for source, words in {"accuracy": ";", "confusion": " where it holds the confusion matrix"}.items()
)
NOT_AVERAGED = "as they were at the end, not averaged"


@dataclass(frozen=True)
class MetricRequest:
    """A metric by its name and what follows the colon; the prior; tau, by which the log of each class's training share
    is taken off its logit (Menon et al. 2021); and whether it is of the moving average of the last weights or of those
    themselves."""

    name: str = ACCURACY.name
    of: str = ""
    prior: Prior = AS_TESTED
    tau: float = 0.0
    weights: Weights = "last_ema"

    @property
    def definition(self) -> Definition:
        """Its declaration."""
        return DEFINITIONS[self.name]

    @property
    def metric(self) -> Metric:
        """Where neither prior nor tau changes anything, balanced accuracy is the table's own metric."""
        if self.name == ACCURACY.name and not self.tau and self.weights == "last_ema":
            return ACCURACY
        about = self.definition
        text = about.text.format(of=self.of or "with fewer training examples")
        return Metric(
            ", ".join([":".join(filter(None, [self.name, self.of])), *self._words]),
            " ".join([text, *(f"({word})" for word in self._words)]),
            about.larger_is_better,
            about.top,
            about.digits,
            about.unit,
            about.kind,
            weights=ACCURACY.weights if self.weights == "last_ema" else NOT_AVERAGED,
            low=about.low,
            of_hits=self.name == ACCURACY.name and not self.tau,
            label=" ".join(filter(None, [about.label, self.of])),
        )

    @property
    def _words(self) -> list[str]:
        said = self.definition.follows_prior and self.prior.word != "test"
        prior = [f"test prior: {self.prior.text}"] if said else []
        adjusted = [f"post-hoc logit adjustment, tau = {self.tau:g}"] if self.tau else []
        return prior + adjusted + ([] if self.weights == "last_ema" else [f"weights: {self.weights}"])

    @property
    def groups(self) -> tuple[str, ...]:
        """The shot groups that the metric is shown for; that of one class has none but ``all``."""
        return GROUPS if self.definition.of == "classes" else ("all",)

    def lacks(self, data: Data) -> str:
        """Why the data set does not have it; empty where it does, or is not known here."""
        try:
            known = dataset_of(data)
        except DataError:
            return ""
        if 0 in known.tested:
            return f"no test image of class {known.classes[known.tested.index(0)]!r}"
        return self.definition.lacks(self.of, len(known.classes), class_ranks(known.classes))

    def measured(self, store: StoreReader, record: Record, by: Shots) -> dict[str, float]:
        """The metric of a trial.

        Args:
            store: Where its arrays are.
            record: What came of it.
            by: How the classes are grouped.

        Returns:
            The metric of each group that has classes.

        Raises:
            StoreError: where it needs arrays that are damaged or not there.
            ReportError: where the prior does not fit the classes.
        """
        scored = self._scored(store, record)
        members = {group: at for group, at in class_members(record.counts, by).items() if at and group in self.groups}
        if self.definition.of == "class":
            members = {"all": (class_number(self.of, record.trial.data) if self.of else scored.positive,)}
        return self.definition.values(scored, members, self.of)

    def _scored(self, store: StoreReader, record: Record) -> Scored:
        accuracy, tested, source = record.accuracy.get(self.weights), record.test_counts, self.definition.source
        matrix = confusion_of(record) if source == "confusion" and self.weights == "last_ema" else None
        known = bool(accuracy) and bool(tested or not self.definition.follows_prior) and not self.tau
        logits = labels = None
        if not known or not (source == "accuracy" or matrix):
            logits, labels = predictions(store, record, self.tau, self.weights)
            accuracy, matrix = per_class_accuracy(logits, labels), None
            tested = np.bincount(labels, minlength=len(record.counts)).tolist()
        names = class_names(record.trial.data, len(record.counts))
        return Scored(
            accuracy or (),
            self.prior.of(names, record.counts, tested or record.counts),
            positive_class(record.counts),
            class_ranks(names) if self.definition.ordered else (),
            matrix,
            logits,
            labels,
        )


AS_RECORDED = MetricRequest()  # the accuracies in the records


def parse_metric(name: str, prior: str, tau: float, weights: str = "ema") -> MetricRequest:
    """What the command line asks for.

    Args:
        name: A metric, such as ``macro_f1``; ``recall:CLASS`` names its class.
        prior: As :func:`prior.parse_prior` reads it.
        tau: The strength of post-hoc logit adjustment; 0 leaves the logits as they are.
        weights: Those that are scored, one of WEIGHTS.

    Returns:
        The request.

    Raises:
        ReportError: where a word, a file or a number is wrong.
    """
    if weights not in WEIGHTS:
        raise ReportError(f"--weights: {weights!r} is not one of {', '.join(WEIGHTS)}" + nearest(weights, WEIGHTS))
    name, of = parse_name(name)
    if not abs(tau) <= LARGEST_TAU:
        raise ReportError(f"--tau: {tau} is not between -{LARGEST_TAU} and {LARGEST_TAU}; 1 is the usual adjustment")
    return MetricRequest(name, of, parse_prior(prior), tau, WEIGHTS[weights])


def parse_name(text: str) -> tuple[str, str]:
    """A metric's name, and what follows the colon. ReportError where there is no such metric."""
    name, colon, of = text.partition(":")
    if name not in DEFINITIONS:
        raise ReportError(f"--metric: there is no {name!r}" + nearest(name, DEFINITIONS))
    about = DEFINITIONS[name]
    if about.of == "share":
        if not 0 < _number(of) <= 1:
            raise ReportError(f"--metric: {name} is at a share from 0 to 1, as in {name}:0.9")
    elif colon and (about.of != "class" or not of):
        raise ReportError(f"--metric: {name} has no class" if of else f"--metric: a class follows {name}:")
    return name, of


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan


def predictions(
    store: StoreReader, outcome: TrialResult, tau: float = 0.0, weights: Weights = "last_ema"
) -> tuple[np.ndarray, np.ndarray]:
    """What was stored of a trial's images.

    Args:
        store: Where the arrays are.
        outcome: What came of the trial.
        tau: How many times log p_c is taken off the logits.
        weights: Those whose logits are asked for.

    Returns:
        The logits (N, C), as float64, and the labels (N,).

    Raises:
        StoreError: where the arrays are damaged or not there.
    """
    name = f"{store}/{paths.arrays(outcome.key)}"
    try:
        arrays = store.arrays(outcome.key, "la")  # last, last_ema, labels: not the history
    except FileNotFoundError as error:
        raise StoreError(f"{name} is missing: {WITHOUT_LOGITS}") from error
    logits, labels = arrays.get(weights), arrays.get("labels")
    classes = len(outcome.counts)
    if logits is None or labels is None or logits.shape != (len(labels), classes) or set(labels) != set(range(classes)):
        raise StoreError(f"{name} is damaged: it does not hold a row of {classes} logits for each label")
    shares = np.array(outcome.counts) / sum(outcome.counts)
    return logits.astype(float) - tau * np.log(shares), labels.astype(int)
