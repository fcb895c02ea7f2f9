"""AugMix for a whole batch: each image is mixed with three chains of operations of its own.

Source: Hendrycks et al., AugMix (ICLR 2020, arXiv 1912.02781), section 3, in the form of
``torchvision.transforms.v2.AugMix()``: severity 3, three chains of one to three operations, alpha 1, all operations,
bilinear, black fill. The loss of the paper that compares two mixtures of an image is no part of it. The operations are
those of ``trivial_augment.py``, with what is said there of their pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from .auto_augment import strengths
from .trivial_augment import OPERATIONS, SIGNED, apply_operations

SEVERITY = 3
CHAINS = 3
DEEPEST = 3


class Mixture(NamedTuple):
    """What is drawn for each of B samples, on the CPU. ``operation`` (3 chains, 3 steps, B) int64, that of Identity
    after a chain's end; ``strength`` alike, float32, signed, in the operation's unit; ``weight`` (4, B) float32: of the
    image itself, then of each chain."""

    operation: Tensor
    strength: Tensor
    weight: Tensor


def augmix(x: Tensor, generator: Generator) -> Tensor:
    """Mix each image with three versions of it.

    Args:
        x: images (B, C, H, W), uint8, C of 1 or 3, H and W at least 3 pixels.
        generator: on the CPU, wherever ``x`` is (see ``datasets.augment``).

    Returns:
        Images of the same shape, dtype and device.

    Raises:
        TypeError: where ``x`` is not uint8; the operations are defined on grey levels.
    """
    drawn = draw_mixture(len(x), x.shape[2], x.shape[3], generator)
    weight = drawn.weight.to(x.device, non_blocking=True).view(1 + CHAINS, -1, 1, 1, 1)
    mixed = weight[0] * x
    for chain in range(CHAINS):
        changed = x
        for operation, strength in zip(drawn.operation[chain], drawn.strength[chain], strict=True):
            changed = apply_operations(changed, operation, strength, bilinear=True)
        mixed = mixed.addcmul_(weight[1 + chain], changed)
    return mixed.clamp_(0, 255).to(torch.uint8)


def draw_mixture(batch: int, height: int, width: int, generator: Generator) -> Mixture:
    """Draw operations, strengths and weights for each sample.

    Args:
        batch: Samples.
        height: Of the images, in pixels.
        width: Of the images, in pixels.
        generator: on the CPU.
    """
    steps = (CHAINS, DEEPEST, batch)
    operation = torch.randint(1, len(OPERATIONS), steps, generator=generator)  # Identity is none of AugMix's
    level = torch.randint(SEVERITY, steps, generator=generator)
    negative = torch.randint(2, steps, generator=generator).bool() & SIGNED[operation]
    depth = torch.randint(1, DEEPEST + 1, (CHAINS, 1, batch), generator=generator)
    strength = strengths(height, width, 1 / 3, 4)[operation, level]
    strength = torch.where(negative, -strength, strength)
    operation = torch.where(torch.arange(DEEPEST).view(1, -1, 1) < depth, operation, 0)
    # Dirichlet's law at alpha = 1, of two and of three, is that of exponential variables over their sum.
    whole, chains = (_exponential((n, batch), generator) for n in (2, CHAINS))
    own, rest = whole / whole.sum(0)
    return Mixture(operation, strength, torch.cat([own[None], rest * chains / chains.sum(0)]))


def _exponential(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.empty(shape).exponential_(generator=generator)
