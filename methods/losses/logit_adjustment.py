"""Adjustment: logits shifted by the shares of the classes, or scaled, in the loss or once training is over."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..part import MethodError, Part, Scene, hyper
from ..range import Range
from .cross_entropy_loss import cross_entropy

EQUAL = "all classes have as many training examples: nothing was adjusted"


def log_shares(scene: Scene) -> torch.Tensor:
    """log p_c of each class (C,), with p_c its share of the training images."""
    return scene.tensor(math.log(n / sum(scene.counts)) for n in scene.counts)


@dataclass(frozen=True)
class LogitAdjustment(Part):
    """Post-hoc logit adjustment: the trained network's logits, less tau log p_c (Menon et al. 2021, arXiv 2007.07314).

    At tau = 1 the best guess for a test set in which all classes are as frequent.
    """

    tau: float = hyper(1.0, "Menon et al. 2021", Range(0.0, 2.0))
    neutral = {"tau": 0.0}
    fusable = True
    of_probabilities = True
    shortage = EQUAL

    def build(self, scene: Scene) -> _AdjustedLogits:
        return _AdjustedLogits(self.tau, scene)


@dataclass(frozen=True)
class AdjustedLoss(Part):
    """Cross-entropy of the logits plus tau log p_c: the logit-adjusted loss (Menon et al. 2021, arXiv 2007.07314).

    tau = 1 is balanced softmax (Ren et al. 2020, arXiv 2007.10740), whose log n_c differs by a constant.
    """

    tau: float = hyper(1.0, "Menon et al. 2021; Ren et al. 2020", Range(0.0, 2.0))
    neutral = {"tau": 0.0}
    fusable = True
    shortage = EQUAL

    def build(self, scene: Scene) -> _AdjustedCrossEntropy:
        return _AdjustedCrossEntropy(self.tau, scene)


class _Shift:
    def __init__(self, tau: float, scene: Scene) -> None:
        self._shift, self._equal = tau * log_shares(scene), len(set(scene.counts)) == 1

    def notes(self) -> dict[str, float]:
        """Whether all classes were as frequent, so that the shift changes no order."""
        return {"shortage": 1.0} if self._equal else {}


class _AdjustedLogits(_Shift):
    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        return logits - self._shift


class _AdjustedCrossEntropy(_Shift):
    def __call__(self, logits: torch.Tensor, y: torch.Tensor, epsilon: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits + self._shift, y, epsilon)


@dataclass(frozen=True)
class TauNormalisation(Part):
    """The trained head's class vectors w_c become w_c / |w_c|^tau (Kang et al. 2020, arXiv 1910.09217, section 4).

    Rare classes have shorter vectors. The paper leaves the bias out, for its effect is negligible; here it stays as
    it is, so that tau = 0 is the network as trained.
    """

    tau: float = hyper(1.0, "classifier-balancing code, tau_norm.py: 0 to 2", Range(0.0, 2.0))
    neutral = {"tau": 0.0}
    fusable = True

    def build(self, scene: Scene) -> Callable[[torch.Tensor], torch.Tensor]:
        head = scene.model.head
        if not isinstance(head, torch.nn.Linear):
            raise MethodError(
                f"tau-normalisation shortens the class vectors of a linear head, and a {type(head).__name__} head has "
                "none whose length counts"
            )

        def finish(logits: torch.Tensor) -> torch.Tensor:
            norm = head.weight.norm(dim=1)
            scale = torch.where(norm > 0, norm, 1.0) ** -self.tau
            return logits + (logits if head.bias is None else logits - head.bias) * (scale - 1)

        return finish
