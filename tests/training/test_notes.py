"""What a trial says of its parts: how far each acted, and what is remarked where one did not."""

from __future__ import annotations

from math import log2

import pytest

from tailboard.harness.spec.presets import T5
from tailboard.harness.spec.schema import Training
from tailboard.harness.testing.dry_run import dry_run
from tailboard.harness.testing.network_checks import trained
from tailboard.harness.training.notes import remarks, summary
from tailboard.harness.training.schedule import half_lives
from tailboard.methods.recipe import Recipe
from tailboard.methods.registry import recipe
from tailboard.methods.sampling.balance import DeferredResampling
from tailboard.methods.sampling.m2m import M2m

TRAINING = Training(**(T5 | {"precision": "float32", "epochs": 10}))


def said(made: Recipe, **about) -> tuple[dict[str, float], tuple[str, ...]]:
    run = trained(dry_run(made, **about))
    notes = summary(run.history, run.recipe, run.training, run.steps_per_epoch)
    return notes, remarks(notes, run.recipe)


def test_erm_has_nothing_to_say():
    assert said(Recipe()) == ({}, ())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "values", "remark"),
    [
        ("Reweighting", {"weights.beta": 0.0}, "every class weighed the same throughout"),
        ("LDAM-DRW", {"weights.start": 1.0}, "every class weighed the same throughout"),
        ("Resampling", {"sampler.q": 1.0}, "every class was drawn as often as it comes throughout"),
        ("cRT", {"step.start": 1.0}, "the head was never re-trained"),
        ("ImbSAM", {"step.eta": 2.0}, "no class is in the tail"),
        ("M2m", {"mixer.gamma": 1.0, "mixer.steps": 0, "mixer.relative": False}, "no image was accepted"),
    ],
)
def test_a_part_that_did_not_act_is_remarked(name, values, remark):
    idle, acting = (said(recipe(name).tuned(some), epochs=10) for some in (values, {}))
    assert remark in idle[1]
    assert remark not in acting[1]


@pytest.mark.slow
def test_what_is_known_beforehand_is_what_came():
    """Of parts whose condition is the data's or the spec's, not the training's."""
    counts = (24, 12, 6, 3)
    for name, values in (("Reweighting", {"weights.beta": 0.0}), ("Resampling", {"sampler.q": 1.0}),
                         ("ImbSAM", {"step.eta": 2.0}), ("M2m", {"mixer.beta": 1.0}), ("cRT", {})):  # fmt: skip
        made = recipe(name).tuned(values)
        foreseen = [part.foreseen(counts, 0.0) for part in made.parts().values()]
        found = said(made, epochs=10)[1]
        assert [word.partition(":")[0] for word in foreseen if word] == list(found), name


def test_m2m_is_at_risk_where_smoothing_keeps_its_judge_below_an_absolute_gamma():
    assert "label smoothing draws g to 0.91" in M2m(gamma=0.95, relative=False).foreseen((500, 5) + (9,) * 8, 0.1)
    assert "draws g to 0.901 at most" in M2m(relative=False).foreseen((500,) + (5,) * 99, 0.1)
    assert M2m(relative=False).foreseen((500, 5), 0.0) == ""
    assert M2m(gamma=0.95).foreseen((500, 5), 0.1) == ""


def test_notes_are_means_over_the_epochs_that_have_them():
    made = Recipe(sampler=DeferredResampling())
    history = [{"epoch": e, "loss": 1.0, "sampler.acted": float(e >= 8)} for e in range(10)]
    history[9]["sampler.more"] = 0.5
    notes = summary(history, made, TRAINING, 10)
    assert notes["sampler.acted"] == 0.2
    assert notes["sampler.more"] == 0.5
    by_hand = -sum(log2(min(0.999, (1 + t) / (40 + t))) for t in range(80, 100))
    assert notes["half_lives"] == pytest.approx(by_hand)
    assert remarks(notes, made) == ()


@pytest.mark.parametrize(("epoch", "ema", "expected"), [(0, 0.999, None), (8, 0.0, None), (10, 0.999, None)])
def test_only_a_switch_of_averaged_weights_has_half_lives(epoch, ema, expected):
    history = [{"epoch": e, "loss": 1.0, "sampler.acted": float(e >= epoch)} for e in range(10)]
    made = Recipe(sampler=DeferredResampling())
    assert summary(history, made, TRAINING.model_copy(update={"ema": ema}), 10).get("half_lives") == expected


def test_a_late_switch_is_remarked_and_none_up_to_nine_tenths_is():
    history = [{"epoch": e, "loss": 1.0, "sampler.acted": float(e >= 95)} for e in range(100)]
    made = Recipe(sampler=DeferredResampling())
    (late,) = remarks(summary(history, made, TRAINING, 10), made)
    assert late == "the averaged weights span 2.8 half-lives after the switch, fewer than 5"
    for total in (400, 2000, 25200):
        assert half_lives(int(0.9 * total), total, 0.999) > 5
