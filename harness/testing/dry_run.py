"""A run on random images: for the conformance checks, which need no data set, and for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from ...datasets.split import Images
from ...datasets.tables.columns import Column
from ...methods.part import Scene
from ...methods.recipe import Recipe
from ..registry.networks import network
from ..spec.presets import T5
from ..spec.schema import Trial
from ..spec.training import Training
from ..training.device_images import DeviceData, on_device
from ..training.learners.contract import Learner
from ..training.learners.table_learners import table_learner
from ..training.loop import TrainingLoop
from ..training.random_streams import RandomStreams, initialisation


def random_images(counts: tuple[int, ...], shape: tuple[int, int, int] = (1, 16, 16), seed: int = 0) -> Images:
    """Random images in random order.

    Args:
        counts: How many of each class.
        shape: Channels, height and width.
        seed: Of the draws.

    Returns:
        Images and labels.
    """
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return Images(rng.integers(0, 256, (len(y), *shape), dtype=np.uint8), y.astype(np.int64))


COLUMNS = (Column("a"), Column("b"), Column("c", "category"))


def table_dry_run(
    recipe: Recipe, trial: Trial, counts: tuple[int, ...] = (24, 12, 6, 3), columns: tuple[Column, ...] = COLUMNS
) -> Learner:
    """A learner at its start, of the kind that the trial names, on random rows.

    Args:
        recipe: The method.
        trial: Says which learner, with which values.
        counts: The rows of each class.
        columns: What stands in a row.

    Raises:
        MethodError: where the method cannot be honoured on that learner and such rows.
    """
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    measured = sum(column.kind in ("number", "date") for column in columns)
    numbers = iter((rng.normal(size=(len(y), measured)) + y[:, None]).T)
    made = {
        "number": lambda: next(numbers),
        "date": lambda: next(numbers),
        "category": lambda: rng.integers(0, 3, len(y)),
        "weight": lambda: np.ones(len(y)),
    }
    x = np.column_stack([made[column.kind]() for column in columns])
    return table_learner(trial, Images(x, y.astype(np.int64)), counts, recipe, torch.device("cpu"), columns)


def dry_run(
    recipe: Recipe,
    *,
    counts: tuple[int, ...] = (24, 12, 6, 3),
    shape: tuple[int, int, int] = (1, 16, 16),
    name: str = "small",
    seed: int = 0,
    device: torch.device | None = None,
    **training: Any,
) -> TrainingLoop:
    """A run at its start, on random images: ``t5``, three epochs, batches of 15, no label smoothing. A network that the
    recipe starts from is stood in for by an untrained one.

    Args:
        recipe: The method.
        counts: The training images of each class.
        shape: Channels, height and width of the images.
        name: The network.
        seed: Of images and training.
        device: Where it is trained; the CPU if None.
        training: Fields of ``Training`` that are otherwise.

    Returns:
        The loop.

    Raises:
        MethodError: where the parts clash.
    """
    device = device or torch.device("cpu")
    routine = T5 | {"epochs": 3, "batch_size": 15, "label_smoothing": 0.0, "precision": "float32"} | training
    images, streams = random_images(counts, shape), RandomStreams(seed)
    material = DeviceData(
        x=on_device(images.x, device),
        y=torch.from_numpy(images.y).to(device),
        mean=torch.full((shape[0],), 0.5, dtype=torch.get_default_dtype(), device=device),
        std=torch.full((shape[0],), 0.25, dtype=torch.get_default_dtype(), device=device),
    )

    def untrained(purpose: str) -> nn.Module:
        with initialisation(seed, purpose):
            return network(name, shape[0], len(counts), routine.get("init"))

    def frozen(judge: nn.Module) -> nn.Module:
        judge.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return judge.eval().requires_grad_(False)

    scene = Scene(
        counts=counts,
        epochs=routine["epochs"],
        model=untrained("network"),
        device=device,
        generator=streams,
        pretrained=lambda method, independent=False: frozen(untrained(method)),
        normalise=material.normalised,
        images=material.images,
    )
    return TrainingLoop(recipe, Training(**routine), scene.model, material, scene, streams)  # type: ignore[arg-type]
