"""Margins that grow as classes become rare, and the part of the head of cosines on which they are defined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..part import MethodError, Part, Scene, hyper
from ..range import Range
from .cross_entropy_loss import LossFunction, cross_entropy


@dataclass(frozen=True)
class CosineHead(Part):
    """The head that LDAM is defined on; its logits are scale * cos, in training and in evaluation."""

    scale: float = hyper(30.0, "LDAM-DRW code, losses.py: s", Range(choices=(10.0, 20.0, 30.0, 40.0)))
    fusable = True

    def __post_init__(self) -> None:
        self.require(self.scale > 0, "scale must be positive")

    def build(self, scene: Scene) -> torch.nn.Module:
        from .cosine import Cosine

        return Cosine(scene.model.width, scene.classes, self.scale)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LDAM(Part):
    """Label-distribution-aware margins (Cao et al. 2019, arXiv 1906.07413, eq. 13; LDAM-DRW's losses.py).

    The cosine of the true class is lowered by Delta_c = K / n_c^(1/4), scaled so that the largest is ``max_margin``.
    """

    max_margin: float = hyper(0.5, "LDAM-DRW code, losses.py: max_m", Range(0.1, 0.8))
    smoothing = 0.0  # smoothing saturates at a scale of 30
    fusable = True

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
            return cross_entropy(logits - torch.nn.functional.one_hot(y, logits.shape[1]) * shift[y, None], y, epsilon)

        return loss


def __getattr__(name: str) -> Any:
    """``Cosine`` stood here, and plugins in bundles may ask for it; its file needs torch."""
    if name != "Cosine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .cosine import Cosine

    return Cosine
