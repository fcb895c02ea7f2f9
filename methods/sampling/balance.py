"""Balance: class weights and samplers, from the counts of the classes and the time in training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from ..part import ClassWeights, Part, Scene, hyper
from ..range import Range

Scheme = Literal["inverse", "class_balanced", "square_root"]


def class_weights(counts: Sequence[float], scheme: str, beta: float = 0.9999, power: float = 1.0) -> list[float]:
    """The weight of each class (C,), scaled so that they add up to C.

    ``inverse`` 1/n; ``class_balanced`` (1 - beta) / (1 - beta^n), the effective number of samples of Cui et al. 2019
    (arXiv 1901.05555, eq. 2), which is 1 for every class at beta = 0 and tends to ``inverse`` as beta tends to 1;
    ``square_root`` 1/sqrt(n). ``power`` raises them before scaling: 0 makes all equal.

    Args:
        counts: Training images of each class, (C,).
        scheme: ``inverse``, ``class_balanced`` or ``square_root``.
        beta: Of ``class_balanced``, from 0 to below 1.
        power: What the weights are raised to.
    """
    raw = {
        "inverse": lambda n: 1 / n,
        "class_balanced": lambda n: (1 - beta) / (1 - beta**n),
        "square_root": lambda n: n**-0.5,
    }[scheme]
    weights = [raw(n) ** power for n in counts]
    return [len(weights) * w / sum(weights) for w in weights]


@dataclass(frozen=True)
class Reweighting(Part):
    """Weights of the classes from ``start`` (a fraction of training) on; before, all are 1.

    ``start`` > 0 is deferred re-weighting, DRW (Cao et al. 2019, algorithm 1). ``divide_by`` is ``weights`` for
    torch's weighted mean (LDAM-DRW's code) and ``samples`` for the plain mean of weighted losses (M2m's code).

    With label smoothing the whole smoothed loss of a sample weighs w_y, as the formulas of the literature have it;
    torch's ``cross_entropy(weight=, label_smoothing=)`` weighs the smoothed share of class j by w_j instead.
    """

    scheme: str = hyper("class_balanced", "LDAM-DRW code", Range(choices=get_args(Scheme)))
    beta: float = hyper(0.9999, "LDAM-DRW code", Range(choices=(0.9, 0.99, 0.999, 0.9999)))
    power: float = hyper(1.0, "the literature's formulas as they stand", Range(0.25, 1.0))
    start: float = hyper(0.0, "from the first epoch", None)
    divide_by: str = hyper("weights", "LDAM-DRW code", Range(choices=("weights", "samples")))
    neutral = {"scheme": "class_balanced", "beta": 0.0}
    fusable = True
    condition = "every class weighed the same throughout"

    def __post_init__(self) -> None:
        self.require(self.scheme in get_args(Scheme), f"scheme must be one of {', '.join(get_args(Scheme))}")
        self.require(0 <= self.beta < 1, "beta must be in [0, 1)")
        self.require(self.divide_by in ("weights", "samples"), "divide_by must be 'weights' or 'samples'")
        self.require(0 <= self.start <= 1, "start is a fraction of training, in [0, 1]")

    def foreseen(self, counts: Sequence[int], smoothing: float) -> str:
        weights = class_weights(counts, self.scheme, self.beta, self.power)
        return self.condition if self.start == 1 or len(set(weights)) == 1 else ""

    def build(self, scene: Scene) -> _Reweighter:
        return _Reweighter(self, scene)


class _Reweighter:
    def __init__(self, part: Reweighting, scene: Scene) -> None:
        self._first, self._scene = part.start * scene.epochs, scene
        self._even = ClassWeights(scene.tensor([1.0] * scene.classes))
        weights = scene.tensor(class_weights(scene.counts, part.scheme, part.beta, part.power))
        self._later = ClassWeights(weights, part.divide_by)  # type: ignore[arg-type]
        self._differ = weights.unique().numel() > 1

    def __call__(self, epoch: int) -> ClassWeights:
        return self._later if epoch >= self._first else self._even

    def notes(self) -> dict[str, float]:
        """Whether classes weighed differently in the present epoch."""
        return {"acted": float(self._differ and self._scene.epoch >= self._first)}


@dataclass(frozen=True)
class DeferredReweighting(Reweighting):
    """Deferred re-weighting, DRW: class-balanced weights in the last fifth of training (LDAM-DRW's code)."""

    start: float = hyper(0.8, "LDAM-DRW code: epoch 160 of 200", Range(0.6, 0.95))
    neutral = {"start": 1.0}
    fusable = True


def shuffled(labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """ERM's order: every index once, at random; (N,) on the CPU."""
    return torch.randperm(len(labels), generator=generator)


@dataclass(frozen=True)
class Resampling(Part):
    """Draws with replacement, class c with probability proportional to n_c^q, as many as there are images.

    q = 0 is class-balanced, 0.5 square-root, 1 the natural frequencies (Kang et al. 2020, arXiv 1910.09217, eq. 1).
    Before ``start``, a fraction of training, the order is ERM's.
    """

    q: float = hyper(0.0, "authors' code, run_train.py:43-50", Range(0.0, 1.0))
    start: float = hyper(0.0, "from the first epoch", Range(0.0, 0.9))
    neutral = {"start": 1.0}
    fusable = True
    condition = "every class was drawn as often as it comes throughout"

    def __post_init__(self) -> None:
        self.require(0 <= self.start <= 1, "start is a fraction of training, in [0, 1]")

    def foreseen(self, counts: Sequence[int], smoothing: float) -> str:
        return self.condition if self.start == 1 or self.q == 1 or len(set(counts)) == 1 else ""

    def build(self, scene: Scene) -> _Resampler:
        return _Resampler(self.q, self.start * scene.epochs, scene)


class _Resampler:
    def __init__(self, q: float, first: float, scene: Scene) -> None:
        self._q, self._first, self._scene = q, first, scene

    def frequencies(self, epoch: int) -> tuple[float, ...]:
        """How often each class is drawn, in proportion."""
        return tuple(n ** (1.0 if epoch < self._first else self._q) for n in self._scene.counts)

    def __call__(self, labels: torch.Tensor, epoch: int) -> torch.Tensor:
        generator = self._scene.generator("order")
        if epoch < self._first:
            return shuffled(labels, generator)
        of_image = torch.tensor(self._scene.counts, dtype=torch.float64) ** (self._q - 1)
        return torch.multinomial(of_image[labels], len(labels), replacement=True, generator=generator)

    def notes(self) -> dict[str, float]:
        """Whether classes were drawn otherwise than they come in the present epoch."""
        return {"acted": float(self.frequencies(self._scene.epoch) != tuple(map(float, self._scene.counts)))}


@dataclass(frozen=True)
class DeferredResampling(Resampling):
    """Class-balanced draws in the last fifth of training (M2m's code: epoch 160 of 200)."""

    q: float = hyper(0.0, "M2m code: class-balanced; M2m generates under no other")
    start: float = hyper(0.8, "M2m code: epoch 160 of 200", Range(0.6, 0.9))
    fusable = True
