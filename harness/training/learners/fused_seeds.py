"""Several seeds of one experiment, trained as one: each draws its batches as it would alone, and the passes, the step
and the optimizer act on the weights of all, which stand behind each other.

It is for networks that leave a GPU idle. The numbers are those of separate trainings but for rounding, since the
operations of the seeds are grouped: in float64 they agree within 1e-9 after five steps, whatever the method. In float32
a step's gradient is as near to that of float64 as a separate training's; then the two part as any two roundings do.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ....methods.part import ClassWeights
from ..loop import Diverged, TrainingLoop, _finite, descend, optimizer_of
from ..objective import SeedsModule, SeedsObjective, wide


class FusedTraining:
    """The loops of several seeds, advanced together. What each loop holds (network, moving average, history) is its
    own seed's, so that it is evaluated and recorded as one that was trained alone."""

    def __init__(self, loops: Sequence[TrainingLoop]) -> None:
        """
        Args:
            loops: One for each seed, at their start; at least one.
        """
        first = loops[0]
        self.loops, self.training = loops, first.training
        self.done = 0  # epochs
        self.diverged: dict[int, Diverged] = {}  # by the place of the seed: the others go on
        self.frame = _joined(loops)
        self.scene = replace(first.scene, model=self.frame.model)
        self.optimizer = optimizer_of(self.frame, first.training)
        part = first.recipe.step
        self.step = part.build(self.scene) if part else descend
        for place, loop in enumerate(loops):
            loop.optimizer = self.optimizer
            loop.step = SimpleNamespace(notes=lambda place=place: self._notes_of_step(place))
        self._noted: dict[str, Any] = {}

    @property
    def seconds(self) -> float:
        """The share of one seed in the seconds of training, over all resumes."""
        return max(loop.seconds for loop in self.loops)

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train, one epoch at a time; yields that epoch's line of the first seed that has not diverged. It ends before
        the last epoch where all have."""
        while self.done < self.training.epochs:
            start = time.perf_counter()
            losses, lr = self._epoch(self.done)
            seconds = (time.perf_counter() - start) / len(self.loops)
            self._noted = getattr(self.step, "notes", dict)()
            first_step = self.done * self.loops[0].steps_per_epoch
            for place, (loop, own) in enumerate(zip(self.loops, losses, strict=True)):
                if place in self.diverged:
                    continue
                try:
                    loop._end_epoch(_finite(own, first_step, lr), lr, seconds)
                except Diverged as error:
                    self.diverged[place] = error
            self.done += 1
            left = [loop for place, loop in enumerate(self.loops) if place not in self.diverged]
            if not left:
                return
            yield left[0].history[-1]

    def _epoch(self, epoch: int) -> tuple[list[list[float]], float]:
        """Every step of an epoch: the losses of each seed, and the last learning rate."""
        begun = [loop._begin(epoch) for loop in self.loops]
        first, weights = self.loops[0], [own for _, own in begun]
        self.frame.train()
        self.scene.epoch, self.scene.frequencies = epoch, first.scene.frequencies
        losses = torch.empty(len(begun), first.steps_per_epoch, device=first.material.y.device)
        lr = 0.0
        for index, chosen in enumerate(zip(*(order for order, _ in begun), strict=True)):
            step = epoch * first.steps_per_epoch + index
            lr = first._set_rate(step)
            losses[:, index] = self._advance(chosen, epoch, weights)
            if self.training.ema:
                for loop in self.loops:
                    loop.average.update(step)
        return losses.tolist(), lr

    def _advance(self, chosen: Sequence[torch.Tensor], epoch: int, weights: Sequence[ClassWeights]) -> torch.Tensor:
        """One step of all seeds, each on its own images; their losses (S,), still on the device."""
        drawn = zip(self.loops, chosen, weights, strict=True)
        own = [loop._objective(images, epoch, of_classes) for loop, images, of_classes in drawn]
        y = torch.stack([objective.batch.y for objective in own])
        return self.step(SeedsObjective(self.frame, own), y, self.optimizer).detach()

    def _notes_of_step(self, place: int) -> dict[str, float]:
        """What the step noted of a seed: of what it noted of each, that seed's."""
        return {name: value[place] if isinstance(value, list) else value for name, value in self._noted.items()}

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on bit for bit; tensors and plain values only."""
        return {
            "trained": self.frame.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "done": self.done,
            "averages": [loop.average.state() for loop in self.loops],
            "seconds": [loop.seconds for loop in self.loops],
            "histories": [loop.history for loop in self.loops],
            "diverged": {place: error.found for place, error in self.diverged.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, as :meth:`state` returned it."""
        self.frame.load_state_dict(state["trained"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = state["done"]
        self.diverged = {place: Diverged(*found) for place, found in state["diverged"].items()}
        own = zip(self.loops, state["averages"], state["seconds"], state["histories"], strict=True)
        for loop, average, seconds, history in own:
            loop.average.restore(average)
            loop.seconds, loop.history, loop.done = seconds, history, len(history)


def _joined(loops: Sequence[TrainingLoop]) -> SeedsModule:
    """A module whose tensors are those of all seeds behind each other, (S, ...); those of each seed's own network are
    views of them from now on."""
    modules = [SeedsModule(loop.model, loop.extra, loop._autocast) for loop in loops]
    frame = SeedsModule(*copy.deepcopy((loops[0].model, loops[0].extra)), loops[0]._autocast)
    for whole, *own in zip(_tensors(frame), *map(_tensors, modules), strict=True):
        whole.data = joined = torch.stack([tensor.data for tensor in own]).contiguous()
        for tensor, view in zip(own, joined, strict=True):
            tensor.data = view
    for module in frame.modules():
        if isinstance(module, _BatchNorm):  # vmap gives it weights of its images' type, and its statistics are wider
            module.register_forward_pre_hook(lambda _, given: tuple(map(wide, given)))
    return frame


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]
