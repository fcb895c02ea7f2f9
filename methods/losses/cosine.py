"""The head of cosines."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


class Cosine(nn.Module):
    """Logits as scaled cosines between features and class vectors, without bias (LDAM-DRW's NormedLinear)."""

    def __init__(self, width: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, width))
        self.scale = scale
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw the weights anew: directions of length 1."""
        self.weight.copy_(F.normalize(self.weight.uniform_(-1, 1), dim=1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.scale * F.linear(F.normalize(features, dim=1), F.normalize(self.weight, dim=1))
