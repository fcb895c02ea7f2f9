"""Augmentation of whole batches on their device: crop, flip and CutMix.

Every function of this module, of ``trivial_augment`` and of ``views`` takes a **CPU** ``torch.Generator``, wherever
the batch is. The few numbers a batch needs are drawn on the host and sent without waiting for the device. So a
seed means the same augmentation on a CPU and on a GPU, and what the host must know (how many samples drew an
operation, where CutMix's box lies) costs no synchronisation. A generator on another device is refused by torch.

The order in training: crop -> flip -> ``trivial_augment_wide`` on uint8 pixels, then division by 255 and
normalisation, then ``cutmix``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as nnf


def random_crop(x: Tensor, padding: int, generator: Generator) -> Tensor:
    """Pad with zeros on all sides and cut the original size out again, at an offset of each sample's own.

    Args:
        x: images (B, C, H, W) of any dtype.
        padding: pixels on each side; the two offsets are uniform over ``2 * padding + 1`` positions each.
        generator: on the CPU.

    Returns:
        Images of the same shape, dtype and device.
    """
    batch, _, height, width = x.shape
    offsets = torch.randint(2 * padding + 1, (2, batch), generator=generator)
    top, left = offsets.to(x.device, non_blocking=True)
    # All windows are views of one padded batch; only the chosen ones are copied.
    windows = nnf.pad(x, [padding] * 4).unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(batch, device=x.device), :, top, left]


def random_flip(x: Tensor, generator: Generator) -> Tensor:
    """Mirror each image (B, C, H, W), of any dtype, left to right with probability one half."""
    flipped = torch.randint(2, (len(x), 1, 1, 1), generator=generator).flatten().nonzero().squeeze(1)
    flipped = flipped.to(x.device, non_blocking=True)
    return x.index_copy(0, flipped, x[flipped].flip(-1))


class CutMixed(NamedTuple):
    """A batch after CutMix: the loss of sample i is ``lam * loss(y[i]) + (1 - lam) * loss(y[partner[i]])``.

    ``x`` (B, C, H, W); ``partner`` (B,) int64 on x's device, the sample whose pixels were pasted into each; ``lam``
    the exact share of pixels that are still a sample's own, 1.0 where nothing was pasted.
    """

    x: Tensor
    partner: Tensor
    lam: float


def cutmix(x: Tensor, generator: Generator, alpha: float = 1.0, probability: float = 0.5) -> CutMixed:
    """With ``probability``, paste one box of a partner's pixels into every image of the batch.

    The box has an area of 1 - lambda, lambda ~ Beta(alpha, alpha), around a uniform centre; lambda is then counted
    again from the box as clipped at the border (so a drawn lambda of 0 does not empty the image). One box a batch.
    Otherwise ``x`` itself comes back with lam = 1. Each call takes one number from the generator, whatever it
    decides, so the batches that follow do not depend on ``alpha`` or ``probability``.

    Source: Yun et al., CutMix (ICCV 2019, arXiv 1905.04899), section 3.

    Args:
        x: images (B, C, H, W) of any dtype.
        generator: on the CPU.
        alpha: of the Beta distribution, > 0.
        probability: that the batch is mixed at all, in [0, 1].

    Raises:
        ValueError: where alpha or probability is out of range.
    """
    if not alpha > 0:
        raise ValueError(f"alpha must be positive, got {alpha}")
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be in [0, 1], got {probability}")
    # NumPy has a Beta that takes a generator and does not underflow at a small alpha; torch has not.
    rng = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=generator)))
    batch, _, height, width = x.shape
    if rng.random() >= probability:
        return CutMixed(x, torch.arange(batch, device=x.device), 1.0)
    half = 0.5 * math.sqrt(1 - rng.beta(alpha, alpha))
    rows, columns = _span(height, half, rng), _span(width, half, rng)
    partner = torch.from_numpy(rng.permutation(batch)).to(x.device, non_blocking=True)
    mixed = x.clone()
    mixed[..., rows, columns] = x[..., rows, columns][partner]
    pasted = (rows.stop - rows.start) * (columns.stop - columns.start)
    return CutMixed(mixed, partner, 1 - pasted / (height * width))


def _span(size: int, half: float, rng: np.random.Generator) -> slice:
    """The pixels within ``half`` of the size around a uniform centre, clipped at the border."""
    centre, reach = int(rng.integers(size)), int(half * size)
    return slice(max(centre - reach, 0), min(centre + reach, size))
