"""Losses, the heads that they are defined on, and what shifts their logits or smooths their labels."""

from .cross_entropy_loss import LossFunction, cross_entropy
from .focal import Focal
from .margins import LDAM, Cosine, CosineHead

__all__ = ["LDAM", "Cosine", "CosineHead", "Focal", "LossFunction", "cross_entropy"]
