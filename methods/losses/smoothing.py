"""Label smoothing with an epsilon for each class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ..part import Part, Scene, hyper
from ..range import Range

Kind = Literal["uniform", "inverse", "one_minus", "eq6_literal", "mislas"]


def class_epsilons(counts: Sequence[int], kind: str, epsilon: float, cap: float) -> list[float]:
    """The epsilon of each class (C,), from its share p_c of the ``counts``; none is above ``cap``.

    ``uniform``      epsilon, the same for all
    ``inverse``      epsilon (1 / p_c) / mean_k (1 / p_k): "proportional to the inverse", the text of appendix A.7
    ``one_minus``    epsilon (1 - p_c): eq. 6 with its fraction undone
    ``eq6_literal``  epsilon / (1 - p_c): eq. 6 as printed, which smooths *frequent* classes more
    ``mislas``       epsilon for the rarest class up to cap for the most frequent, along a quarter of a sine in n_c:
                     the opposite direction, for contrast (Zhong et al. 2021, arXiv 2104.00466; concave form)

    Args:
        counts: Training images of each class, (C,).
        kind: One of the words below.
        epsilon: The smoothing.
        cap: The largest that any class gets.
    """
    total, least, most = sum(counts), min(counts), max(counts)
    mean_inverse = sum(total / n for n in counts) / len(counts)
    of_class = {
        "uniform": lambda n: epsilon,
        "inverse": lambda n: epsilon * (total / n) / mean_inverse,
        "one_minus": lambda n: epsilon * (1 - n / total),
        "eq6_literal": lambda n: epsilon / (1 - n / total) if n < total else cap,
        "mislas": lambda n: epsilon + (cap - epsilon) * math.sin(math.pi / 2 * (n - least) / max(most - least, 1)),
    }[kind]
    return [min(of_class(n), cap) for n in counts]


@dataclass(frozen=True)
class NoSmoothing(Part):
    """No label smoothing, whatever the routine has: beside ERM, a row of this says what the smoothing is worth, and so
    how much of a difference between ERM and a loss that asks for none (Focal Loss, LDAM) is that of the smoothing."""

    neutral = {}
    fusable = True

    def build(self, scene: Scene) -> torch.Tensor:
        return scene.tensor([0.0] * scene.classes)


@dataclass(frozen=True)
class Smoothing(Part):
    """Class-conditional label smoothing, q_y = (1 - epsilon_y) 1[y] + epsilon_y / C (arXiv 2312.02517, eq. 6 to 8).

    Each half of a CutMix target keeps its own epsilon. The part takes the place of the training routine's own
    smoothing, so epsilon = 0 is ERM trained without any, and ``uniform`` is ERM trained with the same epsilon.

    Under class weights the whole smoothed loss of a sample weighs w_y. torch's cross_entropy with ``weight`` and
    ``label_smoothing`` weighs each term by the weight of its own class instead, w_j for the smoothed share of class j:
    without weights, or without smoothing, both are the same.
    """

    kind: str = hyper("inverse", "appendix A.7, the text")
    epsilon: float = hyper(0.1, "not stated; the usual value", Range(0.01, 0.3, log=True))
    cap: float = hyper(0.4, "not stated; BagofTricks-LT's largest", Range(choices=(0.3, 0.4, 0.5)))
    neutral = {"epsilon": 0.0}
    fusable = True

    def __post_init__(self) -> None:
        self.require(self.kind in get_args(Kind), f"kind must be one of {', '.join(get_args(Kind))}")
        self.require(0 <= self.epsilon <= self.cap <= 1, "0 <= epsilon <= cap <= 1 must hold")

    def build(self, scene: Scene) -> torch.Tensor:
        return scene.tensor(class_epsilons(scene.counts, self.kind, self.epsilon, self.cap))
