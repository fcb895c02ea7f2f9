"""The model file: tensors as safetensors, and their description as JSON in its header.

A stranger's file runs nothing and takes no more memory than it has bytes: before any tensor is read, what the header
says is held against the file's size and, of images, every tensor against the network that it names.
"""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from ...datasets.catalog import DataError
from ...datasets.files import regular_file
from ...methods.part import MethodError, Scene
from ..errors import ModelError, NetworkError
from ..registry.methods import recipe_of
from ..registry.networks import Network, network
from ..storage.files import Files
from ..training.random_streams import RandomStreams, initialisation
from . import table_model
from .description import Description, parsed

METADATA = "__metadata__"  # of safetensors
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
    with _open(path) as file:
        return _read(path, file)


def _read(path: Path, file: BufferedReader) -> tuple[Description, Network] | table_model.TableModel:
    size = os.fstat(file.fileno()).st_size
    header = _header(path, file, size)
    rows, images = (header[METADATA].get(word) for word in (table_model.WORD, WORD))
    if not isinstance(rows, str) and not isinstance(images, str):
        raise ModelError(f"{path} is no model that tailboard train wrote: it holds tensors, and no description of them")
    try:
        _check_end(header, size - file.tell())
        if isinstance(rows, str):
            return table_model.read(_whole(file, size), rows)
        description = parsed(Description, images)
        with torch.device("meta"):  # shapes without memory
            _compare(header, network_of(description))
        state = load(_whole(file, size))
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


def _open(path: Path) -> BufferedReader:
    """The file, open for reading. ModelError where it cannot be opened."""
    try:
        return regular_file(path)
    except IsADirectoryError:
        raise ModelError(f"{path} is a folder: the file that tailboard train wrote is expected") from None
    except DataError as error:
        raise ModelError(str(error)) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from None


def _header(path: Path, file: BufferedReader, size: int) -> dict[str, Any]:
    """The header of a safetensors file: its tensors by name, and ``__metadata__``. No more of the file is read."""
    if size > LARGEST:
        raise ModelError(f"{path} is no model: it is larger than {LARGEST >> 30} GiB")
    length = int.from_bytes(file.read(8), "little")
    try:
        header = json.loads(file.read(length)) if length <= min(size - 8, LARGEST_HEADER) else None
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or not isinstance(header.get(METADATA), dict):
        raise ModelError(f"{path} is no model that tailboard train wrote: it does not begin as one")
    return header


def _check_end(header: Mapping[str, Any], size: int) -> None:
    """ModelError where the tensors, by their places in the header, are not the ``size`` bytes that follow it."""
    try:
        end = max((operator.index(header[name]["data_offsets"][1]) for name in header if name != METADATA), default=0)
    except (TypeError, LookupError):
        raise ModelError("its header does not say where each tensor stands") from None
    if end != size:
        raise ModelError(f"it is cut short, or damaged: its tensors have {end} bytes, and {size} follow its header")


def _whole(file: BufferedReader, size: int) -> bytes:
    file.seek(0)
    return file.read(size)


def _compare(header: Mapping[str, Any], model: nn.Module) -> None:
    """ModelError at the first tensor that the network lacks, or that the file lacks or holds otherwise."""
    wanted = model.state_dict()
    for name in header.keys() - wanted.keys() - {METADATA}:
        raise ModelError(f"its network has no tensor {name}")
    for name, tensor in wanted.items():
        about = header.get(name)
        if not isinstance(about, dict):
            raise ModelError(f"the tensor {name} is missing")
        shape, kind = about.get("shape"), about.get("dtype")
        if shape != list(tensor.shape) or kind != TYPES.get(tensor.dtype):
            raise ModelError(f"the tensor {name} is {kind} {shape}, not {TYPES.get(tensor.dtype)} {list(tensor.shape)}")


def _check_finite(state: Mapping[str, torch.Tensor]) -> None:
    for name, tensor in state.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelError(f"the tensor {name} holds numbers that are not finite")
