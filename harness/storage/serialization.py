"""Arrays and tensors as bytes, and back: no pickle is executed, and nothing unpacks to more than it says and may.

Whatever is wrong with the bytes raises an exception of the library's own or ValueError.
"""

from __future__ import annotations

import io
import math
import zipfile
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

if TYPE_CHECKING:
    import torch

LARGEST_UNPACKED = 2 << 30  # bytes; both logits of iNaturalist's 24,426 validation images come to 0.8 GB
MOST_ARRAYS = 1000  # in one file: the logits, the labels, and a column of the history each
_ENTRY = b"PK\x01\x02"  # begins each line of a zip's table of contents
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def pack_arrays(arrays: dict[str, np.ndarray], compressed: bool = True) -> bytes:
    """The arrays as the bytes of an ``.npz`` file. ValueError where one holds objects, which would be pickled."""
    if objects := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise ValueError(f"{objects[0]} holds objects, not numbers")
    buffer = io.BytesIO()
    save: Any = np.savez_compressed if compressed else np.savez
    save(buffer, **arrays)
    return buffer.getvalue()


def unpack_arrays(data: bytes, prefix: str = "", most: int = LARGEST_UNPACKED) -> dict[str, np.ndarray]:
    """The arrays of numbers in an ``.npz``. What a header claims is compared with what is there before any memory is
    asked for.

    Args:
        data: The file's bytes.
        prefix: How the names of the arrays begin.
        most: Bytes of all arrays together.

    Returns:
        The arrays, by name.

    Raises:
        ValueError: where it is damaged, or holds more than it may.
    """
    arrays = {}
    if data.count(_ENTRY) > MOST_ARRAYS:  # zipfile would make an object of each
        raise ValueError(f"it holds more than {MOST_ARRAYS} arrays")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [entry for entry in archive.infolist() if entry.filename.startswith(prefix)]
        if (size := sum(entry.file_size for entry in members)) > most:
            raise ValueError(f"it would unpack to {size / 2**30:.2g} GiB")
        for entry in members:
            with archive.open(entry) as file:
                _check(file, entry)
            with archive.open(entry) as file:
                arrays[entry.filename.removesuffix(".npy")] = npy.read_array(file, allow_pickle=False)
    return arrays


def _check(file: IO[bytes], entry: zipfile.ZipInfo) -> None:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"{entry.filename!r} is of version {version}")
    shape, _, kind = _HEADERS[version](file)
    if kind.kind not in "biuf" or not kind.itemsize:
        raise ValueError(f"{entry.filename!r} holds no numbers (pickled objects are not read)")
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != entry.file_size - file.tell():
        raise ValueError(f"{entry.filename!r} does not hold as many numbers as it says")


def pack_weights(state: dict[str, torch.Tensor]) -> bytes:
    """A network's tensors by name, as safetensors: which is read by any program, and without torch's pickle."""
    from safetensors.torch import save

    return save({name: tensor.contiguous() for name, tensor in state.items()})


def unpack_weights(data: bytes, device: Any = "cpu") -> dict[str, torch.Tensor]:
    """What :func:`pack_weights` was given."""
    from safetensors.torch import load

    return {name: tensor.to(device) for name, tensor in load(data).items()}


def pack_tensors(state: Any) -> bytes:
    """A state of tensors, numbers and texts as the bytes of a file of torch."""
    import torch

    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpack_tensors(data: bytes, device: Any = "cpu") -> Any:
    """What :func:`pack_tensors` was given, of tensors and plain values.

    Args:
        data: The file's bytes.
        device: Where the tensors go.

    Returns:
        The state.

    Raises:
        ValueError: where it would unpack to more than its own size: torch never compresses, so torch did not write it.
    """
    import torch

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > len(data):
            raise ValueError("it would unpack to more than its own size")
    return torch.load(io.BytesIO(data), map_location=device, weights_only=True)
