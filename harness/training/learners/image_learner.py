"""The learner of a trial on images: a network, trained by the one loop."""

from __future__ import annotations

import weakref
from pathlib import Path

import torch
from torch import nn

from ....datasets.split import Images
from ....methods.need import Need
from ....methods.part import Scene
from ....methods.recipe import Recipe
from ...errors import StoreError
from ...registry.datasets import dataset_of
from ...registry.methods import recipe_of
from ...registry.networks import network
from ...registry.pretrained_weights import load_weights
from ...spec.schema import Trial, prerequisite, pretraining
from ...spec.training import Training
from ...spec.user_files.weights_file import located
from ...storage.store import Store
from ..device_images import DeviceData, on_device
from ..loop import TrainingLoop
from ..random_streams import RandomStreams, initialisation
from .contract import check_honoured
from .table_learners import seed_of


def image_learner(
    trial: Trial,
    train: Images,
    counts: tuple[int, ...],
    method: Recipe,
    device: torch.device,
    store: Store,
    root: Path | None = None,
) -> TrainingLoop:
    """The learner at its start.

    Args:
        trial: What is trained.
        train: Its training images and labels.
        counts: The training images of each class.
        method: Its recipe.
        device: Where it is trained.
        store: Where the networks are that other trials trained, which it may start from.
        root: The folder that holds the data, and weights that networks start from.

    Returns:
        The loop.

    Raises:
        MethodError: where the parts clash, or mean nothing on images.
        StoreError: where the weights that it starts from are not in the store.
    """
    check_honoured(method, "images")
    about = dataset_of(trial.data)
    assert isinstance(trial.training, Training)  # noqa: S101  (for the type checker)
    streams = RandomStreams(seed_of(trial))
    with initialisation(streams.seed, "network"):
        model = network(trial.network, about.shape[0], len(counts), trial.training.init)
    if isinstance(trial.weights, str):
        load_weights(model, trial.network, located(trial.weights, root))
    elif start := pretraining(trial):
        state = _stored(trial, start, store, device)
        features = {k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")}
        model.features.load_state_dict(features)
    material = DeviceData(
        x=on_device(train.x, device, len(trial.fused or (trial.seed,))),
        y=torch.from_numpy(train.y).to(device),
        mean=torch.tensor(about.mean, device=device),
        std=torch.tensor(about.std, device=device),
    )
    scene = Scene(
        counts=counts,
        epochs=trial.training.epochs,
        model=model,
        device=device,
        generator=streams,
        pretrained=lambda name, independent=False: pretrained(
            trial, Need(name, independent), itself, about.shape[0], store
        ),
        normalise=material.normalised,
        images=material.images,
    )
    itself = weakref.proxy(scene)  # no reference: what is let go is gone at once, with its images
    return TrainingLoop(method, trial.training, model, material, scene, streams)


def pretrained(trial: Trial, need: Need, scene: Scene, channels: int, store: Store) -> nn.Module:
    """The averaged network of the trial that another starts from, frozen.

    Args:
        trial: The one that starts.
        need: What it starts from.
        scene: What its parts are built for.
        channels: Of the images.
        store: Where the weights are.

    Returns:
        The network, in evaluation mode.

    Raises:
        StoreError: where its weights are not in the store.
    """
    start = prerequisite(trial, need)
    state = _stored(trial, start, store, scene.device)
    model = network(trial.network, channels, scene.classes)
    head = recipe_of(start, {}).head
    if head:
        model.head = head.build(scene)
    model.load_state_dict(state)
    return model.to(scene.device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]


def _stored(trial: Trial, start: Trial, store: Store, device: torch.device) -> dict[str, torch.Tensor]:
    """The averaged weights of the trial that another starts from. StoreError where they are not in the store."""
    try:
        return store.weights(start.key, device)
    except FileNotFoundError:
        raise StoreError(
            f"{trial.method.name} starts from {start.method.name}'s trial {start.key}, whose weights are missing"
        ) from None
    except StoreError:
        store.remove_weights(start.key)  # so that the next run trains them again
        raise
