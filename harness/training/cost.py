"""How long a trial takes, roughly: which of a plan's trials to begin with, so that no long one is left for the end."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any

import torch

from ...methods.registry import registry
from ..registry.datasets import dataset_of, long_tail
from ..registry.estimators import Estimator, learner_of
from ..registry.methods import plugin_of
from ..registry.network_names import NETWORKS
from ..registry.remembered import remember, remembered
from ..spec.schema import Trial

COLUMNS_OF_ONE = 4  # encoded, of a table's column, roughly
MOST_DIGITS = 30  # of what a file says of a network
FEW_PIXELS = 64 * 64  # of an image that passes through any network of ours in a moment


def relative_cost(trial: Trial, plugins: Mapping[str, str]) -> float:
    """The trial's declared cost in ERM-steps a step; of a sum that is not registered, the product of its terms'."""
    known = registry() | plugin_of(trial, plugins)
    name = trial.method.name
    terms = [name] if name in known else [term.strip() for term in name.split("+")]
    return prod(known[term].cost for term in terms)


def estimate_flops(trial: Trial, plugins: Mapping[str, str]) -> float:
    """The operations of a training: images x epochs x the network's forward pass x the method's declared cost.

    Args:
        trial: What is trained.
        plugins: The texts of plugin files, by their hashes.

    Returns:
        The number, of which only ratios are used.
    """
    images = sum(long_tail(trial.data, trial.val_per_class))
    about, learner = dataset_of(trial.data), learner_of(trial)
    if isinstance(learner, Estimator):
        return learner.cost(images, len(about.columns)) * relative_cost(trial, plugins)
    if learner is not None:  # a network on rows: a category is encoded as several numbers
        forward = 2 * COLUMNS_OF_ONE * len(about.columns) * getattr(learner, "width", 256)
        return images * trial.training.epochs * forward * relative_cost(trial, plugins)
    forward = _operations(trial.network, about.shape, len(about.classes))
    return images * trial.training.epochs * forward * relative_cost(trial, plugins)


@lru_cache
def _operations(name: str, shape: tuple[int, int, int], classes: int) -> int:
    """Of one image's forward pass. To count them imports torch, so that they are remembered."""
    what = f"{name} {'x'.join(map(str, shape))} {classes} "
    known = remembered("operations")
    for line in known:
        if line.startswith(what) and (number := line.removeprefix(what)).isdecimal() and len(number) < MOST_DIGITS:
            return int(number)
    few = name in NETWORKS and ":" not in name and prod(shape[1:]) <= FEW_PIXELS
    total = (_of_layers if few else _of_torch)(name, shape, classes)
    remember("operations", known | {f"{what}{total}"})
    return total


def _of_layers(name: str, shape: tuple[int, int, int], classes: int) -> int:
    """Those of the convolutions and linear layers, of which our networks consist, while one image passes: it takes less
    than a tenth of the time in which torch's compiler is imported."""
    from ..registry.networks import network

    total = 0

    def count(layer: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        nonlocal total
        total += 2 * output.numel() * layer.weight[0].numel()  # type: ignore[union-attr, operator, index]

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        model = network(name, shape[0], classes).eval()
        for layer in model.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                layer.register_forward_hook(count)
        model(torch.zeros(1, *shape))
    return total


def _of_torch(name: str, shape: tuple[int, int, int], classes: int) -> int:
    """What torch counts, of any network. Nothing is computed: the network is on torch's ``meta`` device."""
    from torch.utils.flop_counter import FlopCounterMode  # imports triton

    from ..registry.networks import network

    _import_compiler()
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), torch.no_grad(), counter:
        network(name, shape[0], classes).eval()(torch.empty(1, *shape))
    return counter.get_total_flops()


def _import_compiler() -> None:
    """Import torch's compiler, which the ``meta`` device needs: it makes the folder of its cache at once, where
    temporary files are. Nothing is compiled, so that the folder goes again, unless the user says where it is."""
    if "torch._dynamo" in sys.modules or "TORCHINDUCTOR_CACHE_DIR" in os.environ:
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        try:
            import torch._dynamo  # noqa: F401
        finally:
            del os.environ["TORCHINDUCTOR_CACHE_DIR"]
