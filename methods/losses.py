"""Losses and heads: the loss of each sample, so that weights, mixing and emphasis stay outside.

Every loss takes logits (B, C), hard labels y (B,) and an epsilon (B,) of label smoothing, and returns (B,). A mixed
batch (CutMix) calls it once for each of its two targets: focal and margin losses of a soft target would be other
functions (methods such as LDAM shift the logit of one class).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .part import MethodError, Part, Scene, hyper
from .range import Range

LossFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def cross_entropy(logits: torch.Tensor, y: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """Label-smoothed cross-entropy, -sum_j q_j log p_j with q = (1 - epsilon) 1[y] + epsilon / C (eq. 7 and 8)."""
    log_p = F.log_softmax(logits, dim=1)
    hard = -log_p.gather(1, y[:, None]).squeeze(1)
    return (1 - epsilon) * hard - epsilon * log_p.mean(dim=1)


@dataclass(frozen=True)
class Focal(Part):
    """Focal loss (1 - p_y)^gamma CE, softmax form (Lin et al. 2017, arXiv 1708.02002; LDAM-DRW's losses.py).

    p_y is the probability of the hard label, whatever the weights and the smoothing.
    """

    gamma: float = hyper(1.0, "LDAM-DRW code, losses.py", Range(0.0, 3.0))
    neutral = {"gamma": 0.0}
    smoothing = 0.0  # the routine's label smoothing is off for this loss unless a smoothing part is named

    def __post_init__(self) -> None:
        self.require(self.gamma >= 0, "gamma must be at least 0")

    def build(self, scene: Scene) -> LossFunction:
        def loss(logits: torch.Tensor, y: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
            plain = cross_entropy(logits, y, epsilon)
            if self.gamma == 0:
                return plain
            p = F.softmax(logits, dim=1).gather(1, y[:, None]).squeeze(1)
            # p = 1 in floating point would put the gradient of 0 ** gamma, infinite for gamma < 1, into the weights
            return (1 - p).clamp_min(torch.finfo(p.dtype).tiny) ** self.gamma * plain

        return loss


class Cosine(nn.Module):
    """Logits as scaled cosines between features and class vectors, without bias (LDAM-DRW's NormedLinear)."""

    def __init__(self, width: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, width))
        self.scale = scale
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        self.weight.copy_(F.normalize(self.weight.uniform_(-1, 1), dim=1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.scale * F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))


@dataclass(frozen=True)
class CosineHead(Part):
    """The head that LDAM is defined on; its logits are scale * cos, in training and in evaluation."""

    scale: float = hyper(30.0, "LDAM-DRW code, losses.py: s", Range(choices=(10.0, 20.0, 30.0, 40.0)))

    def __post_init__(self) -> None:
        self.require(self.scale > 0, "scale must be positive")

    def build(self, scene: Scene) -> nn.Module:
        return Cosine(scene.model.width, scene.classes, self.scale)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LDAM(Part):
    """Label-distribution-aware margins (Cao et al. 2019, arXiv 1906.07413, eq. 13; LDAM-DRW's losses.py).

    The cosine of the true class is lowered by Delta_c = K / n_c^(1/4), scaled so that the largest is ``max_margin``.
    """

    max_margin: float = hyper(0.5, "LDAM-DRW code, losses.py: max_m", Range(0.1, 0.8))
    smoothing = 0.0  # smoothing saturates at a scale of 30

    def __post_init__(self) -> None:
        self.require(self.max_margin >= 0, "max_margin must be at least 0")

    def margins(self, scene: Scene) -> torch.Tensor:
        """Delta_c of each class (C,), in units of a cosine."""
        raw = scene.tensor(n**-0.25 for n in scene.counts)
        return raw * (self.max_margin / raw.max())

    def build(self, scene: Scene) -> LossFunction:
        scale = getattr(scene.model.head, "scale", None)
        if scale is None:
            raise MethodError("LDAM is defined on cosines: give its recipe head=CosineHead()")
        shift = scale * self.margins(scene)

        def loss(logits: torch.Tensor, y: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
            return cross_entropy(logits - F.one_hot(y, logits.shape[1]) * shift[y, None], y, epsilon)

        return loss
