"""A tiny run for tests: random images, a small network, seconds on one core."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tailboard.datasets.split import Images
from tailboard.harness.networks import network
from tailboard.harness.presets import T5
from tailboard.harness.randomness import Streams, initialisation
from tailboard.harness.spec import Training
from tailboard.harness.train import Material, Run
from tailboard.methods.part import Scene
from tailboard.methods.recipe import Recipe

COUNTS = (24, 12, 6, 3)


def tiny_images(counts: tuple[int, ...] = COUNTS, channels: int = 1, size: int = 16, seed: int = 0) -> Images:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    x = rng.integers(0, 256, (len(y), channels, size, size), dtype=np.uint8)
    return Images(x, y.astype(np.int64))


def tiny_run(
    recipe: Recipe | None = None,
    *,
    counts: tuple[int, ...] = COUNTS,
    seed: int = 0,
    pretrained: Any = None,
    name: str = "small",
    **training: Any,
) -> Run:
    """A run at its start, on the CPU; the routine is ``t5`` with short epochs and without label smoothing."""
    routine = T5 | {"epochs": 3, "batch_size": 15, "label_smoothing": 0.0, "precision": "float32"} | training
    images = tiny_images(counts)
    with initialisation(seed, "network"):
        model = network(name, images.x.shape[1], len(counts))
    model.to(torch.get_default_dtype())
    streams = Streams(seed)
    material = Material(
        torch.from_numpy(images.x),
        torch.from_numpy(images.y),
        torch.tensor([0.5], dtype=torch.get_default_dtype()),
        torch.tensor([0.25], dtype=torch.get_default_dtype()),
    )
    scene = Scene(
        counts=counts,
        epochs=routine["epochs"],
        model=model,
        device=torch.device("cpu"),
        generator=streams,
        pretrained=pretrained or (lambda name: model),
        normalise=material.normalised,
    )
    return Run(recipe or Recipe(), Training(**routine), model, material, scene, streams)


def trained(run: Run) -> Run:
    """The run after its last epoch."""
    for _ in run.epochs():
        pass
    return run


def same_weights(one: Run, other: Run) -> bool:
    """Whether the networks agree bit for bit, their buffers among them."""
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
