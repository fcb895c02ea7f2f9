"""mixup blends images and labels by one share, in CutMix's place."""

import pytest
import torch
from torch import nn

from tailboard.harness.training.random_streams import RandomStreams
from tailboard.methods.part import MethodError, Scene
from tailboard.methods.recipe import Recipe
from tailboard.methods.registry import recipe
from tailboard.methods.sampling.mixup import Mixup


def mixer(alpha: float):
    scene = Scene((3, 2), 10, nn.Identity(), torch.device("cpu"), RandomStreams(0), lambda _: nn.Identity())
    return Mixup(alpha).build(scene)


X = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 0, 0, 1, 1])


def test_each_image_is_its_share_of_itself_and_the_rest_of_the_image_whose_label_is_the_other():
    coded = Y[:, None, None, None] + torch.zeros_like(X)  # images that are their labels
    mixed = mixer(1.0)(coded, Y, 0)
    assert 0 < mixed.share < 1
    assert mixed.closed
    expected = mixed.share * Y + (1 - mixed.share) * mixed.other
    torch.testing.assert_close(mixed.x, expected[:, None, None, None].expand_as(X))
    assert torch.equal(mixed.other.sort().values, Y)  # partners are a permutation


def test_the_share_is_beta_distributed():
    mix = mixer(0.5)
    shares = torch.tensor([mix(X, Y, 0).share for _ in range(4000)])
    assert shares.mean().item() == pytest.approx(0.5, abs=5 * (0.125 / 4000) ** 0.5)  # variance 1 / (4 (2 alpha + 1))
    assert shares.var().item() == pytest.approx(0.125, rel=0.1)


def test_a_small_alpha_leaves_images_whole():
    mix = mixer(1e-6)
    assert all(min(share, 1 - share) < 1e-6 for share in (mix(X, Y, 0).share for _ in range(20)))


def test_alpha_0_is_erm(weights):
    erm, mixup = weights(Recipe()), weights(Recipe(mixer=Mixup(alpha=0.0)))
    assert all(torch.equal(erm[name], mixup[name]) for name in erm)


def test_a_resumed_run_goes_on_bit_for_bit(same_after_resume):
    same_after_resume(recipe("Mixup-DRW"), at=4)  # the epoch in which the weights start


def test_a_negative_alpha_is_refused():
    with pytest.raises(MethodError, match="at least 0"):
        Mixup(alpha=-1.0)
