"""The loop: the same numbers whatever interrupts it, the routine as written, and a stop where a loss is not finite."""

from __future__ import annotations

import gc
import io
import math
import subprocess
import sys
import weakref
from itertools import pairwise

import pytest
import torch

from small_spec import SMALL
from tailboard.harness.planning.calibration.estimates import loop_on_noise
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.testing.dry_run import dry_run
from tailboard.harness.testing.network_checks import difference, trained
from tailboard.harness.training.loop import Diverged
from tailboard.harness.training.random_streams import RandomStreams, initialisation
from tailboard.harness.training.schedule import ExponentialMovingAverage, learning_rate
from tailboard.methods.optimizers.sgd import EagerSGD
from tailboard.methods.part import Part
from tailboard.methods.recipe import Recipe
from tailboard.methods.registry import recipe
from tailboard.methods.sampling.balance import Resampling

FIVE = ["ERM", "Reweighting", "Resampling", "Focal Loss", "LDAM-DRW"]


def through_a_file(state):
    """What a checkpoint goes through: written, and read back without pickle."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("name", ["ERM", "M2m", "Joint-SSL + SAM-A"])
def test_a_training_that_is_let_go_is_gone_with_its_images(name):
    """Before Python looks for cycles: the next trial of the worker would begin beside them."""
    spec = parse(SMALL | {"methods": name})
    loop, _ = loop_on_noise(plan(spec)[0], torch.device("cpu"), {})
    loop.step_seconds(1, 1)
    held = [weakref.ref(each) for each in (loop, loop.model, loop.material, loop.optimizer)]
    gc.disable()
    try:
        del loop
        assert not any(each() for each in held)
    finally:
        gc.enable()


@pytest.mark.parametrize("name", FIVE)
def test_resuming_at_any_epoch_changes_no_bit(name):
    whole = trained(dry_run(recipe(name), epochs=4))
    for stop in (1, 3):
        first = dry_run(recipe(name), epochs=4)
        for _ in zip(range(stop), first.epochs(), strict=False):
            pass
        second = dry_run(recipe(name), epochs=4)
        second.restore(through_a_file(first.state()))
        trained(second)
        assert difference(whole, second) == 0
        assert [line["loss"] for line in second.history] == [line["loss"] for line in whole.history]
        assert torch.equal(whole.logits(whole.material.x), second.logits(second.material.x))


def test_the_optimizer_is_torchs_sgd_to_the_last_bit_and_goes_on_from_its_state():
    def descended(one, other):
        model, found = torch.nn.Linear(7, 3), []
        with torch.no_grad():
            for number, parameter in enumerate(model.parameters()):
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter) * (number + 1))
        about = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "fused": True}
        optimizer = one(model.parameters(), **about)
        for step in range(6):
            if step == 3:
                state = through_a_file(optimizer.state_dict())
                optimizer = other(model.parameters(), **about)
                optimizer.load_state_dict(state)
            optimizer.param_groups[0]["lr"] = 0.1 / (step + 1)
            optimizer.zero_grad()
            model(torch.full((4, 7), step + 0.3)).square().mean().backward()
            optimizer.step()
            found += [parameter.detach().clone() for parameter in model.parameters()]
        return found

    theirs = descended(torch.optim.SGD, torch.optim.SGD)
    for ours in (descended(EagerSGD, EagerSGD), descended(torch.optim.SGD, EagerSGD)):
        assert all(torch.equal(a, b) for a, b in zip(theirs, ours, strict=True))


TRAINS = """
import sys
import torch
from tailboard.harness.testing.dry_run import dry_run
from tailboard.methods.registry import recipe

torch.set_num_threads(1)
for name in ("ERM", "SAM-A"):
    loop = dry_run(recipe(name), counts=(60, 12), epochs=1)
    list(loop.epochs())
    loop.state()
assert loop.training.augment == "trivial_augment_wide"
print(*sys.modules)
"""


@pytest.mark.slow
def test_training_imports_neither_torchs_compiler_nor_torchvision():
    """Seconds of processor time and a hundred megabytes in every process that trains."""
    done = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True, check=True)
    assert not {"torch._dynamo", "torchvision", "sympy", "triton"} & set(done.stdout.split())


def test_the_seed_decides_and_torch_s_own_generator_does_not():
    torch.manual_seed(1)
    one = trained(dry_run(Recipe(), seed=5))
    torch.manual_seed(2)
    assert difference(one, trained(dry_run(Recipe(), seed=5))) == 0
    assert difference(one, trained(dry_run(Recipe(), seed=6))) > 0


def test_initialisation_leaves_torch_s_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with initialisation(0, "network"):
        torch.rand(100)
    assert torch.equal(torch.rand(4), expected)


def test_a_seed_starts_every_method_from_the_same_features():
    runs = [dry_run(recipe(name)) for name in FIVE]
    for run in runs[1:]:
        assert all(
            torch.equal(a, b)
            for a, b in zip(runs[0].model.features.parameters(), run.model.features.parameters(), strict=True)
        )


def test_a_seed_shows_every_method_the_same_order():
    erm, late = dry_run(Recipe()), dry_run(Recipe(sampler=Resampling(start=0.5)), epochs=4)
    for epoch in range(2):
        for run in (erm, late):
            run.streams.restart(epoch)
        assert torch.equal(erm.sampler(erm.labels, epoch), late.sampler(late.labels, epoch))


def test_streams_do_not_disturb_each_other():
    alone, beside = RandomStreams(0), RandomStreams(0)
    beside("views")
    torch.rand(7, generator=beside("views"))
    assert torch.equal(torch.rand(5, generator=alone("order")), torch.rand(5, generator=beside("order")))
    first = torch.rand(3, generator=alone("crop"))
    alone.restart(1)
    second = torch.rand(3, generator=alone("crop"))
    alone.restart(0)
    assert torch.equal(first, torch.rand(3, generator=alone("crop"))) and not torch.equal(first, second)


class Exploding(Part):
    """A loss that is not a number from the third step on."""

    def build(self, scene):
        steps = iter(range(10**6))
        return lambda logits, y, epsilon: logits.sum(1) * (math.nan if next(steps) >= 2 else 1.0)


def test_a_loss_that_is_not_finite_stops_and_says_where():
    with pytest.raises(Diverged, match=r"not finite at step 2: .*nan.*learning rate"):
        trained(dry_run(Recipe(loss=Exploding()), cutmix=0.0))


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_the_rate_warms_up_per_step_and_then_follows_its_schedule(schedule):
    training = dry_run(Recipe(), epochs=100, warmup_epochs=5, schedule=schedule, lr=0.1).training
    rates = [learning_rate(step, 10, training) for step in range(1001)]
    assert rates[0] == pytest.approx(0.1 / 50) and rates[49] == 0.1
    assert all(a < b for a, b in pairwise(rates[:50]))
    assert all(a >= b for a, b in pairwise(rates[49:]))
    assert rates[1000] == pytest.approx({"cosine": 0.0, "step": 1e-5, "constant": 0.1}[schedule], abs=1e-12)
    if schedule == "step":
        assert rates[799] == 0.1 and rates[800] == pytest.approx(1e-3) and rates[900] == pytest.approx(1e-5)


def test_the_average_follows_its_recursion_and_comes_and_goes():
    run = dry_run(Recipe())
    average, expected = ExponentialMovingAverage(run.model, 0.9), [p.detach().clone() for p in run.model.parameters()]
    for step in range(400):
        with torch.no_grad():
            for parameter in run.model.parameters():
                parameter.add_(torch.full_like(parameter, 0.01))
        average.update(step)
        decay = min(0.9, (1 + step) / (40 + step))
        expected = [decay * e + (1 - decay) * p.detach() for e, p in zip(expected, run.model.parameters(), strict=True)]
    own = [p.detach().clone() for p in run.model.parameters()]
    with average.swapped_in():
        for found, wanted in zip(run.model.parameters(), expected, strict=True):
            torch.testing.assert_close(found.detach(), wanted, rtol=1e-5, atol=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(own, run.model.parameters(), strict=True))


def test_without_an_average_the_last_weights_are_scored():
    run = trained(dry_run(Recipe(), ema=0.0))
    assert torch.equal(run.logits(run.material.x, averaged=True), run.logits(run.material.x, averaged=False))


def test_scoring_leaves_no_trace_in_training():
    quiet, looked_at = dry_run(Recipe(), epochs=3), dry_run(Recipe(), epochs=3)
    trained(quiet)
    for _ in looked_at.epochs():
        looked_at.logits(looked_at.material.x)
        looked_at.logits(looked_at.material.x, averaged=False)
    assert difference(quiet, looked_at) == 0


def test_the_accuracy_on_training_images_is_followed_and_changes_nothing():
    quiet, tracked = dry_run(Recipe(), epochs=5), dry_run(Recipe(), epochs=5, track="minority", track_every=2)
    trained(quiet)
    expected = {}
    for line in tracked.epochs():
        hits = (tracked.logits(tracked.material.x).argmax(1) == tracked.labels).double()
        rare = tracked.labels >= tracked.scene.classes - tracked.scene.classes // 2
        expected[line["epoch"]] = [100 * hits.mean().item(), 100 * hits[rare].mean().item()]
    assert difference(quiet, tracked) == 0
    found = {line["epoch"]: line for line in tracked.history if "train_accuracy" in line}
    assert [*found] == [1, 3, 4]
    for epoch, line in found.items():
        assert [line["train_accuracy"], line["train_accuracy_minority"]] == pytest.approx(expected[epoch])
    whole = trained(dry_run(Recipe(), epochs=1, track="all", track_every=9))
    assert "train_accuracy" in whole.history[0] and "train_accuracy_minority" not in whole.history[0]


def test_the_last_partial_batch_is_dropped_and_a_small_set_is_one_batch():
    assert dry_run(Recipe(), batch_size=14).steps_per_epoch == 45 // 14
    assert dry_run(Recipe(), batch_size=1000).steps_per_epoch == 1


def test_bfloat16_trains_and_is_another_trial():
    wide, narrow = trained(dry_run(Recipe())), trained(dry_run(Recipe(), precision="bfloat16"))
    assert math.isfinite(narrow.history[-1]["loss"]) and difference(wide, narrow) > 0


def test_it_learns():
    run = trained(dry_run(Recipe(), epochs=60, augment="none", crop_padding=0, cutmix=0.0, lr=0.05))
    assert (run.logits(run.material.x).argmax(1) == run.material.y).float().mean() > 0.9
