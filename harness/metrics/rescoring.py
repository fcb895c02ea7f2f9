"""Any metric from the stored logits, without training: at any test prior, with the logits adjusted after the fact.

Each test image of class c weighs pi_c / n_c, where pi is the prior that is asked for and n_c the test images of the
class: what the metric would be on a test set in which the classes are so frequent. F1 and AUROC are scikit-learn's,
with these weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...leaderboard.metric import ACCURACY, GROUPS, Metric
from ...methods.names import nearest
from ...methods.text_file import read_text
from ..errors import ReportError, StoreError
from ..spec.schema import Shots, Trial
from ..storage.reader import StoreReader
from ..storage.record import TrialResult, Weights
from .scores import BINS, class_number, per_class_accuracy, score_groups
from .shots import class_members, shot_means

TEXTS = {
    "balanced_accuracy": ACCURACY.text,
    "accuracy": "Accuracy in percent",
    "macro_f1": "F1 of each class in percent, averaged over the classes of each group",
    "worst_class": "Accuracy of the worst class of each group in percent",
    "recall": "Accuracy on the class {of} in percent",
    "auroc": "Area under the ROC curve, each class against the rest, in percent: mean over the classes of each group",
    "ece": f"Expected calibration error in percent of the images of each group ({BINS} bins of equal width)",
    "nll": "Negative log-likelihood in nats of the images of each group",
}
LARGEST_TAU = 100  # of the log of a share that is 10 at most: far beyond any logit
LESS_IS_BETTER = ("ece", "nll")
WEIGHTS: dict[str, Weights] = {"ema": "last_ema", "last": "last"}
NOT_AVERAGED = "as they were at the end, not averaged"
BLIND = ("balanced_accuracy", "worst_class", "recall")  # what each class's own images decide, at any prior


@dataclass(frozen=True)
class MetricRequest:
    """A metric by its name, of the class ``of`` where it is ``recall``; the prior, a share for each class or one of two
    words; tau, by which the log of each class's training share is taken off its logit (Menon et al. 2021); and whether
    it is of the moving average of the last weights or of those themselves."""

    name: str = "balanced_accuracy"
    of: str = ""
    prior: str | tuple[float, ...] = "balanced"
    tau: float = 0.0
    weights: Weights = "last_ema"

    @property
    def metric(self) -> Metric:
        """Where neither prior nor tau changes anything, balanced accuracy is the table's own metric."""
        own = self.name == ACCURACY.name and not self.tau and self.weights == "last_ema"
        return ACCURACY if own else Metric(
            ", ".join([":".join(filter(None, [self.name, self.of])), *self._words]),
            " ".join([TEXTS[self.name].format(of=self.of), *(f"({word})" for word in self._words)]),
            larger_is_better=self.name not in LESS_IS_BETTER,
            **({} if self.weights == "last_ema" else {"weights": NOT_AVERAGED}),
            **({"top": np.inf, "digits": 3, "unit": "nats", "kind": "number of nats"} if self.name == "nll" else {}),
        )  # fmt: skip

    @property
    def _words(self) -> list[str]:
        shares = self.prior if isinstance(self.prior, str) else "shares " + " ".join(f"{p:.4g}" for p in self.prior)
        prior = [] if self.name in BLIND or shares == "balanced" else [f"test prior: {shares}"]
        adjusted = [f"post-hoc logit adjustment, tau = {self.tau:g}"] if self.tau else []
        return prior + adjusted + ([] if self.weights == "last_ema" else [f"weights: {self.weights}"])

    @property
    def groups(self) -> tuple[str, ...]:
        """The shot groups that the metric is shown for; the recall of one class has none but ``all``."""
        return ("all",) if self.name == "recall" else GROUPS

    def measured(self, store: StoreReader, trial: Trial, outcome: TrialResult, by: Shots) -> dict[str, float]:
        """The metric of a trial.

        Args:
            store: Where its arrays are.
            trial: What was trained.
            outcome: What came of it.
            by: How the classes are grouped.

        Returns:
            The metric of each group that has classes.

        Raises:
            StoreError: where the arrays are damaged or not there.
            ReportError: where the prior does not fit the classes.
        """
        if self.name == ACCURACY.name and not self.tau and self.weights in outcome.accuracy:
            return shot_means(outcome, by, self.weights)
        logits, labels = predictions(store, outcome, self.tau, self.weights)
        if self.name == "recall":
            return {"all": per_class_accuracy(logits, labels)[class_number(self.of, trial.data)]}
        members = {group: at for group, at in class_members(outcome.counts, by).items() if at}
        return score_groups(self.name, logits, labels, members, self._shares(outcome.counts))

    def _shares(self, counts: tuple[int, ...]) -> np.ndarray:
        shares = {"balanced": (1.0,) * len(counts), "train": counts}.get(self.prior, self.prior)  # pyright: ignore
        if len(shares) != len(counts):
            raise ReportError(f"--prior: {len(shares)} shares are given, and a data set here has {len(counts)} classes")
        return np.array(shares, dtype=float) / sum(shares)


def parse_metric(name: str, prior: str, tau: float, weights: str = "ema") -> MetricRequest:
    """What the command line asks for.

    Args:
        name: A metric of TEXTS, such as ``macro_f1``; ``recall:CLASS`` names its class.
        prior: ``balanced``, ``train``, or a file with a share for each class.
        tau: The strength of post-hoc logit adjustment; 0 leaves the logits as they are.
        weights: Those that are scored, one of WEIGHTS.

    Returns:
        The request.

    Raises:
        ReportError: where a word, a file or a number is wrong.
    """
    if weights not in WEIGHTS:
        raise ReportError(f"--weights: {weights!r} is not one of {', '.join(WEIGHTS)}" + nearest(weights, WEIGHTS))
    name, _, of = name.partition(":")
    if name not in TEXTS:
        raise ReportError(f"--metric: there is no {name!r}" + nearest(name, TEXTS))
    if bool(of) != (name == "recall"):
        raise ReportError(
            "--metric: name one class, as in recall:3" if name == "recall" else f"--metric: {name} has no class"
        )
    if not abs(tau) <= LARGEST_TAU:
        raise ReportError(f"--tau: {tau} is not between -{LARGEST_TAU} and {LARGEST_TAU}; 1 is the usual adjustment")
    shares = prior if prior in ("balanced", "train") else _read(prior)
    return MetricRequest(name, of, shares, tau, WEIGHTS[weights])


def _read(file: str) -> tuple[float, ...]:
    try:
        shares = tuple(float(word) for word in read_text(Path(file)).replace(",", " ").split())
    except (OSError, ValueError) as error:
        raise ReportError(f"--prior: balanced, train, or a file with a number for each class: {error}") from error
    if not shares or not (min(shares) > 0 and sum(shares) < np.inf):
        raise ReportError(f"--prior: every number in {file} must be above 0")
    return shares


def predictions(
    store: StoreReader, outcome: TrialResult, tau: float = 0.0, weights: Weights = "last_ema"
) -> tuple[np.ndarray, np.ndarray]:
    """What a trial's network said of the test images.

    Args:
        store: Where the arrays are.
        outcome: The trial.
        tau: The strength of post-hoc logit adjustment.
        weights: Whose logits.

    Returns:
        The stored logits (N, C), as float64 and less tau log p_c, and the labels (N,).

    Raises:
        StoreError: where the record is complete and its arrays are damaged or not there.
    """
    name = f"{store}/arrays/{outcome.key}.npz"
    try:
        arrays = store.arrays(outcome.key, "la")  # last, last_ema, labels: not the history
    except FileNotFoundError as error:
        raise StoreError(
            f"{name} is missing: without its logits only the accuracies of the record are known"
        ) from error
    logits, labels = arrays.get(weights), arrays.get("labels")
    classes = len(outcome.counts)
    if logits is None or labels is None or logits.shape != (len(labels), classes) or set(labels) != set(range(classes)):
        raise StoreError(f"{name} is damaged: it does not hold a row of {classes} logits for each label")
    shares = np.array(outcome.counts) / sum(outcome.counts)
    return logits.astype(float) - tau * np.log(shares), labels.astype(int)
