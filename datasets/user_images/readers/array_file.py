"""``npz:FILE``: images and labels as arrays, in NumPy's format; MedMNIST's files are among them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ...catalog import DataError
from ..listing import Array, Item
from ..pictures import ARRAY_MODES
from ..source import Source

# The names of the arrays with images and labels, without the part that may stand before or after.
NAMES = (("images", "labels"), ("x", "y"), ("data", "labels"), ("data", "targets"))
PARTS = ("train", "val", "test")
MOST_BYTES = 2**34  # of all arrays together
ODD = (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError)


def listing(source: Source) -> Array:
    """The images in the file, those for training first, in the order that they have there.

    Raises:
        DataError: for a file without such arrays, one that holds pickles or claims to be larger than it is, and for
            images that are not uint8.
    """
    held = arrays(source.path)
    where, images, items = source.path.name, [], []
    for part, names in _named(held, where):
        x, y = (held[name] for name in names)
        _check(x, y, names, where)
        groups = _groups(held, part, len(x), where)
        labels = [_word(label) for label in y.reshape(-1).tolist()]
        images.append(x if x.ndim == 3 or x.shape[3] in ARRAY_MODES else x.transpose(0, 2, 3, 1))
        items += [
            Item(f"{where}:{names[0]}[{i}]", label, part, "" if groups is None else _word(groups[i]))
            for i, label in enumerate(labels)
        ]
    if len({array.shape[1:] for array in images}) > 1:
        raise DataError(f"{where}: the images of its parts have different sizes")
    return Array(items, np.concatenate(images), ())


def _named(arrays: dict[str, np.ndarray], where: str) -> list[tuple[str, tuple[str, str]]]:
    """The parts that are there, each with the names of its images and labels."""
    for x, y in NAMES:
        for form in ("{part}_{name}", "{name}_{part}"):
            pairs = [(part, (form.format(part=part, name=x), form.format(part=part, name=y))) for part in PARTS]
            pairs = [(part, pair) for part, pair in pairs if pair[0] in arrays and pair[1] in arrays]
            if any(part == "train" for part, _ in pairs):
                return pairs
        if x in arrays and y in arrays:
            return [("", (x, y))]
    known = ", ".join(arrays) or "nothing"
    raise DataError(f"{where} holds {known}: arrays train_images and train_labels, or images and labels, are expected")


def _groups(arrays: dict[str, np.ndarray], part: str, length: int, where: str) -> np.ndarray | None:
    groups = arrays.get(f"{part}_groups" if part else "groups")
    if groups is not None and groups.shape != (length,):
        raise DataError(f"{where}: groups has the shape {groups.shape} where {(length,)} is expected")
    return groups


def _word(value: Any) -> str:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _check(x: np.ndarray, y: np.ndarray, names: tuple[str, str], where: str) -> None:
    if x.dtype != np.uint8:
        raise DataError(f"{where}: {names[0]} holds {x.dtype}: images are expected as uint8, 0 to 255")
    if x.ndim not in (3, 4) or (x.ndim == 4 and not {x.shape[1], x.shape[3]} & set(ARRAY_MODES)):
        raise DataError(f"{where}: {names[0]} has the shape {x.shape}: (N, height, width, channels) is expected")
    if y.size != len(x) or y.dtype.kind not in "iuUSb":
        raise DataError(
            f"{where}: {names[1]} has the shape {y.shape} and type {y.dtype}: a whole number or a name is expected for "
            f"each of the {len(x)} images"
        )


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of the file. What it claims is checked before memory is taken for it; no pickle is opened.

    Raises:
        DataError: where the file is damaged, claims more than it holds, or is too large for memory.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = 0
            for member in archive.infolist():
                claimed += member.file_size
                with archive.open(member) as file:
                    version = np.lib.format.read_magic(file)
                    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                    shape, _, dtype = read[version](file)
                    if dtype.itemsize * int(np.prod(shape, dtype=object)) > member.file_size:
                        raise DataError(f"{path.name}: {member.filename} claims to be larger than it is")
            if claimed > MOST_BYTES:
                raise DataError(f"{path.name} would take {claimed / 2**30:.0f} GiB of memory: use folder: or csv:")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except ODD as error:
        raise DataError(f"{path} cannot be read as an .npz file of arrays: {error}") from None
