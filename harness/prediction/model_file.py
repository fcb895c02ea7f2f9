"""The model file: tensors as safetensors, and their description as JSON in its header.

A stranger's file runs nothing and takes no more memory than it has bytes: what its header says is held against its
size, and every tensor against the network that it names, before any is read.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from ...methods.part import MethodError, Scene
from ..errors import ModelError, NetworkError
from ..registry.methods import recipe_of
from ..registry.networks import Network, network
from ..storage.files import Files
from ..training.random_streams import RandomStreams, initialisation
from . import table_model
from .description import Description, parsed

WORD = "tailboard.model"  # of the header, under which the description stands
LARGEST, LARGEST_HEADER = 16 << 30, 16 << 20  # bytes
TYPES = {torch.float32: "F32", torch.float64: "F64", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64"}


def write(path: Path, description: Description, state: Mapping[str, torch.Tensor]) -> None:
    """Write a model, whole or not at all.

    Args:
        path: The file.
        description: What the model is.
        state: Its tensors, by the names of the network's own.

    Raises:
        OSError: where it cannot be written.
    """
    metadata = {WORD: description.model_dump_json()}
    data = save({name: tensor.contiguous() for name, tensor in state.items()}, metadata)
    Files(path.parent).write(path.name, data)


def read(path: Path) -> tuple[Description, Network] | table_model.TableModel:
    """The description and the network of a model file, on the CPU; or its model of rows.

    Raises:
        ModelError: where the file is no model, is damaged, or does not hold the network that it names.
    """
    data = _bytes(path)
    header = _header(path, data)
    rows, images = (header["__metadata__"].get(word) for word in (table_model.WORD, WORD))
    if not isinstance(rows, str) and not isinstance(images, str):
        raise ModelError(f"{path} is no model that tailboard train wrote: it holds tensors, and no description of them")
    try:
        if isinstance(rows, str):
            return table_model.read(data, rows)
        description = parsed(Description, images)
        with torch.device("meta"):  # shapes without memory
            _compare(header, network_of(description), len(data))
        state = load(data)
        _check_finite(state)
        with initialisation(0, "network"):
            model = network_of(description)
        model.load_state_dict(state)
    except (ModelError, MethodError, NetworkError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{path} cannot be used: {error}") from None
    return description, model.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def finish_of(description: Description, model: Network) -> Any:
    """What the method makes of the logits once the network is trained; most leave them as they are.

    Raises:
        ModelError: where the method did something, and does nothing in this version.
    """
    if "finish" not in description.parts:
        return lambda logits: logits
    part = recipe_of(description.trial, {}).finish
    if part is None:
        raise ModelError(f"{description.trial.method.name} changes no logits here, as it did where it was trained")
    return part.build(_scene(description, model))


def network_of(description: Description) -> Network:
    """An untrained network with the tensors of a description's, its method's head among them.

    Raises:
        ModelError: where the method had a head of its own, and has none in this version.
    """
    model = network(description.trial.network, description.shape[0], len(description.classes))
    if "head" in description.parts:
        part = recipe_of(description.trial, {}).head
        if part is None:
            raise ModelError(
                f"{description.trial.method.name} has no head of its own here, as it had where it was trained"
            )
        model.head = part.build(_scene(description, model))
    return model


def _scene(description: Description, model: Network) -> Scene:
    def pretrained(*_: Any) -> nn.Module:
        raise ModelError("its head starts from another trained network")

    epochs = description.trial.training.epochs
    return Scene(description.counts, epochs, model, torch.device("cpu"), RandomStreams(0), pretrained)


def _bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ModelError(f"{path} is a folder: the file that tailboard train wrote is expected")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise ModelError(f"{path} is no model: it is larger than {LARGEST >> 30} GiB")
            return file.read(size)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None


def _header(path: Path, data: bytes) -> dict[str, Any]:
    """The header of a safetensors file: its tensors by name, and ``__metadata__``."""
    size = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + size]) if size <= min(len(data) - 8, LARGEST_HEADER) else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not isinstance(header.get("__metadata__"), dict):
        raise ModelError(f"{path} is no model that tailboard train wrote: it does not begin as one")
    return header


def _compare(header: Mapping[str, Any], model: nn.Module, size: int) -> None:
    """ModelError at the first tensor that the network lacks, or that the file lacks or holds otherwise."""
    wanted = model.state_dict()
    for name in header.keys() - wanted.keys() - {"__metadata__"}:
        raise ModelError(f"its network has no tensor {name}")
    for name, tensor in wanted.items():
        about = header.get(name)
        if not isinstance(about, dict):
            raise ModelError(f"the tensor {name} is missing")
        shape, kind = about.get("shape"), about.get("dtype")
        if shape != list(tensor.shape) or kind != TYPES.get(tensor.dtype):
            raise ModelError(f"the tensor {name} is {kind} {shape}, not {TYPES.get(tensor.dtype)} {list(tensor.shape)}")
    if sum(math.prod(tensor.shape) * tensor.element_size() for tensor in wanted.values()) > size:
        raise ModelError("it is cut short: its tensors are larger than the file")


def _check_finite(state: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelError(f"the tensor {name} holds numbers that are not finite")
