"""AutoAugment for a whole batch: every sample draws its own pair of operations of the policy found on CIFAR-10.

Source: Cubuk et al., AutoAugment (CVPR 2019, arXiv 1805.09501), table 7, in the form of
``torchvision.transforms.v2.AutoAugment(AutoAugmentPolicy.CIFAR10)``: 25 pairs, each operation with a probability and
one of ten strengths, nearest neighbour, black fill. The paper uses this policy for CIFAR-100 too. The operations are
those of ``trivial_augment.py``, with what is said there of their pixels.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from .trivial_augment import OPERATIONS, SIGNED, apply_operations

BINS = 10
POLICY: tuple[tuple[tuple[str, float, int], tuple[str, float, int]], ...] = (  # a strength of 0 where there is none
    (("Invert", 0.1, 0), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, 0), ("Equalize", 0.9, 0)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, 0), ("Equalize", 0.5, 0)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, 0), ("AutoContrast", 0.4, 0)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, 0)),
    (("Equalize", 0.2, 0), ("AutoContrast", 0.6, 0)),
    (("Equalize", 0.2, 0), ("Equalize", 0.6, 0)),
    (("Color", 0.9, 9), ("Equalize", 0.6, 0)),
    (("AutoContrast", 0.8, 0), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, 0)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, 0), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, 0), ("Invert", 0.1, 0)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, 0)),
)
_NAMES = (*OPERATIONS, "Invert")
_OPERATION = torch.tensor([[_NAMES.index(name) for name, _, _ in pair] for pair in POLICY])
_CHANCE = torch.tensor([[chance for _, chance, _ in pair] for pair in POLICY])
_BIN = torch.tensor([[strength for _, _, strength in pair] for pair in POLICY])


def auto_augment(x: Tensor, generator: Generator) -> Tensor:
    """Apply to each image one of 25 pairs of operations, drawn uniformly.

    Args:
        x: images (B, C, H, W), uint8, C of 1 or 3, H and W at least 3 pixels.
        generator: on the CPU, wherever ``x`` is (see ``datasets.augment``).

    Returns:
        Images of the same shape, dtype and device.

    Raises:
        TypeError: where ``x`` is not uint8; the operations are defined on grey levels.
    """
    for operation, strength in zip(*draw_pairs(len(x), x.shape[2], x.shape[3], generator), strict=True):
        x = apply_operations(x, operation, strength)
    return x


def draw_pairs(batch: int, height: int, width: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """What is done to each sample, in two steps: the index into OPERATIONS (2, batch) int64, that of Identity where the
    pair's chance did not come, and the signed strength (2, batch) float32 in the operation's unit, on the CPU.

    Args:
        batch: Samples.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        generator: on the CPU.
    """
    pair = torch.randint(len(POLICY), (batch,), generator=generator)
    chance, sign = torch.rand((2, 2, batch), generator=generator)
    named = _OPERATION[pair].T
    operation = torch.where(named == len(OPERATIONS), OPERATIONS.index("Solarize"), named)
    strength = strengths(height, width, 150 / 331, 8)[operation, _BIN[pair].T]
    strength = torch.where(named == len(OPERATIONS), 0.0, strength)  # what is solarised from 0 on is inverted
    strength = torch.where((sign < 0.5) & SIGNED[operation], -strength, strength)
    return torch.where(chance <= _CHANCE[pair].T, operation, 0), strength


def strengths(height: int, width: int, translated: float, bits: int) -> Tensor:
    """The strength of each of OPERATIONS at each of ten levels, (14, 10) float32, in the operation's unit, unsigned.

    Args:
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        translated: The share of a side by which the last level moves an image.
        bits: That the first level keeps of each grey level; the last keeps four fewer.
    """
    zeros, factor, shear = torch.zeros(BINS), torch.linspace(0, 0.9, BINS), torch.linspace(0, 0.3, BINS)
    across, down = (torch.linspace(0, translated * side, BINS).trunc() for side in (width, height))
    kept = (bits - torch.arange(BINS) / ((BINS - 1) / 4)).round()
    # Thresholds are scaled in double precision, as in torchvision: some of them fall upon a grey level.
    thresholds = (torch.linspace(1, 0, BINS).double() * 255).float()
    geometric = [zeros, shear, shear, across, down, torch.linspace(0, 30, BINS)]
    return torch.stack([*geometric, factor, factor, factor, factor, kept, thresholds, zeros, zeros])
