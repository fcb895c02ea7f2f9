"""What a plan warns of before anything trains: rows that will not be what their names say."""

from __future__ import annotations

import pytest

from tailboard.harness.planning.plan import Plan
from tailboard.harness.planning.summary import warnings
from tailboard.harness.spec.parser import parse

NEVER = "every class was drawn as often as it comes throughout"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("ImbSAM", "ImbSAM: no class is in the tail: none has fewer than 20 training images"),
        (
            {"name": "M2m", "values": {"mixer.relative": False}},
            "M2m (mixer.relative=False): images may hardly be accepted",
        ),
        (
            {"name": "Resampling", "values": {"sampler.start": 0.95}},
            "span 1.8 half-lives after the switch, fewer than 5",
        ),
        ({"name": "Resampling", "values": {"sampler.start": 0.99}}, f"Resampling (sampler.start=0.99): {NEVER}"),
        ({"name": "LDAM-DRW", "values": {"weights.start": 0.97}}, "every class weighed the same throughout"),
        (
            {"name": "cRT", "values": {"step.start": 0.7}},
            "balanced draws begin in different epochs, 21 and 24",
        ),
    ],
)
def test_a_row_that_will_not_act_is_foreseen(method, words):
    (said,) = warnings(Plan(spec_of(method)))
    assert words in said


def test_the_judge_is_of_the_routine_that_is_shared():
    """A method's own smoothing is not that of the ERM trial that M2m starts from."""
    m2m = {"name": "M2m", "values": {"mixer.relative": False}}
    assert warnings(Plan(spec_of(m2m | {"training": {"label_smoothing": 0}})))
    assert not warnings(Plan(spec_of(m2m, label_smoothing=0)))


def test_a_search_that_parts_a_new_head_from_its_balanced_draws_is_foreseen():
    (said,) = warnings(Plan(spec_of("cRT", tune={"trials": 4, "parameters": ["all"]})))
    assert "cRT: sampler.start and step.start are searched apart" in said
    assert not warnings(Plan(spec_of("cRT", tune={"trials": 4, "parameters": ["lr"]})))


@pytest.mark.parametrize("method", ["ERM", "M2m", "LDAM-DRW", "Resampling", "SAM-A", "cRT"])
def test_of_what_acts_nothing_is_said(method):
    assert warnings(Plan(spec_of(method))) == []


def spec_of(method, tune=None, **training):
    tuned = {"tune": tune} if tune else {}
    return parse(tuned | {"name": "w", "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 300},
                  "methods": [method], "network": "small", "seeds": 1,
                  "training": {"epochs": 30, "batch_size": 64} | training})  # fmt: skip
