"""Cross-entropy, and what every loss is: a value for each sample, so that weights, mixing and emphasis stay outside.

Every loss takes logits (B, C), hard labels y (B,) and an epsilon (B,) of label smoothing, and returns (B,). A mixed
batch (CutMix) calls it once for each of its two targets: focal and margin losses of a soft target would be other
functions (methods such as LDAM shift the logit of one class).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

LossFunction: TypeAlias = "Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]"


def cross_entropy(logits: torch.Tensor, y: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
    """Label-smoothed cross-entropy, -sum_j q_j log p_j with q = (1 - epsilon) 1[y] + epsilon / C (eq. 7 and 8).

    Args:
        logits: (B, C).
        y: The labels, (B,) int64.
        epsilon: The smoothing of each sample, (B,).
    """
    log_p = logits.log_softmax(dim=1)
    hard = -log_p.gather(1, y[:, None]).squeeze(1)
    return (1 - epsilon) * hard - epsilon * log_p.mean(dim=1)
