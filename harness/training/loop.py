"""The one training loop: every method runs through these lines.

    draw batch -> augment -> generate (M2m, in unnormalised pixels) -> normalise -> CutMix -> objective -> step
    -> moving average -> schedule

Images come as uint8, from the device or from the mapped file (see ``device_images.py``); augmentation runs on whole
batches on the device.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from ...datasets.augment.augmix import augmix
from ...datasets.augment.auto_augment import auto_augment
from ...datasets.augment.basic import cutmix, random_crop, random_flip
from ...datasets.augment.resized_crop import random_resized_crop
from ...datasets.augment.ssl_views import ssl_view
from ...datasets.augment.trivial_augment import trivial_augment_wide
from ...datasets.rows import Rows
from ...methods.losses import cross_entropy
from ...methods.optimizers.sgd import EagerSGD
from ...methods.part import ClassWeights, MethodError, Mixed, Scene
from ...methods.recipe import Recipe
from ...methods.sampling.balance import shuffled
from ..registry.networks import Network
from ..spec.training import NetworkTraining
from .device_images import DeviceData, MappedImages, split
from .objective import Objective, compiled
from .random_streams import RandomStreams, derive_seed, initialisation
from .schedule import ExponentialMovingAverage, learning_rate, steps_per_epoch

EVALUATION_BATCH = 512
AUGMENTATIONS = {  # by the word of the routine: the stream that it draws from, and the function
    "augmix": ("augmix", augmix),
    "auto_augment": ("auto_augment", auto_augment),
    "trivial_augment_wide": ("trivial_augment", trivial_augment_wide),
}


class Diverged(Exception):
    """A loss was not finite."""

    def __init__(self, step: int, losses: list[float], lr: float) -> None:
        shown = ", ".join(f"{loss:.4g}" for loss in losses)
        self.found = step, losses, lr
        super().__init__(f"loss not finite at step {step}: {shown} (learning rate {lr:.4g})")


def descend(objective: Callable[[], torch.Tensor], y: torch.Tensor, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """ERM's step: one forward, one backward.

    Args:
        objective: Returns the loss, a scalar; or one of each seed (S,) that is trained.
        y: The labels of the batch (B,), or of each seed's (S, B).
        optimizer: Takes the step.

    Returns:
        The loss.
    """
    optimizer.zero_grad(set_to_none=True)
    loss = objective()
    loss.sum().backward()  # the losses of several seeds have no weight in common
    optimizer.step()
    return loss


def optimizer_of(module: nn.Module, routine: NetworkTraining) -> torch.optim.Optimizer:
    """What moves the weights of a module under a routine."""
    return EagerSGD(
        module.parameters(), lr=routine.lr, momentum=routine.momentum, weight_decay=routine.weight_decay, fused=True
    )


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Inside, networks compute in a routine's precision.

    Args:
        device: On which.
        precision: ``float32`` or ``bfloat16``.

    Returns:
        The context.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@torch.no_grad()
def evaluated(
    model: nn.Module,
    material: DeviceData,
    finish: Callable[[torch.Tensor], torch.Tensor],
    x: torch.Tensor | Rows,
    precision: str,
) -> torch.Tensor:
    """Logits (N, C) of a trained network, on the CPU in float32.

    Args:
        model: The network, on the material's device.
        material: How pixels are normalised.
        finish: The recipe's last change of logits.
        x: uint8 images (N, channels, H, W).
        precision: The routine's.
    """
    model.eval()
    parts = []
    for chunk in split(x, EVALUATION_BATCH):
        with autocast(material.mean.device, precision):
            sent = chunk.to(material.mean.device, non_blocking=True)
            logits = model(material.normalised(material.pixels(sent), keep=False))
        parts.append(finish(logits.float()))
    return torch.cat(parts).cpu()  # once, so that a GPU is not waited for after each batch


@dataclass
class TrainingLoop:
    """One training in progress: ``epochs()`` trains, ``state()`` and ``restore()`` are what a checkpoint holds."""

    recipe: Recipe
    training: NetworkTraining
    model: Network
    material: DeviceData
    scene: Scene
    streams: RandomStreams
    done: int = 0  # epochs
    seconds: float = 0.0  # of training, over all resumes
    history: list[dict[str, float]] = field(default_factory=list)
    rows: Any = None  # what made the rows of a table that are learnt from

    def __post_init__(self) -> None:
        parts, scene = self.recipe.parts(), self.scene
        build = lambda slot, default: parts[slot].build(scene) if slot in parts else default  # noqa: E731
        if "head" in parts:
            with initialisation(self.streams.seed, "head"):
                self.model.head = build("head", None)
        self.model.to(scene.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.features = compiled(self.model.features) if self.training.compile else None
        self.loss = build("loss", cross_entropy)
        self.epsilon = build("smoothing", scene.tensor([self._default_epsilon()] * scene.classes))
        even = ClassWeights(scene.tensor([1.0] * scene.classes))
        self.weights = build("weights", lambda _: even)
        streams = self.streams  # no reference to itself: a loop that is let go is gone at once, with its images
        self.sampler = build("sampler", lambda labels, _: shuffled(labels, streams("order")))
        self.mixer = build("mixer", None)
        with initialisation(self.streams.seed, "extra"):
            self.extra = build("extra", None)
        self.two_views = getattr(self.extra, "views", 3) == 2
        if self.two_views and self.mixer:
            raise MethodError("with two views the training batch is one of them and cannot be mixed: use three views")
        self.step = build("step", descend)
        self.finish = build("finish", lambda logits: logits)
        self.trained = nn.ModuleDict({"model": self.model})
        if isinstance(self.extra, nn.Module):
            self.trained["extra"] = self.extra.to(scene.device)
        self.labels = self.material.y.cpu()
        self._on_cpu: dict[torch.Tensor, torch.Tensor] = {}  # the positions of each batch of the epoch
        self.batch_size = min(self.training.batch_size, len(self.labels))
        self.steps_per_epoch = steps_per_epoch(len(self.labels), self.training)
        self.average = ExponentialMovingAverage(self.model, self.training.ema)

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """Made when training begins, since a method's parts may have parameters of their own."""
        return optimizer_of(self.trained, self.training)

    def _default_epsilon(self) -> float:
        asked = self.recipe.loss.smoothing if self.recipe.loss else None
        return self.training.label_smoothing if asked is None else asked

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train, one epoch at a time; yields that epoch's line of the history. Raises Diverged."""
        while self.done < self.training.epochs:
            start = time.perf_counter()
            losses, lr = self._epoch(self.done)
            yield self._end_epoch(losses, lr, time.perf_counter() - start)

    def _end_epoch(self, losses: list[float], lr: float, seconds: float) -> dict[str, float]:
        """An epoch is over: its line of the history."""
        self.seconds += seconds
        self.history.append({"epoch": self.done, "loss": sum(losses) / len(losses), "lr": lr} | self._notes())
        self.done += 1
        if self.training.track_every and (
            self.done % self.training.track_every == 0 or self.done == self.training.epochs
        ):
            self.history[-1] |= self._tracked(self.training.track == "minority")
        return self.history[-1]

    def _images(self, positions: torch.Tensor) -> torch.Tensor:
        """Those of positions (B,) on the CPU."""
        return self.material.x[positions.to(self.material.y.device, non_blocking=True)]

    def _tracked(self, minority: bool) -> dict[str, float]:
        """The accuracy in percent on the training images as they are, of the network that would be scored now; and that
        on those of the last C // 2 classes. Nothing is drawn, so training goes on as without it."""
        hits = torch.cat(
            [
                self.logits(self._images(positions)).argmax(1) == self.labels[positions]
                for positions in torch.arange(len(self.labels)).split(EVALUATION_BATCH)
            ]
        ).double()
        shares = {"train_accuracy": hits.mean()}
        if minority:
            rare = self.labels >= self.scene.classes - self.scene.classes // 2
            shares["train_accuracy_minority"] = hits[rare].mean()
        return {name: 100 * float(share) for name, share in shares.items()}

    def _notes(self) -> dict[str, float]:
        """What the recipe's parts note of the epoch, each number under its slot, such as ``mixer.accepted``."""
        built = {slot: getattr(self, slot, None) for slot in self.recipe.parts()}
        noted = {slot: getattr(part, "notes", dict)() for slot, part in built.items()}
        return {f"{slot}.{name}": float(value) for slot, numbers in noted.items() for name, value in numbers.items()}

    def _epoch(self, epoch: int) -> tuple[list[float], float]:
        """Every step of an epoch: their losses, and the last learning rate."""
        order, weights = self._begin(epoch)
        losses = torch.empty(self.steps_per_epoch, device=self.material.y.device)
        lr = 0.0
        for index, chosen in enumerate(order):
            step = epoch * self.steps_per_epoch + index
            lr = self._set_rate(step)
            losses[index] = self._advance(chosen, epoch, weights)
            if self.training.ema:
                self.average.update(step)
        return _finite(losses.tolist(), epoch * self.steps_per_epoch, lr), lr

    def _begin(self, epoch: int) -> tuple[tuple[torch.Tensor, ...], ClassWeights]:
        """The indices (B,) of each step of the epoch, the last, partial batch only where the routine keeps it. And the
        class weights."""
        self.model.train()
        self.streams.restart(epoch)
        self.scene.epoch = epoch
        drawn = getattr(self.sampler, "frequencies", lambda _: self.scene.counts)
        self.scene.frequencies = tuple(drawn(epoch))
        _seed_libraries(derive_seed(self.streams.seed, "libraries", epoch))
        taken = min(self.steps_per_epoch * self.batch_size, len(self.labels))
        order = self.sampler(self.labels.clone(), epoch)[:taken]  # a copy: on a CPU these are what is trained on
        if len(order) < taken:
            raise MethodError(f"a sampler must return an epoch's {len(self.labels)} indices, not {len(order)}")
        batches = order.to(self.material.y.device, non_blocking=True).split(self.batch_size)
        self._on_cpu = dict(zip(batches, order.split(self.batch_size), strict=True))
        if isinstance(self.material.x, MappedImages):
            self.material.x.announce(batches, order)
        return batches, self.weights(epoch)

    def _set_rate(self, step: int) -> float:
        lr = learning_rate(step, self.steps_per_epoch, self.training)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        return lr

    def _advance(self, chosen: torch.Tensor, epoch: int, weights: ClassWeights) -> torch.Tensor:
        """One step on the chosen images; its loss, still on the device."""
        objective = self._objective(chosen, epoch, weights)
        return self.step(objective, objective.batch.y, self.optimizer).detach()

    def _objective(self, chosen: torch.Tensor, epoch: int, weights: ClassWeights) -> Objective:
        """That of one step on the chosen images (B,)."""
        batch, views = self._batch(chosen, epoch)
        return Objective(
            self.model, self.loss, self.extra, self.epsilon, weights, self._autocast, batch, views, self.features
        )

    def step_seconds(self, epoch: int, steps: int, clock: Callable[[], float] = time.perf_counter) -> list[float]:
        """How long steps take as they are in an epoch. It trains: for a run that is thrown away.

        Args:
            epoch: Which.
            steps: How many are made.
            clock: What tells the seconds.

        Returns:
            The seconds of each step.
        """
        order, weights = self._begin(epoch)
        seconds = []
        for chosen in order[:steps]:
            start = clock()
            self._advance(chosen, epoch, weights).item()  # .item() waits for the device
            seconds.append(clock() - start)
        return seconds

    def _batch(self, chosen: torch.Tensor, epoch: int) -> tuple[Mixed, tuple[torch.Tensor, ...]]:
        """The images of one step, and views of the originals where the recipe has an unsupervised loss."""
        raw, y = self.material.x[chosen], self.material.y[chosen]
        if chosen in self._on_cpu:
            self.scene.present = y, self.labels[self._on_cpu[chosen]]
        if self.two_views:
            one, two = self._views(raw)
            return Mixed(one, y, y), (two,)
        pixels = self.material.pixels(self._augment(raw))
        with self._autocast():  # a mixer may run networks
            batch = self.mixer(pixels, y, epoch) if self.mixer else Mixed(pixels, y, y)
        batch = batch._replace(x=self.material.normalised(batch.x, keep=bool(self.mixer)))
        if not batch.closed and self.training.cutmix:
            x, partner, share = cutmix(
                batch.x, self.streams("cutmix"), self.training.cutmix_alpha, self.training.cutmix
            )
            batch = Mixed(x, y, y[partner], share)
        return batch, self._views(raw) if self.extra else ()

    def _augment(self, x: torch.Tensor) -> torch.Tensor:
        if self.training.resized_crop:
            x = random_resized_crop(x, self.training.resized_crop, self.streams("resized_crop"))
        elif self.training.crop_padding:
            x = random_crop(x, self.training.crop_padding, self.streams("crop"))
        if self.training.flip:
            x = random_flip(x, self.streams("flip"))
        if self.training.augment in AUGMENTATIONS:
            stream, augmented = AUGMENTATIONS[self.training.augment]
            x = augmented(x, self.streams(stream))
        return x

    def _views(self, raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels, generator = self.material.pixels(raw), self.streams("views")
        views = (ssl_view(pixels, generator).contiguous(memory_format=torch.channels_last) for _ in range(2))
        one, two = map(self.material.normalised, views)
        return one, two

    def _autocast(self) -> AbstractContextManager:
        return autocast(self.scene.device, self.training.precision)

    def logits(self, x: torch.Tensor | Rows, averaged: bool = True) -> torch.Tensor:
        """What the network says of images.

        Args:
            x: uint8 (N, channels, H, W).
            averaged: Whether its weights are the moving average, not the last.

        Returns:
            Logits (N, C), on the CPU in float32.
        """
        with self.average.swapped_in() if averaged and self.training.ema else nullcontext():
            return evaluated(self.model, self.material, self.finish, self.material.prepared(x), self.training.precision)

    def averaged_weights(self) -> dict[str, torch.Tensor]:
        """The network that is scored, as a state dict of its own."""
        with self.average.swapped_in() if self.training.ema else nullcontext():
            return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on bit for bit; tensors and plain values only."""
        return {
            "trained": self.trained.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state(),
            "done": self.done,
            "seconds": self.seconds,
            "history": self.history,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from ``state``, as :meth:`state` returned it."""
        self.trained.load_state_dict(state["trained"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.restore(state["average"])
        self.done, self.seconds, self.history = state["done"], state["seconds"], state["history"]


def _seed_libraries(seed: int) -> None:
    """For a method that draws from a library's own generator: what a reused worker did before must not show."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def _finite(losses: list[float], first_step: int, lr: float) -> list[float]:
    """The losses of an epoch, or Diverged; looked at once an epoch, so that a GPU is not made to wait each step."""
    for index, loss in enumerate(losses):
        if not math.isfinite(loss):
            raise Diverged(first_step + index, losses[max(0, index - 2) : index + 1], lr)
    return losses
