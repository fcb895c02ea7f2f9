"""Classifier re-training, cRT: features learnt as they come, then a new head on balanced draws (Kang et al. 2020)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..part import MethodError, Part, Scene, hyper
from ..range import Range


@dataclass(frozen=True)
class Retrain(Part):
    """From ``start``, a fraction of training, the features rest and a new head is learnt (arXiv 1910.09217, 4.2).

    Resting features are those of evaluation: no gradient, no weight decay, no momentum, no new BatchNorm statistics.
    The balanced draws are the sampler's (give it the same start), and the learning rate is what the routine's schedule
    has left.
    """

    start: float = hyper(0.8, "ours: as the deferred methods", Range(0.6, 0.9))
    neutral = {"start": 1.0}
    condition = "the head was never re-trained"
    starts_with_sampler = True

    def __post_init__(self) -> None:
        self.require(0 <= self.start <= 1, "start is a fraction of training, in [0, 1]")

    def foreseen(self, counts: Sequence[int], smoothing: float) -> str:
        return self.condition if self.start == 1 else ""

    def build(self, scene: Scene) -> _Retraining:
        return _Retraining(math.ceil(self.start * scene.epochs), scene)


class _Retraining:
    """The step. The new head is drawn here, before training, so a run that is resumed has the same one."""

    def __init__(self, first: int, scene: Scene) -> None:
        self._first, self._scene = first, scene
        fresh = _redrawn(scene.model.head, scene.generator("retrain"))  # type: ignore[arg-type]
        self._fresh = fresh.to(scene.device).state_dict()
        self._seen = -1  # the epoch of the last step; checkpoints lie between epochs, so it need not be saved

    def __call__(
        self, objective: Callable[[], torch.Tensor], y: torch.Tensor, optimizer: torch.optim.Optimizer
    ) -> torch.Tensor:
        epoch, model = self._scene.epoch, self._scene.model
        if epoch >= self._first:
            model.features.requires_grad_(False).eval()  # type: ignore[union-attr, operator]
        if epoch == self._first and epoch != self._seen:
            self._replace_head(model.head, optimizer)  # type: ignore[arg-type]
        self._seen = epoch
        optimizer.zero_grad(set_to_none=True)  # what has no gradient is left alone by the optimizer, decay and all
        loss = objective()
        loss.backward()
        optimizer.step()
        return loss

    def notes(self) -> dict[str, float]:
        """Whether the features rested in the present epoch."""
        return {"acted": float(self._scene.epoch >= self._first)}

    def _replace_head(self, head: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """New weights, at rest: the old head's momentum is not theirs."""
        head.load_state_dict(self._fresh)
        for weight in head.parameters():
            for value in optimizer.state[weight].values():
                if isinstance(value, torch.Tensor):
                    value.zero_()


def _redrawn(head: torch.nn.Module, generator: torch.Generator) -> torch.nn.Module:
    """A copy of the head with first weights of its own, drawn on the CPU; MethodError where it cannot draw any."""
    head = copy.deepcopy(head).cpu()
    if not hasattr(head, "reset_parameters"):
        raise MethodError(f"cRT draws the head anew: {type(head).__name__} must define reset_parameters()")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
        head.reset_parameters()  # type: ignore[operator]
    return head
