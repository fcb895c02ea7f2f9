"""The names of the networks, for commands that build none: but for timm's names, nothing here imports torch."""

from __future__ import annotations

import re
from importlib.util import find_spec

from ...methods.names import nearest
from ..errors import NetworkError
from ..spec.learners import ESTIMATORS, TABLE_NETWORKS
from ..spec.presets import TORCHVISION

NETWORKS = {
    "small": "five convolutions, for a quick run on one core",
    **{f"small-{width}": f"the same, {width} times as wide" for width in (2, 3, 4)},
    **{f"resnet{6 * n + 2}": "CIFAR ResNet with option-A shortcuts, as in LDAM-DRW" for n in (3, 5, 7, 9, 18)},
    **{f"resnet{n}": "torchvision's, with a CIFAR stem" for n in (18, 34, 50)},
    "torchvision:resnext50_32x4d": "torchvision's, with its own stem, for images from about 100 pixels",
    "torchvision:resnet50": "the same of any ResNet, ResNeXt or wide ResNet there",
}


def check_name(name: str) -> tuple[int, int] | None:
    """Check that there is a network of a name.

    Returns:
        Of a WideResNet how many blocks each of its three stages has, and its width; None of any other network.

    Raises:
        NetworkError: where there is none, with the nearest right word.
    """
    wide = re.fullmatch(r"wrn-([0-9]{1,4})-([0-9]{1,4})", name)
    if wide:
        depth, width = int(wide[1]), int(wide[2])
        if depth < 10 or (depth - 4) % 6 or width < 1:
            raise NetworkError(
                f"wrn-{depth}-{width}: the depth must be 6n + 4 (10, 16, 22, 28, 40 ...), the width at least 1"
            )
        return (depth - 4) // 6, width
    library, _, inner = name.partition(":")
    if library == "timm":
        _check_timm(inner)
    elif name not in NETWORKS and (library != "torchvision" or inner not in TORCHVISION):
        known = [*NETWORKS, "wrn-28-10", *ESTIMATORS, *TABLE_NETWORKS, *(f"torchvision:{each}" for each in TORCHVISION)]
        raise NetworkError(f"unknown network {name!r}" + nearest(name, known))
    return None


def _check_timm(name: str) -> None:
    if find_spec("timm") is None:
        raise NetworkError(f'timm:{name}: timm is not installed: pip install "tailboard[timm]"')
    import timm  # imports torch

    if "." in name:
        raise NetworkError(
            f"timm:{name}: what stands behind the dot names weights, which are given as a file: "
            f"{{name: timm:{name.partition('.')[0]}, weights: FILE}}"
        )
    if not timm.is_model(name):
        raise NetworkError(f"unknown network 'timm:{name}'" + nearest(name, timm.list_models()))
