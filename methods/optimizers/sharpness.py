"""Sharpness: steps that descend by the slope of a place where the loss is higher. SAM, SAM-A and ImbSAM.

From the weights theta a step climbs by e, takes the gradient at theta + e and descends with it from theta. Both passes
see the same mixed batch. BatchNorm's running statistics move in the first pass only; momentum, weight decay and the
learning rate act in the descent only. What a step returns is the plain loss of the first pass, at theta.

Where several seeds are trained as one, a loss holds one number for each seed (S,) and the first axis of each weight is
the seed: every seed climbs by the norm of its own gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, TypeAlias, get_args

import torch

from ..part import ClassWeights, Part, Scene, hyper
from ..range import Range
from ..sampling.balance import Scheme, class_weights
from .batchnorm import resting_statistics

Kind = Literal["weighted_dir", "radius", "eq5_literal", "one_minus", "eq3_linear"]
Tensors: TypeAlias = "tuple[torch.Tensor, ...] | list[torch.Tensor]"  # what torch's _foreach functions take

FLOOR = 1e-12  # of a norm that divides, as in davda54/sam: where all gradients are 0, so is the climb


class Objective(Protocol):
    """The loss of one batch at the weights as they are: once, or under several emphases from one forward pass."""

    def __call__(self, emphasis: ClassWeights | None = None) -> torch.Tensor: ...

    def each(self, *emphases: ClassWeights | None) -> Tensors:
        """The loss of the batch under each emphasis of its classes, from one pass forward."""
        ...


Step: TypeAlias = "Callable[[Objective, torch.Tensor, torch.optim.Optimizer], torch.Tensor]"


def trained(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """All weights that the optimizer moves."""
    return [weight for group in optimizer.param_groups for weight in group["params"] if weight.requires_grad]


def gradient(loss: torch.Tensor, weights: Tensors, again: bool = False) -> Tensors:
    """The gradient of a loss, 0 for weights that it does not depend on; ``again`` if the pass is needed once more.

    Args:
        loss: A scalar, or one of each seed (S,).
        weights: Those of the network.
        again: Whether the graph is kept for another pass.
    """
    return torch.autograd.grad(loss.sum(), weights, retain_graph=again, materialize_grads=True)


def norm(vectors: Tensors) -> torch.Tensor:
    """The Euclidean norm of all the vectors together, a scalar that stays on the device; at least FLOOR."""
    return torch.nn.utils.get_total_norm(vectors) + FLOOR


def climb(rho: float, vectors: Tensors, over: Tensors | None, loss: torch.Tensor) -> Tensors:
    """How far the weights are moved: rho v / |u|, for each seed by itself.

    Args:
        rho: The distance.
        vectors: v, of the weights' shapes.
        over: u, whose norm divides; nothing does where it is None.
        loss: A scalar, or one of each seed (S,).
    """
    if over is None or not loss.ndim:
        return torch._foreach_mul(vectors, rho / (1.0 if over is None else norm(over)))
    of_seeds = zip(*(each.unbind() for each in over), strict=True)
    factors = rho / torch.stack([norm(own) for own in of_seeds])
    return [each * factors.view(-1, *[1] * (each.ndim - 1)) for each in vectors]


@contextmanager
def climbed(model: torch.nn.Module, weights: Tensors, e: Tensors) -> Iterator[None]:
    """Inside, the weights are theta + e and running statistics rest; after, they are theta, bit for bit (copied back:
    subtracting e would leave rounding errors).

    Args:
        model: The network.
        weights: Those that are moved, theta.
        e: By how much, of the weights' shapes.
    """
    theta = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        torch._foreach_add_(weights, e)
    try:
        with resting_statistics(model):
            yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(weights, theta)


def descend_from(e: Tensors, objective: Objective, optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> None:
    """SAM's second pass: the optimizer's step at theta with the plain gradient at theta + e (eq. 4).

    Args:
        e: By how much the weights are moved for the gradient.
        objective: The loss of the batch.
        optimizer: Whose step is made.
        model: The network.
    """
    optimizer.zero_grad(set_to_none=True)
    with climbed(model, trained(optimizer), e):
        loss = objective()
        loss.sum().backward()
    optimizer.step()


@dataclass(frozen=True)
class SAM(Part):
    """Sharpness-aware minimisation, e = rho g / |g| with g the gradient at theta (Foret et al. 2021, arXiv 2010.01412,
    eq. 2; davda54/sam, sam.py). ``rho`` is a distance in the space of the weights."""

    rho: float = hyper(0.05, "davda54/sam, sam.py; the authors' sam.py:5; ImbSAM code", Range(0.01, 1.0, log=True))
    neutral = {"rho": 0.0}
    fusable = True

    def __post_init__(self) -> None:
        self.require(self.rho >= 0, "rho must be at least 0")

    def build(self, scene: Scene) -> Step:
        def step(objective: Objective, y: torch.Tensor, optimizer: torch.optim.Optimizer) -> torch.Tensor:
            loss = objective()
            g = gradient(loss, trained(optimizer))
            descend_from(climb(self.rho, g, g, loss), objective, optimizer, scene.model)
            return loss.detach()

        return step


@dataclass(frozen=True)
class SAMA(SAM):
    """SAM-A: the climb looks at rare classes more than the descent does (arXiv 2312.02517, appendix A.6).

    With l_j the loss of sample j of B, w_c the class weights of ``scheme`` to the ``power`` (mean 1), p_c the share of
    class c in what the sampler draws, and g the gradient of the plain loss, the climb is

    ============= =========== ============================================= ========================================
    kind          e           v                                             reading
    ============= =========== ============================================= ========================================
    weighted_dir  rho v / |v| grad sum_j w_j l_j / sum_j w_j                the authors' model_wrapper.py:156-168
    radius        rho v / |g| grad (1/B) sum_j a_j l_j, a_c = min(w_c, cap) A.6's text: farther for rare classes
    eq5_literal   rho v / |g| likewise, a_c = min(1 / (1 - p_c), cap)       eq. 5: farther for *frequent* classes
    one_minus     rho v / |g| likewise, a_c = 1 - p_c                       eq. 5 with its fraction undone
    eq3_linear    rho v       likewise, a_c = min(w_c, cap)                 eq. 3, in which the norms cancel
    ============= =========== ============================================= ========================================

    ``weighted_dir`` turns the climb and keeps its length, whatever the scale of the weights. With uniform weights it
    and ``radius`` are SAM, and weights are uniform by themselves where the sampler draws all classes alike. The kinds
    that divide by |g| need a third backward pass: 2.67 of ERM's steps rather than 2.
    """

    kind: str = hyper("weighted_dir", "authors' code, model_wrapper.py:156-168")
    scheme: str = hyper("inverse", "authors' code, run_train.py:46")
    beta: float = hyper(0.9999, "LDAM-DRW code, of class_balanced")
    power: float = hyper(1.0, "authors' code", Range(0.25, 1.0))
    cap: float = hyper(10.0, "ours: one rare image must not throw the weights far away")
    fusable = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.kind in get_args(Kind), f"kind must be one of {', '.join(get_args(Kind))}")
        self.require(self.scheme in get_args(Scheme), f"scheme must be one of {', '.join(get_args(Scheme))}")
        self.require(0 <= self.beta < 1, "beta must be in [0, 1)")
        self.require(self.cap >= 1, "cap must be at least 1")

    def emphasis(self, drawn: Sequence[float]) -> list[float]:
        """How much each class counts in the climb (C,), given how many images of it an epoch draws."""
        total = sum(drawn)
        if self.kind == "eq5_literal":
            return [1 / max(1 - n / total, 1 / self.cap) for n in drawn]
        if self.kind == "one_minus":
            return [1 - n / total for n in drawn]
        weights = class_weights(drawn, self.scheme, self.beta, self.power)
        return weights if self.kind == "weighted_dir" else [min(w, self.cap) for w in weights]

    def build(self, scene: Scene) -> Step:
        by_norm_of_g = self.kind in ("radius", "eq5_literal", "one_minus")

        @cache  # once an epoch at most: frequencies change with the sampler's phase
        def emphasis(frequencies: tuple[float, ...]) -> ClassWeights:
            drawn = [f * sum(scene.counts) / sum(frequencies) for f in frequencies]
            divide_by = "weights" if self.kind == "weighted_dir" else "samples"
            return ClassWeights(scene.tensor(self.emphasis(drawn)), divide_by)

        def step(objective: Objective, y: torch.Tensor, optimizer: torch.optim.Optimizer) -> torch.Tensor:
            weights = trained(optimizer)
            plain, emphasised = objective.each(None, emphasis(scene.frequencies))
            v = gradient(emphasised, weights, again=by_norm_of_g)
            over = None if self.kind == "eq3_linear" else gradient(plain, weights) if by_norm_of_g else v
            descend_from(climb(self.rho, v, over, plain), objective, optimizer, scene.model)
            return plain.detach()

        return step


@dataclass(frozen=True)
class ImbSAM(SAM):
    """Sharpness of the tail only: grad head(theta) + ``tail_weight`` grad tail(theta + e), with e = rho g / |g| and g
    the gradient of the tail's part of the loss (Zhou et al. 2023, arXiv 2308.07815; cool-xuan/Imbalanced_SAM).

    Both parts are sums over their images divided as the whole batch is. A class is in the tail if it has fewer than
    ``eta`` training images, as in their scripts/train.py; with none there, as on CIFAR-10 at an imbalance factor of
    100, the step is ERM's. What is no image's loss, such as that of Joint-SSL's views, belongs to the head.
    """

    eta: float = hyper(20.0, "ImbSAM code, scripts/train.py; Few is the same", Range(20.0, 100.0))
    tail_weight: float = hyper(2.0, "ImbSAM code, utils/trainval.py:128-143; the paper's text has 1")
    neutral = {"eta": 0.0}
    fusable = True
    condition = "no class is in the tail"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.tail_weight >= 0, "tail_weight must be at least 0")

    def foreseen(self, counts: Sequence[int], smoothing: float) -> str:
        return "" if min(counts) < self.eta else f"{self.condition}: none has fewer than {self.eta:g} training images"

    def build(self, scene: Scene) -> _ImbSAMStep:
        return _ImbSAMStep(self, scene)


class _ImbSAMStep:
    def __init__(self, part: ImbSAM, scene: Scene) -> None:
        self._part, self._scene = part, scene
        self._is_head = scene.tensor(float(n >= part.eta) for n in scene.counts)
        self._tail_classes = float(sum(n < part.eta for n in scene.counts))
        self._steps, self._acted = 0, torch.zeros((), device=scene.device)

    def __call__(self, objective: Objective, y: torch.Tensor, optimizer: torch.optim.Optimizer) -> torch.Tensor:
        weights, head_only = trained(optimizer), ClassWeights(self._is_head, "samples")
        plain, head = objective.each(None, head_only)
        g = gradient(plain - head, weights, again=True)
        optimizer.zero_grad(set_to_none=True)
        head.sum().backward()
        with climbed(self._scene.model, weights, climb(self._part.rho, g, g, plain)):
            everything, spared = objective.each(None, head_only)
            tail = self._part.tail_weight * (everything - spared)
            tail.sum().backward()  # adds to the head's gradient
        optimizer.step()
        self._steps += 1
        self._acted = self._acted + (self._is_head[y] == 0).any(dim=-1)
        return plain.detach()

    def notes(self) -> dict[str, Any]:
        """Since the last call, the share of steps with an image of the tail, of each seed where there are several; and
        how many classes are in it."""
        share = (self._acted.double() / max(self._steps, 1)).tolist()
        self._steps, self._acted = 0, torch.zeros_like(self._acted)
        return {"acted": share, "tail_classes": self._tail_classes}
