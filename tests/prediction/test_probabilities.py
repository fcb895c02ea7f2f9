"""Probabilities are calibrated, at the prior of the place where a model is used."""

import numpy as np
import pytest
from scipy.special import softmax

from tailboard.harness.errors import ModelError
from tailboard.harness.metrics.prior import parse_prior
from tailboard.harness.prediction.probabilities import fitted, prior_shares, probabilities

COUNTS = (900, 90, 10)
SHARES = np.array(COUNTS) / sum(COUNTS)


def images(per_class, temperature, carried, seed=0):
    """Scores of a network that is right about each image's likelihoods, but for a temperature and a prior."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), per_class)
    means = 1.5 * np.eye(3)
    x = means[labels] + rng.normal(size=(len(labels), 3))
    likelihoods = -((x[:, None] - means) ** 2).sum(axis=2) / 2
    return temperature * (likelihoods + carried * np.log(SHARES)), labels


@pytest.mark.parametrize(("temperature", "carried"), [(1, 1), (3, 1), (0.5, 0), (2, 0.5)])
def test_temperature_and_prior_are_found(temperature, carried):
    """Of a network such as ERM's, whose scores carry the training prior, and one that is trained as if balanced."""
    assert fitted(*images(4000, temperature, carried), COUNTS) == pytest.approx(
        (temperature, carried), rel=0.1, abs=0.05
    )


def test_a_few_images_that_are_all_told_apart_make_no_certainty():
    logits = np.array([[9.0, 0, 0], [0, 9, 0], [0, 0, 9]])
    temperature, _ = fitted(logits, np.arange(3), COUNTS)
    assert 0.4 < temperature < 1.5


def test_classes_that_are_even_tell_nothing_of_the_prior():
    assert fitted(*images(500, 2, 0), (5, 5, 5))[1] == 1


def test_the_prior_of_another_place_is_that_of_bayes():
    """At each prior the probabilities are right: where they say p, a share of p is of the class."""
    logits, labels = images(20_000, 2, 0.7)
    at = fitted(logits, labels, COUNTS)
    for shares in (prior_shares("balanced", "abc", COUNTS), prior_shares("train", "abc", COUNTS), (0.1, 0.2, 0.7)):
        each = probabilities(logits, *at, COUNTS, shares)
        weights = np.array(shares)[labels]
        for label in range(3):
            sure = (each[:, label] > 0.4) & (each[:, label] < 0.6)
            assert np.average(labels[sure] == label, weights=weights[sure]) == pytest.approx(0.5, abs=0.03)
    assert np.allclose(probabilities(logits, 1, 0.7, COUNTS, None), softmax(logits, axis=1))


def test_a_class_that_never_occurs_is_never_said():
    each = probabilities(np.zeros((2, 3)), 1, 1, COUNTS, prior_shares("a=0,b=1,c=1", "abc", COUNTS))
    assert (each[:, 0] == 0).all() and np.isfinite(each).all()
    assert np.allclose(prior_shares({"a": 1, "b": 1, "c": 2}, "abc", COUNTS), (0.25, 0.25, 0.5))


def test_the_name_of_a_class_may_hold_commas_and_equals_signs():
    text, classes = "cat, small=0.5,a=b=1,dog=0.5", ("cat, small", "a=b", "dog")
    assert prior_shares(text, classes, COUNTS) == (0.25, 0.5, 0.25)
    assert np.allclose(parse_prior(text).of(classes, COUNTS, COUNTS), (0.25, 0.5, 0.25))
    for words in ("cat, small", "cat, small=1,a"):
        with pytest.raises(ModelError, match="CLASS=SHARE"):
            prior_shares(words, classes, COUNTS)
