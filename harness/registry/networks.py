"""Networks by name: ``wrn-28-10`` (any depth and width), ``resnet20`` to ``resnet110`` (the CIFAR ones),
``resnet18``/``resnet34``/``resnet50`` (torchvision's, with a CIFAR stem) and ``small``, up to four times as wide
(``small-4``); for large images ``torchvision:NAME`` and ``timm:NAME``, as those libraries have them.

Each is features and a head. ``width`` is the number of features that the head gets.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import NetworkError
from .network_names import check_name


class Network(nn.Module):
    """``features`` maps images (B, channels, H, W) to (B, width); ``head`` maps those to logits (B, classes)."""

    def __init__(self, features: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.features = features
        self.width = width
        self.head: nn.Module = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, classes) of images (B, channels, H, W)."""
        return self.head(self.features(x))


def network(name: str, channels: int, classes: int, init: str | None = None) -> Network:
    """Build a network, initialised from torch's global generator.

    Args:
        name: Its name.
        channels: Of the images.
        classes: How many logits it has.
        init: ``fan_in`` draws every convolution and linear layer by Kaiming's normal law of the layer's inputs (He et
            al. 2015, arXiv 1502.01852), as LDAM-DRW's resnet_cifar.py does; None leaves each to the network's own law.

    Returns:
        The network, in training mode.

    Raises:
        NetworkError: for an unknown name.
    """
    built = _built(name, channels, classes)
    for module in built.modules() if init == "fan_in" else ():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight)
    return built


def _built(name: str, channels: int, classes: int) -> Network:
    wide = check_name(name)
    library, _, inner = name.partition(":")
    if library in _LIBRARIES:
        return Network(*_LIBRARIES[library](inner, channels), classes)
    return Network(*(_wide_resnet(channels, *wide) if wide else _BUILDERS[name](channels)), classes)


def check_shape(name: str, shape: tuple[int, ...]) -> None:
    """NetworkError where a network does not take images of a shape (channels, height, width). Nothing is computed."""
    try:
        with torch.device("meta"), torch.no_grad():
            network(name, shape[0], 2).eval()(torch.empty(1, *shape))
    except (RuntimeError, AssertionError, ValueError, TypeError) as error:
        if isinstance(error, NetworkError):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        size = f"{shape[2]}x{shape[1]} pixels in {shape[0]} channels"
        raise NetworkError(f"{name} does not take images of {size} ({reason}): see data.size") from None


def parameters(name: str, channels: int, classes: int) -> int:
    """How many numbers a network learns, counted without memory for them.

    Args:
        name: Its name.
        channels: Of the images.
        classes: How many logits it has.

    Raises:
        NetworkError: for an unknown name.
    """
    with torch.device("meta"):
        return sum(each.numel() for each in network(name, channels, classes).parameters())


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


class _PreActivation(nn.Module):
    """A pre-activation basic block (Zagoruyko and Komodakis 2016, arXiv 1605.07146)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(inputs), _conv(inputs, outputs, stride)
        self.norm2, self.conv2 = nn.BatchNorm2d(outputs), _conv(outputs, outputs)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            nn.init.kaiming_normal_(self.shortcut.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        active = F.relu(self.norm1(x), inplace=True)
        skip = x if self.shortcut is None else self.shortcut(active)
        return skip + self.conv2(F.relu(self.norm2(self.conv1(active)), inplace=True))


class _Basic(nn.Module):
    """A basic block whose shortcut subsamples and pads with zeros, option A (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = _conv(inputs, outputs, stride), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = _conv(outputs, outputs), nn.BatchNorm2d(outputs)
        self.stride, self.more = stride, outputs - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)), inplace=True)))
        if self.more:
            half = self.more // 2
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, half, self.more - half))
        return F.relu(out + x, inplace=True)


def _stages(block: type[nn.Module], widths: list[int], blocks: int) -> list[nn.Module]:
    """Three stages of ``blocks`` blocks; the second and the third halve the resolution."""
    stages = []
    for stage in range(3):
        for index in range(blocks):
            inputs = widths[stage] if index == 0 else widths[stage + 1]
            stages.append(block(inputs, widths[stage + 1], 2 if stage > 0 and index == 0 else 1))
    return stages


def _pooled(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _wide_resnet(channels: int, blocks: int, width: int) -> tuple[nn.Module, int]:
    widths = [16, 16 * width, 32 * width, 64 * width]
    body = _stages(_PreActivation, widths, blocks)
    return _pooled(_conv(channels, 16), *body, nn.BatchNorm2d(widths[3]), nn.ReLU(inplace=True)), widths[3]


def _cifar_resnet(blocks: int) -> Callable[[int], tuple[nn.Module, int]]:
    def build(channels: int) -> tuple[nn.Module, int]:
        body = _stages(_Basic, [16, 16, 32, 64], blocks)
        return _pooled(_conv(channels, 16), nn.BatchNorm2d(16), nn.ReLU(inplace=True), *body), 64

    return build


def _with_small_stem(name: str) -> Callable[[int], tuple[nn.Module, int]]:
    def build(channels: int) -> tuple[nn.Module, int]:
        net, width = _torchvision(name, 3)
        # the CIFAR stem: 3x3, stride 1, no pooling
        net.conv1, net.maxpool = _conv(channels, 64), nn.Identity()
        return net, width

    return build


def rows_network(features: int, classes: int, width: int, depth: int, dropout: float) -> Network:
    """A network for rows (B, features): hidden layers with BatchNorm and ReLU, initialised from torch's generator.

    Args:
        features: The numbers of an encoded row.
        classes: The classes.
        width: Units of each hidden layer.
        depth: Hidden layers.
        dropout: The share of units that is left out at each step.
    """
    layers: list[nn.Module] = []
    for inputs in [features, *[width] * (depth - 1)]:
        layers += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
        layers += [nn.Dropout(dropout)] if dropout else []
    return Network(nn.Sequential(*layers), width, classes)


def _torchvision(name: str, channels: int) -> tuple[Any, int]:
    import torchvision

    net: Any = getattr(torchvision.models, name)(weights=None)
    if channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, padding=3, bias=False)
        nn.init.kaiming_normal_(net.conv1.weight, mode="fan_out", nonlinearity="relu")
    width = net.fc.in_features
    net.fc = nn.Identity()
    return net, width


def _timm(name: str, channels: int) -> tuple[Any, int]:
    import timm

    net: Any = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=0)
    return net, getattr(net, "head_hidden_size", net.num_features)  # before the classifier there may be a layer more


def _small(channels: int, width: int = 1) -> tuple[nn.Module, int]:
    """Five convolutions, 16 to 64 channels or so many times as many, three of them strided: trains in seconds on one
    core."""
    layers: list[nn.Module] = []
    widths = [channels, *(width * each for each in (16, 32, 32, 64, 64))]
    for index, (inputs, outputs) in enumerate(pairwise(widths)):
        layers += [
            _conv(inputs, outputs, 2 if index in (0, 2, 4) else 1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return _pooled(*layers), widths[-1]


_BUILDERS: dict[str, Callable[[int], tuple[nn.Module, int]]] = {
    "small": _small,
    **{f"small-{width}": partial(_small, width=width) for width in (2, 3, 4)},
    **{f"resnet{6 * n + 2}": _cifar_resnet(n) for n in (3, 5, 7, 9, 18)},
    **{f"resnet{n}": _with_small_stem(f"resnet{n}") for n in (18, 34, 50)},
}
_LIBRARIES: dict[str, Callable[[str, int], tuple[nn.Module, int]]] = {"torchvision": _torchvision, "timm": _timm}
