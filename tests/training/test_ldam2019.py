"""The routine ``ldam2019`` beside LDAM-DRW's script (cifar_train.py, resnet_cifar.py), written here once more."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tailboard.harness.registry.networks import network
from tailboard.harness.spec.presets import LDAM2019
from tailboard.harness.spec.schema import Training
from tailboard.harness.testing.dry_run import dry_run
from tailboard.harness.testing.network_checks import trained
from tailboard.harness.training.random_streams import initialisation
from tailboard.harness.training.schedule import learning_rate
from tailboard.methods.recipe import Recipe

WIDE = (torch.nn.Conv2d, torch.nn.Linear)
ROUTINE = Training(**LDAM2019)


def their_rate(epoch: int, epochs: int = 200) -> float:
    """adjust_learning_rate, with its 5, 160 and 180 of 200 epochs; ``epoch`` from 0."""
    if epoch < 5:
        return 0.1 * (epoch + 1) / 5
    return 0.1 * (0.0001 if epoch >= 0.9 * epochs else 0.01 if epoch >= 0.8 * epochs else 1)


def draw_anew(model: torch.nn.Module) -> None:
    """_weights_init: each convolution and linear layer from N(0, 2 / fan_in); biases as torch draws them."""
    for module in model.modules():
        if isinstance(module, WIDE):
            with torch.no_grad():
                module.weight.normal_(0, math.sqrt(2 / module.weight[0].numel()))


def test_the_learning_rate_is_the_scripts():
    steps = 85  # of 10,847 images in batches of 128, the last of 95
    for epoch in range(200):
        for step in (0, 1, steps - 1):
            assert learning_rate(epoch * steps + step, steps, ROUTINE) == pytest.approx(their_rate(epoch), rel=1e-12)


def test_the_weights_are_drawn_by_the_scripts_law():
    layers = [each for each in network("resnet32", 3, 100, "fan_in").modules() if isinstance(each, WIDE)]
    assert len(layers) == 32
    for layer in layers:
        weight, spread = layer.weight.detach(), math.sqrt(2 / layer.weight[0].numel())
        assert float(weight.std()) == pytest.approx(spread, rel=5 / math.sqrt(2 * weight.numel()))
        assert abs(float(weight.mean())) < 5 * spread / math.sqrt(weight.numel())
    torch.manual_seed(0)
    ours = network("resnet32", 3, 100, "fan_in")
    torch.manual_seed(0)
    theirs = network("resnet32", 3, 100)
    draw_anew(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.usefixtures("double")
def test_a_training_is_the_scripts():
    """Every step of ten epochs: the order is ours, the batches, their losses and what is done with them are theirs."""
    words = {"epochs": 10, "batch_size": 15, "crop_padding": 0, "flip": False}
    run = dry_run(Recipe(), counts=(24, 12, 6, 5), **(LDAM2019 | words))
    with initialisation(0, "network"):
        model = network("small", 1, 4)
        draw_anew(model)
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    sizes = []
    for epoch in range(10):
        run.streams.restart(epoch)
        for index in run.sampler(run.labels, epoch).split(15):
            sizes.append(len(index))
            x = run.material.normalised(run.material.x[index] / 255)
            loss = F.cross_entropy(model(x), run.labels[index])
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            with torch.no_grad():
                for p, v, g in zip(model.parameters(), velocity, gradients, strict=True):
                    v.mul_(0.9).add_(g + 2e-4 * p)
                    p.sub_(their_rate(epoch, 10) * v)
    assert sizes == [15, 15, 15, 2] * 10
    assert trained(run).steps_per_epoch == 4
    for ours, theirs in zip(run.model.parameters(), model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-11)
