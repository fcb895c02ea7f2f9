"""Weights from a file into a network: torchvision's and timm's layouts, those of SimCLR's implementations, our own.

The layouts differ in where the state dict lies, in what stands before each tensor's name (``encoder.``, ``backbone.``,
``module.encoder_q.``), in whether children go by name or by number (``backbone.4.0.conv1`` is ``layer1.0.conv1``), and
in the heads beside the features. Heads are left out: a trial's head is always its own.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import NetworkError
from .networks import Network

INNER = ("state_dict", "model_state_dict", "model", "net", "network", "student", "teacher")  # where the tensors lie
UNUSED = "num_batches_tracked"  # counts for nothing while BatchNorm has a momentum; older files lack it
DEEPEST = 3


def load_weights(model: Network, name: str, path: Path) -> None:
    """Load the features of a network from a file. Nothing in the file is run.

    Args:
        model: The network, which is changed.
        name: Its name, for errors.
        path: The file.

    Raises:
        NetworkError: where it holds no tensors, or not those of this network, with the first that does not fit.
    """
    wanted = model.features.state_dict()
    tensors = _named(_read(path), wanted, [child for child, _ in model.features.named_children()])
    if tensors is None:
        raise NetworkError(f"{path.name} holds no weights of {name}: it has no tensor {next(iter(wanted))}")
    if fault := next(_faults(tensors, wanted), None):
        raise NetworkError(f"{path.name} does not fit {name}: {fault}")
    model.features.load_state_dict({key: tensors.get(key, value) for key, value in wanted.items()})


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: Any = load_file(path)
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a stranger's file: whatever the readers raise
        unsafe = isinstance(error, pickle.UnpicklingError)
        why = "it holds more than tensors, which is not opened" if unsafe else str(error).splitlines()[0]
        hint = "save its state_dict() alone" if unsafe else "fetch it again"
        raise NetworkError(f"{path} cannot be read as weights ({why}): {hint}") from None
    tensors = _tensors(loaded)
    if not tensors:
        raise NetworkError(f"{path} holds no tensors by name")
    return tensors


def _tensors(loaded: Any, depth: int = 0) -> dict[str, torch.Tensor]:
    """The tensors by name, also of a checkpoint that holds them beside other things."""
    if not isinstance(loaded, Mapping) or depth > DEEPEST:
        return {}
    for inner in INNER:
        if found := _tensors(loaded.get(inner), depth + 1):
            return found
    return {str(key): value for key, value in loaded.items() if isinstance(value, torch.Tensor)}


def _named(
    tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], children: list[str]
) -> dict[str, torch.Tensor] | None:
    """What the file has of the features, by the names that they have in the network; None where that is nothing."""
    best: dict[str, torch.Tensor] = {}
    most = 0
    first = next(iter(wanted))
    numbered = {str(number): child for number, child in enumerate(children)}
    by_number = f"{children.index(first.partition('.')[0])}.{first.partition('.')[2]}" if children else first
    for name, ending in ((name, ending) for name in tensors for ending in dict.fromkeys((first, by_number))):
        before = name.removesuffix(ending)
        if not name.endswith(ending) or (before and not before.endswith(".")):
            continue
        inside = {key.removeprefix(before): value for key, value in tensors.items() if key.startswith(before)}
        if ending != first:
            parts = {key: key.partition(".") for key in inside}
            inside = {f"{numbered.get(parts[key][0], '')}.{parts[key][2]}": value for key, value in inside.items()}
        if (fits := len(inside.keys() & wanted.keys())) > most:
            best, most = inside, fits
    return best or None


def _faults(tensors: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> Iterator[str]:
    missing = [key for key in wanted if key not in tensors and not key.endswith(UNUSED)]
    if missing:
        yield f"{len(missing)} of {len(wanted)} tensors are not in it, such as {missing[0]}"
    children = {key.partition(".")[0] for key in wanted}
    if unknown := [key for key in tensors if key not in wanted and key.partition(".")[0] in children]:
        yield f"it is of a larger network, which has {unknown[0]} too"
    for key in (key for key in wanted if key in tensors):
        given, expected = tensors[key], wanted[key]
        if given.shape != expected.shape:
            small = key == "conv1.weight" and given.shape[2:] != expected.shape[2:]
            hint = "; the network of torchvision: has the stem of large images" if small else ""
            yield f"{key} is {tuple(given.shape)} there and {tuple(expected.shape)} in the network{hint}"
        elif given.is_floating_point() != expected.is_floating_point():
            yield f"{key} holds {given.dtype} there and {expected.dtype} in the network"
        elif not torch.isfinite(given).all():
            yield f"{key} holds values that are not finite"
