"""Focal loss: samples that the network is sure of count less."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..part import Part, Scene, hyper
from ..range import Range
from .cross_entropy_loss import LossFunction, cross_entropy


@dataclass(frozen=True)
class Focal(Part):
    """Focal loss (1 - p_y)^gamma CE, softmax form (Lin et al. 2017, arXiv 1708.02002; LDAM-DRW's losses.py).

    p_y is the probability of the hard label, whatever the weights and the smoothing.
    """

    gamma: float = hyper(1.0, "LDAM-DRW code, losses.py", Range(0.0, 3.0))
    neutral = {"gamma": 0.0}
    fusable = True
    smoothing = 0.0  # the routine's label smoothing is off for this loss unless a smoothing part is named

    def __post_init__(self) -> None:
        self.require(self.gamma >= 0, "gamma must be at least 0")

    def build(self, scene: Scene) -> LossFunction:
        def loss(logits: torch.Tensor, y: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
            plain = cross_entropy(logits, y, epsilon)
            if self.gamma == 0:
                return plain
            p = logits.softmax(dim=1).gather(1, y[:, None]).squeeze(1)
            # p = 1 in floating point would put the gradient of 0 ** gamma, infinite for gamma < 1, into the weights
            return (1 - p).clamp_min(torch.finfo(p.dtype).tiny) ** self.gamma * plain

        return loss
