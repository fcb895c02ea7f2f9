"""Networks by name: the sizes that the literature gives, shapes, and messages for names that are not there."""

from __future__ import annotations

import pytest
import torch

from tailboard.harness.errors import NetworkError
from tailboard.harness.registry.network_names import NETWORKS, check_name
from tailboard.harness.registry.networks import network


@pytest.mark.parametrize(
    ("name", "millions"),
    [("resnet20", 0.27), ("resnet32", 0.46), ("resnet44", 0.66), ("resnet56", 0.85), ("resnet110", 1.7),
     ("wrn-28-10", 36.5), ("wrn-16-4", 2.75), ("resnet18", 11.17), ("resnet34", 21.28), ("resnet50", 23.5),
     ("torchvision:resnext50_32x4d", 23.0), ("torchvision:resnet152", 58.2)],
)  # fmt: skip
def test_as_many_parameters_as_the_literature_says(name, millions):
    parameters = sum(p.numel() for p in network(name, 3, 10).parameters())
    assert parameters / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NETWORKS, "wrn-10-1"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32)])
def test_images_of_any_size_become_one_logit_a_class(name, channels, size):
    model = network(name, channels, 7).eval()
    x = torch.rand(2, channels, size, size)
    with torch.no_grad():
        assert model.features(x).shape == (2, model.width)
        assert model(x).shape == (2, 7)


def test_the_wide_resnet_sees_at_full_resolution_until_its_second_stage():
    features = network("wrn-16-2", 3, 10).features
    x = torch.rand(1, 3, 32, 32)
    sizes = []
    for layer in features:
        x = layer(x)
        if x.dim() == 4:
            sizes.append(x.shape[-1])
    assert sizes[:3] == [32, 32, 32] and sizes[-3] == 8


@pytest.mark.parametrize(
    ("name", "hint"),
    [("resnet33", "resnet34|resnet32"), ("wrn-28", "wrn-28-10"), ("wrn-27-10", "6n"), ("wrn-28-0", "at least 1"),
     ("smal", "small"), ("torchvision:resnet51", "torchvision:resnet50"), ("timm:resnet51", "did you mean .resnet5"),
     ("timm:resnet50.a1_in1k", "weights: FILE")],
)  # fmt: skip
def test_a_name_that_is_not_there_meets_the_nearest_one(name, hint):
    for refuse in (check_name, lambda n: network(n, 3, 10)):
        with pytest.raises(NetworkError, match=hint):
            refuse(name)
