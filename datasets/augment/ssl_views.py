"""The augmented views that joint self-supervised learning compares: solo-learn's recipe for VICReg on CIFAR.

Source: solo-learn, ``scripts/pretrain/cifar/vicreg.yaml`` (arXiv 2108.01775): a random resized crop, colour jitter,
greyscale, solarisation and a flip, in that order, with no blur. Two things differ: the crop is resized bilinearly,
and the jitter's four steps keep one order (brightness, contrast, saturation, hue) where torchvision shuffles them.
The generator is on the CPU, wherever the batch is (see ``datasets.augment``).
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from .basic import random_flip
from .resized_crop import draw_boxes, resize_boxes
from .trivial_augment import greyscale

_LEAST = 0.2  # share of the area
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 0.4, 0.4, 0.2, 0.1
_JITTER, _GREYSCALE, _SOLARIZE = 0.8, 0.2, 0.1  # probabilities


def ssl_view(x: Tensor, generator: Generator) -> Tensor:
    """One random view of each image; two calls with one generator give the two views of a pair.

    Args:
        x: images (B, C, H, W), floating point in [0, 1], C of 1 or 3; on one channel the steps that change only
            colour (saturation, hue, greyscale) do nothing.
        generator: on the CPU.

    Returns:
        Images of the same shape, dtype and device, in [0, 1].

    Raises:
        TypeError: where ``x`` is not floating point.
    """
    if not x.is_floating_point():
        raise TypeError(f"a view is made of pixels in [0, 1]: x must be floating point, got {x.dtype}")
    batch, _, height, width = x.shape
    x = resize_boxes(x, draw_boxes(batch, height, width, _LEAST, generator))
    uniform = torch.rand((7, batch, 1, 1, 1), generator=generator).to(x, non_blocking=True)
    chance, jitter = uniform[:3], uniform[3:].mul(2).sub(1)
    x = torch.where(chance[0] < _JITTER, jitter_colours(x, jitter), x)
    x = torch.where(chance[1] < _GREYSCALE, greyscale(x).expand_as(x), x)
    x = torch.where((chance[2] < _SOLARIZE) & (x >= 0.5), 1 - x, x)
    return random_flip(x, generator)


def jitter_colours(x: Tensor, amounts: Tensor) -> Tensor:
    """Jitter each image of ``x`` (B, C, H, W) in [0, 1] by brightness, contrast, saturation and hue, in this order.

    ``amounts`` is (4, B, 1, 1, 1) in [-1, 1]; 1 is the recipe's whole strength: a factor of 1.4, 1.4 and 1.2, and a
    tenth of the colour circle.
    """
    brightness, contrast, saturation, hue = amounts
    x = (x * (1 + _BRIGHTNESS * brightness)).clamp(0, 1)
    mean = greyscale(x).mean(dim=(1, 2, 3), keepdim=True)
    x = torch.lerp(mean, x, 1 + _CONTRAST * contrast).clamp(0, 1)
    if x.shape[1] == 1:
        return x
    x = torch.lerp(greyscale(x), x, 1 + _SATURATION * saturation).clamp(0, 1)
    return _turn_hue(x, _HUE * hue)


def _turn_hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of RGB images (B, 3, H, W) by ``turn`` (B, 1, 1, 1) of the circle, at equal value and saturation.

    The conversion to HSV and back without a table of six cases: each channel is the value less the chroma times a
    trapezium of the hue, shifted by a third of the circle from channel to channel.
    """
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    red, green, blue = x.split(1, dim=1)
    divisor = chroma.clamp(min=torch.finfo(x.dtype).tiny)
    sixth = torch.where(
        value == red,
        (green - blue) / divisor,
        torch.where(value == green, 2 + (blue - red) / divisor, 4 + (red - green) / divisor),
    )
    offset = torch.arange(5, 0, -2, device=x.device).view(3, 1, 1)
    phase = (offset + sixth + 6 * turn) % 6
    return value - chroma * torch.minimum(phase, 4 - phase).clamp(0, 1)
