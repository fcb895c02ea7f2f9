"""The objective: the loss of one batch, as the hinge between the loop and the method's step.

Losses are per sample, so a step such as SAM-A's can climb with class-wise emphasis and descend without.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call

from ...datasets.files import cache
from ...methods.optimizers.batchnorm import resting_statistics
from ...methods.part import ClassWeights, MethodError, Mixed

Features = Callable[[torch.Tensor], torch.Tensor]
Target = tuple[float, torch.Tensor, torch.Tensor]  # share, classes (B,), the loss of each sample (B,)


@dataclass
class Objective:
    """``objective(emphasis)`` runs one forward pass of ``batch`` and returns its scalar loss; ``each`` of several
    emphases returns as many losses from one pass, whose graph they share.

    A sample that is ``share`` of class y and the rest of class o counts as two targets with their own weight, margin
    and epsilon: sum_i [s w_y l(z, y) + (1 - s) w_o l(z, o)], over the same sum without the losses. ``views`` are the
    two that ``extra`` compares, or the one that it compares with the batch itself. ``features`` are the model's where
    they are not given, compiled perhaps.
    """

    model: nn.Module
    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    extra: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None
    epsilon: torch.Tensor
    weights: ClassWeights
    autocast: Callable[[], AbstractContextManager]
    batch: Mixed
    views: tuple[torch.Tensor, ...] = ()
    features: Features | None = None

    def __post_init__(self) -> None:
        self.features_of: Features = self.features or self.model.features  # type: ignore[assignment]

    def __call__(self, emphasis: ClassWeights | None = None) -> torch.Tensor:
        return self.each(emphasis)[0]

    def each(self, *emphases: ClassWeights | None) -> list[torch.Tensor]:
        """The losses under several class-wise emphases, each a scalar, from one pass of the network."""
        with self.autocast():
            features = self.features_of(self.batch.x)
            logits = self.model.head(features)  # type: ignore[operator]
        targets = self._targets(wide(logits))
        supervised = [self._supervised(targets, emphasis) for emphasis in emphases]
        if self.extra is None:
            return supervised
        unsupervised = _unsupervised(self.model, self.features_of, self.extra, self.autocast, features, self.views)
        return [self._joint(loss, unsupervised) for loss in supervised]

    def losses(
        self, logits: torch.Tensor, unsupervised: torch.Tensor | None, emphases: Sequence[ClassWeights | None]
    ) -> list[torch.Tensor]:
        """The same where the network's pass was made elsewhere.

        Args:
            logits: What came of it (B, C).
            unsupervised: What ``extra`` says of its features, a scalar; None where there is no such loss.
            emphases: One for each loss.
        """
        targets = self._targets(wide(logits))
        supervised = [self._supervised(targets, emphasis) for emphasis in emphases]
        return supervised if unsupervised is None else [self._joint(loss, unsupervised) for loss in supervised]

    def _joint(self, supervised: torch.Tensor, unsupervised: torch.Tensor) -> torch.Tensor:
        return getattr(self.extra, "supervised_weight", 1.0) * supervised + unsupervised

    def _targets(self, logits: torch.Tensor) -> list[Target]:
        """The one or two targets of the batch, each with the loss of every sample under it. MethodError where the loss
        has another shape, or has changed what others read too."""
        targets = [(self.batch.share, self.batch.y)]
        if self.batch.share < 1:
            targets.append((1 - self.batch.share, self.batch.other))
        weighted = []
        for share, y in targets:
            before = logits._version, y._version
            losses = self.loss(logits, y, self.epsilon[y])
            if losses.shape != y.shape:  # it would be broadcast, and train something else
                raise MethodError(
                    f"a loss must return one number a sample, {tuple(y.shape)}, not {tuple(losses.shape)}"
                )
            if y._version != before[1] or (len(targets) > 1 and logits._version != before[0]):
                raise MethodError(
                    "a loss must leave the logits and labels that it is given as they are, since the other half of a "
                    "mixed batch is scored on them too: change a copy, as logits.clone()"
                )
            weighted.append((share, y, losses))
        return weighted

    def _supervised(self, targets: list[Target], emphasis: ClassWeights | None) -> torch.Tensor:
        above = below = self.epsilon.new_zeros(())
        for share, y, losses in targets:
            weight, divisor = self._weights(y, emphasis)
            above = above + share * (weight * losses).sum()
            below = below + share * divisor.sum()
        return above / below

    def _weights(self, y: torch.Tensor, emphasis: ClassWeights | None) -> tuple[torch.Tensor, torch.Tensor]:
        """The weight of each sample (B,), and what it adds to the divisor (B,)."""
        weight = divisor = torch.ones(len(y), device=y.device, dtype=self.epsilon.dtype)
        for factor in (self.weights, emphasis):
            if factor is not None:
                weight = weight * factor.values[y]
                divisor = divisor * factor.values[y] if factor.divide_by == "weights" else divisor
        return weight, divisor


class SeedsModule(nn.Module):
    """A network and what compares its views: of one seed, or the frame that the weights of each seed are put into."""

    def __init__(self, model: nn.Module, extra: Callable | None, autocast: Callable[[], AbstractContextManager]):
        super().__init__()
        self.model, self.extra, self._autocast = model, extra, autocast

    def forward(self, x: torch.Tensor, views: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Logits (B, C) of normalised images (B, channels, H, W) and, where views are compared, what that comes to."""
        with self._autocast():
            features_of: Features = self.model.features  # type: ignore[assignment]
            features = features_of(x)
            logits = self.model.head(features)  # type: ignore[operator]
        if self.extra is None:
            return (logits,)
        return logits, _unsupervised(self.model, features_of, self.extra, self._autocast, features, views)


@dataclass
class SeedsObjective:
    """The objectives of several seeds, whose weights stand behind each other in ``frame``: one pass of all, and the
    losses of each seed (S,) from its own objective."""

    frame: SeedsModule
    seeds: Sequence[Objective]

    def __call__(self, emphasis: ClassWeights | None = None) -> torch.Tensor:
        return self.each(emphasis)[0]

    def each(self, *emphases: ClassWeights | None) -> list[torch.Tensor]:
        """The losses under several class-wise emphases, each (S,), from one pass of the networks."""
        tensors = dict(self.frame.named_parameters()) | dict(self.frame.named_buffers())
        x = torch.stack([seed.batch.x for seed in self.seeds]).contiguous()
        views = tuple(map(torch.stack, zip(*(seed.views for seed in self.seeds), strict=True)))
        passed = torch.vmap(lambda own, *given: functional_call(self.frame, own, given))(tensors, x, views)
        logits, unsupervised = passed[0], passed[1] if len(passed) > 1 else [None] * len(x)
        own = [s.losses(z, u, emphases) for s, z, u in zip(self.seeds, logits, unsupervised, strict=True)]
        return [torch.stack(losses) for losses in zip(*own, strict=True)]


def _unsupervised(
    model: nn.Module,
    features_of: Features,
    extra: Callable,
    autocast: Callable[[], AbstractContextManager],
    features: torch.Tensor,
    views: tuple[torch.Tensor, ...],
) -> torch.Tensor:
    """The views are coloured otherwise than the images that the network will meet, so BatchNorm rests."""
    with resting_statistics(model), autocast():
        one, two = [features, *map(features_of, views)][-2:]
    return extra(wide(one), wide(two))


def wide(x: torch.Tensor) -> torch.Tensor:
    """Losses are computed in at least float32, whatever the precision of the network."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def compiled(features: nn.Module) -> Features:
    """A network's features, compiled by PyTorch at the first batch of each size. What comes out lies in tailboard's
    cache for the next trial, whose first batch then takes seconds and not a minute.

    The numbers may not hang on what this process trained before: what it compiled is forgotten first, no size of batch
    is taken for a special case of another, and where something cannot be compiled whole it is an error.

    Raises:
        OSError: where a CPU's network has no C++ compiler, and by what is returned where what is there cannot compile,
            as without Python's headers: no fault of the method's, and another machine may do better.
    """
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    on_cpu = next(features.parameters()).device.type == "cpu"
    if on_cpu and not shutil.which(compiler):
        raise OSError(f"training.compile needs a C++ compiler, and {compiler} is not on this machine")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache() / "compiled"))
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(torch.get_num_threads()))  # not one for each core
    torch.compiler.reset()
    from torch._dynamo.exc import BackendCompilerFailed  # imports the compiler

    made = torch.compile(features, dynamic=False, fullgraph=True)

    def passed(x: torch.Tensor) -> torch.Tensor:
        try:
            return made(x)
        except BackendCompilerFailed as error:
            why = next(filter(None, str(error).splitlines()), type(error).__name__)
            raise OSError(f"training.compile: PyTorch cannot compile the network on this machine: {why}") from error

    return passed
