"""mixup: whole images and their labels, blended (Zhang et al. 2018, arXiv 1710.09412)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..part import Mixed, Part, Scene, hyper
from ..range import Range


@dataclass(frozen=True)
class Mixup(Part):
    """Each image is a share s of itself and 1 - s of another of the batch, s ~ Beta(alpha, alpha), one s a batch.

    It takes CutMix's place. alpha = 0 blends nothing and leaves the batch to CutMix.

    Under class weights (Mixup-DRW) the loss of a sample is s w_y CE_y + (1 - s) w_other CE_other, and the sum over the
    batch is divided by the sum of those weights, as in LDAM-DRW's code. imbalanced-DL divides by the number of samples:
    ``weights.divide_by=samples``.
    """

    alpha: float = hyper(1.0, "mixup code, train.py: alpha", Range(0.1, 2.0))
    neutral = {"alpha": 0.0}
    fusable = True

    def __post_init__(self) -> None:
        self.require(self.alpha >= 0, "alpha must be at least 0")

    def build(self, scene: Scene) -> Callable[[torch.Tensor, torch.Tensor, int], Mixed]:
        def mix(x: torch.Tensor, y: torch.Tensor, epoch: int) -> Mixed:
            if self.alpha == 0:
                return Mixed(x, y, y)
            # NumPy has a Beta that takes a generator; torch has not
            rng = np.random.default_rng(int(torch.randint(2**63 - 1, (), generator=scene.generator("mixup"))))
            share = float(rng.beta(self.alpha, self.alpha))
            partner = torch.from_numpy(rng.permutation(len(x))).to(x.device, non_blocking=True)
            return Mixed(share * x + (1 - share) * x[partner], y, y[partner], share, closed=True)

        return mix
