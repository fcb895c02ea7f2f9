"""Losses, the heads that they are defined on, and what shifts their logits or smooths their labels."""

from typing import TYPE_CHECKING, Any

from .cross_entropy_loss import LossFunction, cross_entropy
from .focal import Focal
from .margins import LDAM, CosineHead

if TYPE_CHECKING:
    from .cosine import Cosine

__all__ = ["LDAM", "Cosine", "CosineHead", "Focal", "LossFunction", "cross_entropy"]


def __getattr__(name: str) -> Any:
    """``Cosine`` is a network: its file needs torch, and is imported when it is asked for."""
    if name != "Cosine":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .cosine import Cosine

    return Cosine
