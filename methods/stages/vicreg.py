"""The network beside the classifier that Joint-SSL trains with it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..part import MethodError


class VICReg(nn.Module):
    """The scalar that is added to the loss, from the features (B, F) of two views; holds the expander."""

    def __init__(
        self,
        features: int,
        width: int,
        loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        divisor: float,
        supervised_weight: float,
        views: int,
    ) -> None:
        """
        Args:
            features: The size F of the features.
            width: The size K of the embeddings, and of the two hidden layers of the expander.
            loss: Of the embeddings (B, K) of two views.
            divisor: What that loss is divided by.
            supervised_weight: What the loop multiplies the supervised loss by.
            views: How many of each image the loop draws.
        """
        super().__init__()
        self.supervised_weight, self.views = supervised_weight, views
        self._loss, self._divisor = loss, divisor
        self.expander = nn.Sequential(
            *_hidden(features, width), *_hidden(width, width), nn.Linear(width, width, bias=False)
        )

    def forward(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        if len(one) < 2:
            raise MethodError("Joint-SSL compares images with each other: a batch must hold at least 2")
        return self._loss(self.expander(one), self.expander(two)) / self._divisor


def _hidden(inputs: int, width: int) -> tuple[nn.Module, ...]:
    """A hidden layer; BatchNorm keeps no running statistics, since the expander is never evaluated."""
    return nn.Linear(inputs, width), nn.BatchNorm1d(width, track_running_stats=False), nn.ReLU(inplace=True)
