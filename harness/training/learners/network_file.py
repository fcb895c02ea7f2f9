"""A network of rows as bytes, and back: safetensors of its weights, from whose shapes it is built again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np
import torch
from safetensors.torch import load, save

from ....methods.part import MethodError
from ...registry.networks import Network, rows_network
from ..loop import EVALUATION_BATCH
from .sound_trees import Unsound

LAYER = re.compile(r"features\.\d+\.running_mean")  # one of each hidden layer


def network_saved(network: Network) -> bytes:
    """The weights of a network of rows. MethodError where its last layer is not the one that it was built with."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    plain = _shaped(state)
    if plain is None or type(network.head) is not torch.nn.Linear:
        raise MethodError("the network cannot be saved: its last layer is a method's own")
    return save(dict(zip(plain.state_dict(), state.values(), strict=True)))


class SavedNetwork:
    """A network of rows, as an estimator whose scores are margins."""

    def __init__(self, network: Network, threads: int) -> None:
        self._network, self._threads = network.eval().requires_grad_(False), threads

    def decision_function(self, x: np.ndarray) -> np.ndarray:
        """Logits (N, C) of encoded rows (N, F), with the threads of its trial."""
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            parts = [self._network(rows) for rows in torch.from_numpy(x).float().split(EVALUATION_BATCH)]
        finally:
            torch.set_num_threads(before)
        return torch.cat(parts).numpy().astype(np.float64)


def network_opened(data: bytes, features: int, threads: int) -> SavedNetwork:
    """What :func:`network_saved` wrote; no more memory is taken than the bytes tell.

    Args:
        data: The bytes, which anyone may have written.
        features: The numbers of an encoded row.
        threads: With how many it predicts.

    Raises:
        Unsound: where it is no network of such rows, or holds numbers that are not finite.
    """
    state = load(data)
    network = _shaped(state)
    if network is None or {name: t.shape for name, t in network.state_dict().items()} != {
        name: t.shape for name, t in state.items()
    }:
        raise Unsound("its weights are none of a network of rows")
    first = next(iter(network.state_dict().values()))
    if first.shape[1] != features or not all(tensor.isfinite().all() for tensor in state.values()):
        raise Unsound(f"its weights are not finite, or not of rows with {features} numbers")
    network.load_state_dict(state, assign=True)
    return SavedNetwork(network, threads)


def shift_of(finish: Callable[[torch.Tensor], torch.Tensor], classes: int, name: str) -> torch.Tensor:
    """What a method adds to scores (C,).

    Args:
        finish: Its last change of scores (N, C).
        classes: How many there are.
        name: What the part is called.

    Raises:
        MethodError: where it does more than add.
    """
    shift, tried = finish(torch.zeros(1, classes)), torch.eye(classes)
    if not torch.equal(finish(tried), tried + shift):
        raise MethodError(f"{name} cannot be saved: it does more than shift scores")
    return shift[0]


def _shaped(state: Mapping[str, torch.Tensor]) -> Network | None:
    """A network without memory of its own that may have such weights; None where there is none."""
    matrices = [tensor for tensor in state.values() if tensor.ndim == 2]
    depth = sum(bool(LAYER.fullmatch(name)) for name in state)
    head = state.get("head.weight")
    if head is None or head.ndim != 2 or depth < 1 or len(matrices) != depth + 1:
        return None
    first = state.get("features.0.weight")
    if first is None or first.ndim != 2 or any(t.dtype not in (torch.float32, torch.int64) for t in state.values()):
        return None
    with torch.device("meta"):
        built = rows_network(first.shape[1], head.shape[0], head.shape[1], depth, 0.0)
    return built if len(built.state_dict()) == len(state) else None
