"""What several tests share: a run that is small enough to take a few steps in milliseconds, in float64."""

from collections.abc import Callable, Iterator

import pytest
import torch
from tailboard.harness.networks import Network
from tailboard.harness.randomness import Streams, initialisation
from tailboard.harness.spec import Training
from tailboard.harness.train import Material, Run
from tailboard.methods.part import Scene
from torch import nn

SEED = 3
ROUTINE = {
    "epochs": 5, "batch_size": 12, "lr": 0.1, "momentum": 0.9, "weight_decay": 2e-4, "schedule": "cosine",
    "warmup_epochs": 1.0, "ema": 0.9, "label_smoothing": 0.1, "crop_padding": 1, "flip": True, "augment": "none",
    "cutmix": 0.5, "cutmix_alpha": 1.0, "precision": "float32",
}  # fmt: skip


def small_network(classes: int, purpose: str = "network") -> Network:
    with initialisation(SEED, purpose):
        features = nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(32, 16),
        )  # fmt: skip
        return Network(features, 16, classes)


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def tiny(double: None) -> Callable[..., Run]:
    """``tiny(recipe, counts, **training)``: a Run at its start, on random images of 3 x 8 x 8."""

    def make(recipe, counts=(24, 12, 6), **training) -> Run:
        draw = torch.Generator().manual_seed(SEED)
        judge = small_network(len(counts), "judge").eval().requires_grad_(False)
        material = Material(
            x=torch.randint(256, (sum(counts), 3, 8, 8), dtype=torch.uint8, generator=draw),
            y=torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)),
            mean=torch.tensor([0.5, 0.4, 0.3]),
            std=torch.tensor([0.2, 0.3, 0.2]),
        )
        routine = Training(**(ROUTINE | training))
        model, streams = small_network(len(counts)), Streams(SEED)
        scene = Scene(
            counts, routine.epochs, model, torch.device("cpu"), streams, lambda _: judge, material.normalised
        )
        return Run(recipe, routine, model, material, scene, streams)

    return make


@pytest.fixture
def weights(tiny: Callable[..., Run]) -> Callable[..., dict[str, torch.Tensor]]:
    """``weights(recipe, ...)``: the network's weights and buffers, averaged ones too, when all epochs are done."""

    def trained(recipe, *args, **training) -> dict[str, torch.Tensor]:
        return everything(finished(tiny(recipe, *args, **training)))

    return trained


def finished(run: Run) -> Run:
    for _ in run.epochs():
        pass
    return run


def everything(run: Run) -> dict[str, torch.Tensor]:
    raw = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    return raw | {f"averaged/{index}": tensor.clone() for index, tensor in enumerate(run.average.state())}


@pytest.fixture
def same_after_resume(tiny: Callable[..., Run]) -> Callable[..., None]:
    """``same_after_resume(recipe, at)``: a run that goes on from the state after epoch ``at`` ends at the same bits."""

    def check(recipe, at: int) -> None:
        whole, first, second = tiny(recipe), tiny(recipe), tiny(recipe)
        epochs = first.epochs()
        for _ in range(at):
            next(epochs)
        second.restore(first.state())
        expected, got = everything(finished(whole)), everything(finished(second))
        assert all(torch.equal(expected[name], got[name]) for name in expected)
        assert whole.history == second.history

    return check
