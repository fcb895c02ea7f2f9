"""From logits to probabilities: a temperature, and the prior of the place where a model is used.

A network's scores carry the class prior that it was trained under, more or less: those of ERM all of it, those of a
method that reweights its classes little. With training shares p and scores z, two numbers describe a model: the
temperature T, and the power ``carried_prior`` a with which p is in its scores. softmax(z / T - a log p) are then the
probabilities where all classes are as frequent, and softmax(z / T - a log p + log q) those where their shares are q.

Source: Guo et al. 2017 (arXiv 1706.04599) for the temperature; Saerens, Latinne and Decaestecker 2002 for the change of
the prior. That a is measured, and not taken to be 1, is our choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from ...methods.names import nearest
from ..errors import ModelError
from ..metrics.prior import named_shares

LOWEST, HIGHEST = math.log(0.05), math.log(20)  # of the temperature's logarithm
MOST_CARRIED = 1.5
PRIORS = ("balanced", "train")


def fitted(logits: np.ndarray, labels: np.ndarray, counts: Sequence[int]) -> tuple[float, float]:
    """The temperature and the carried prior under which validation images are most likely, all classes as frequent.

    The squared logarithm of the temperature is added to the negative log-likelihood of all images: a few that are all
    told apart would make it 0 otherwise.

    Args:
        logits: Of validation images (N, C).
        labels: Their classes (N,).
        counts: The training images of each class (C,).
    """
    log_shares = np.log(np.array(counts) / sum(counts))
    present = np.bincount(labels, minlength=len(counts))
    weights = len(labels) / np.count_nonzero(present) / present[labels]
    rows = np.arange(len(labels))

    def loss(at: np.ndarray) -> float:
        scores = log_softmax(logits.astype(float) / math.exp(at[0]) - at[1] * log_shares, axis=1)
        return float(-(weights * scores[rows, labels]).sum() + at[0] ** 2)

    uneven = len(set(counts)) > 1
    bounds = [(LOWEST, HIGHEST), (0.0, MOST_CARRIED) if uneven else (1.0, 1.0)]
    found = minimize(loss, np.array([0.0, 0.5 if uneven else 1.0]), bounds=bounds, method="L-BFGS-B").x
    return round(math.exp(found[0]), 4), round(float(found[1]), 4)


def probabilities(
    logits: np.ndarray, temperature: float, carried_prior: float, counts: Sequence[int], prior: Sequence[float] | None
) -> np.ndarray:
    """Class probabilities (N, C).

    Args:
        logits: Of the images (N, C).
        temperature: By which logits are divided.
        carried_prior: The power with which the training shares are in them.
        counts: The training images of each class (C,).
        prior: The shares (C,) where the model is used; None leaves what the scores carry.
    """
    scores = logits.astype(float) / temperature
    if prior is not None:
        with np.errstate(divide="ignore"):  # what never occurs has the logarithm -inf
            scores = scores - carried_prior * np.log(np.array(counts) / sum(counts)) + np.log(prior)
    return np.exp(log_softmax(scores, axis=1))


def prior_shares(
    asked: str | Mapping[str, float] | None, classes: Sequence[str], counts: Sequence[int]
) -> tuple[float, ...] | None:
    """The share of each class (C,) that is asked for; None where nothing is.

    Args:
        asked: ``balanced``, ``train`` (as in training), ``CLASS=SHARE,CLASS=SHARE,...`` or the same as a mapping.
        classes: The classes.
        counts: The training images of each.

    Raises:
        ModelError: for another word, a class that is unknown or left out, or a share that is none.
    """
    if asked is None:
        return None
    if asked == "balanced":
        return (1 / len(classes),) * len(classes)
    if asked == "train":
        return tuple(n / sum(counts) for n in counts)
    shares = _parsed(asked) if isinstance(asked, str) else dict(asked)
    if unknown := next((name for name in shares if name not in classes), None):
        raise ModelError(f"prior: the model has no class {unknown!r}" + nearest(unknown, classes))
    if absent := [name for name in classes if name not in shares]:
        raise ModelError(f"prior: a share is missing of {', '.join(absent[:5])}" + " and others" * (len(absent) > 5))
    total = sum(shares.values())
    if min(shares.values()) < 0 or not 0 < total < math.inf:
        raise ModelError("prior: shares are at least 0, and not all of them 0")
    return tuple(shares[name] / total for name in classes)


def _parsed(text: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for name, share in named_shares(text):
        if not share:
            raise ModelError(
                f"prior: {', '.join(PRIORS)} or CLASS=SHARE,... is expected, not {name!r}" + nearest(name, PRIORS)
            )
        if name in shares:
            raise ModelError(f"prior: {name!r} stands twice")
        try:
            shares[name] = float(share)
        except ValueError:
            raise ModelError(f"prior: the share of {name!r} is a number, not {share!r}") from None
    return shares
