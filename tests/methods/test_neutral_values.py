"""At its neutral values every method is ERM bit for bit, through the whole loop; at its defaults it is not.

ERM is trained without label smoothing here: a smoothing part, or a loss that asks for none, replaces the routine's.
"""

import pytest
import torch

from tailboard.harness.testing.dry_run import dry_run
from tailboard.harness.testing.network_checks import difference, trained
from tailboard.methods.losses.logit_adjustment import LogitAdjustment, TauNormalisation
from tailboard.methods.losses.smoothing import Smoothing
from tailboard.methods.recipe import Recipe
from tailboard.methods.registry import recipe, registry


def neutral(name):
    """The values under which all parts of a method are neutral, or None where a part has none."""
    parts = recipe(name).parts()
    if any(part.neutral is None for part in parts.values()):
        return None
    return {f"{slot}.{key}": value for slot, part in parts.items() for key, value in part.neutral.items()}


NEUTRAL = {name: values for name in registry() if (values := neutral(name))}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def after(epochs, made, **training):
    return trained(dry_run(made, epochs=epochs, warmup_epochs=0.5, **training))


def same_logits(one, other):
    return torch.equal(one.logits(one.material.x), other.logits(other.material.x))


@pytest.fixture(scope="module")
def erm():
    return {epochs: after(epochs, Recipe()) for epochs in (2, 5)}


@pytest.mark.parametrize("name", NEUTRAL)
def test_neutral_values_are_erm(name, erm):
    run = after(2, recipe(name).tuned(NEUTRAL[name]))
    assert difference(run, erm[2]) == 0
    assert same_logits(run, erm[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", NEUTRAL)
def test_default_values_are_not(name, erm):
    """After five epochs, of which the last is a fifth of training, in which deferred methods begin."""
    assert not same_logits(after(5, recipe(name)), erm[5])


def test_uniform_smoothing_is_the_routine_s_own():
    routine = after(2, Recipe(), label_smoothing=0.1)
    part = after(2, Recipe(smoothing=Smoothing("uniform", 0.1)), label_smoothing=0.3)
    assert difference(part, routine) == 0


@pytest.mark.parametrize("part", [LogitAdjustment(), TauNormalisation()])
def test_what_happens_at_the_end_leaves_training_alone(part, erm):
    assert difference(after(2, Recipe(finish=part)), erm[2]) == 0
