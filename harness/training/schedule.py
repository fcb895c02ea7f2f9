"""The learning rate at each step, and the moving average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from math import fsum

import torch

from ..spec.training import AnyTraining, NetworkTraining


def steps_per_epoch(images: int, training: AnyTraining) -> int:
    """The steps of an epoch.

    Args:
        images: Training images.
        training: The routine.

    Returns:
        How many whole batches there are, and one more for the last, partial one where the routine keeps it.
    """
    size = min(training.batch_size or images, images)  # an estimator has no batches
    return -(-images // size) if training.last_batch else images // size


def learning_rate(step: int, steps_per_epoch: int, training: NetworkTraining) -> float:
    """The rate of an optimiser step: linear warm-up to ``lr`` (per step, or per epoch where the routine says so), then
    the schedule, per step. ``cosine`` would be 0 one step after the last; ``step`` is LDAM-DRW's, 0.01 of ``lr`` from
    80 percent of training and 0.0001 from 90.

    Args:
        step: Its number, from 0.
        steps_per_epoch: Optimiser steps.
        training: The routine.

    Returns:
        The rate.
    """
    total = training.epochs * steps_per_epoch
    warm = min(round(training.warmup_epochs * steps_per_epoch), total)
    if step < warm:
        risen = (step // steps_per_epoch + 1) / training.warmup_epochs if training.warmup else (step + 1) / warm
        return training.lr * min(1.0, risen)
    if training.schedule == "cosine":
        return training.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))
    if training.schedule == "step":
        return training.lr * (0.0001 if step >= 0.9 * total else 0.01 if step >= 0.8 * total else 1.0)
    return training.lr


SPAN = 40  # the average spans a fortieth of the steps so far: more than 5 half-lives from 90 percent of training on


def average_decay(step: int, ema: float) -> float:
    """The decay of the moving average at step ``step`` (from 0): min(ema, (1 + t) / (SPAN + t)).

    The second makes the average follow the training whatever its length. It is the same for every method, whether or
    not one changes what it does on the way.
    """
    return min(ema, (1 + step) / (SPAN + step))


def half_lives(first: int, last: int, ema: float) -> float:
    """How often the share of weights older than a step was halved.

    Args:
        first: The step.
        last: Halved by the end of the step before this one.
        ema: The decay of the average per step.

    Returns:
        The number of half-lives.
    """
    return -fsum(math.log2(average_decay(step, ema)) for step in range(first, last))


class ExponentialMovingAverage:
    """An exponential moving average of a model's weights and BatchNorm buffers, once a step.

    Integer buffers, BatchNorm's count of batches, are left to the model.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self.decay = decay
        self._model = model
        self._mean = [t.detach().clone() for t in self._tensors()]

    def _tensors(self) -> list[torch.Tensor]:
        return [t for t in self._model.state_dict(keep_vars=False).values() if t.is_floating_point()]

    def update(self, step: int) -> None:
        """Take in the weights after step ``step`` (from 0)."""
        with torch.no_grad():
            torch._foreach_lerp_(self._mean, self._tensors(), 1 - average_decay(step, self.decay))

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The model holds the average inside, and its own weights again after."""
        weights = [t.clone() for t in self._tensors()]
        with torch.no_grad():
            torch._foreach_copy_(self._tensors(), self._mean)
            try:
                yield
            finally:
                torch._foreach_copy_(self._tensors(), weights)

    def state(self) -> list[torch.Tensor]:
        """The averaged tensors, for a checkpoint."""
        return self._mean

    def restore(self, state: list[torch.Tensor]) -> None:
        """Go on from ``state``, as :meth:`state` returned it."""
        torch._foreach_copy_(self._mean, state)
