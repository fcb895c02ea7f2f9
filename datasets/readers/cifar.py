"""CIFAR's official Python batches (Krizhevsky 2009, www.cs.toronto.edu/~kriz/cifar.html), unpickled without trust."""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..catalog import DataError
from ..files import checksum_bytes, damaged, read_bytes, vouch
from ..split import Images, Pool

MOST_OBJECTS = 1 << 20  # of a pickle; an official one has a few for each image
LARGEST = 512 << 20  # bytes of a file; the largest official one has 155 million


@dataclass(frozen=True)
class Batches:
    """The official files: their folder, the key of their labels, and the checksum of each file by name."""

    folder: str
    labels: str
    train: Mapping[str, str]
    test: Mapping[str, str]


CIFAR10 = Batches(
    folder="cifar-10-batches-py",
    labels="labels",
    train={
        "data_batch_1": "md5:c99cafc152244af753f735de768cd75f",
        "data_batch_2": "md5:d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "md5:54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "md5:634d18415352ddfa80567beed471001a",
        "data_batch_5": "md5:482c414d41f54cd18b22e5b47cb7c3cb",
    },
    test={"test_batch": "md5:40351d587109b95175f43aff81a1287e"},
)
CIFAR100 = Batches(
    folder="cifar-100-python",
    labels="fine_labels",
    train={"train": "md5:16019d7e3df5f24257cddd939b257f8d"},
    test={"test": "md5:f0ef6b0ae62326f3e7ffdfab6717acfc"},
)

CLASSES10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
# fmt: off
CLASSES100 = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup",
    "dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house",
    "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man",
    "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter",
    "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine", "possum",
    "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper",
    "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle",
    "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
)
SUPERCLASSES = {  # of CIFAR-100, by the names of its page
    "aquatic_mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food_containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit_and_vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household_electrical_devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household_furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large_carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large_man-made_outdoor_things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large_natural_outdoor_scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large_omnivores_and_herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium_mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect_invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small_mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles_1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles_2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}
# fmt: on


def read(folder: Path, verify: bool, batches: Batches) -> Pool | None:
    """The images of the batches below ``folder``, in the files' order; None where their folder is absent.

    Raises DataError for a file that is missing beside the others, damaged or (with ``verify``) not the official one.

    Args:
        folder: Where the folder of the batches lies.
        verify: Whether only files with the official checksums will do.
        batches: The layout of the data set.
    """
    folder = folder / batches.folder
    if not folder.is_dir():
        return None
    hashes: dict[str, str] = {}
    train = _read_files(folder, batches.train, batches.labels, verify, hashes)
    test = _read_files(folder, batches.test, batches.labels, verify, hashes)
    return Pool(train, test, hashes == {**batches.train, **batches.test}, hashes)


def _read_files(
    folder: Path, official: Mapping[str, str], labels: str, verify: bool, checksums: dict[str, str]
) -> Images:
    parts = []
    for name, expected in official.items():
        path = folder / name
        if not path.is_file():
            raise DataError(f"{folder} lacks {name}: the copy is not complete, fetch it again.")
        data = read_bytes(path, LARGEST)
        checksums[name] = checksum_bytes(data, "md5")
        vouch(folder, {name: checksums[name]}, {name: expected}, verify)  # before a byte of it is unpickled
        parts.append(_parse(data, labels, path))
    return Images(np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))


def _parse(data: bytes, labels: str, path: Path) -> Images:
    try:
        _check_memo(data)
        batch = _Unpickler(io.BytesIO(data), encoding="latin1").load()
        batch = {key.decode("latin1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
        x = batch["data"].array.reshape(-1, 3, 32, 32)
        y = batch[labels]
        y = y.array if isinstance(y, _Array) else np.fromiter(y, np.int64)  # no lists of lists
        images = Images(x, y.astype(np.int64).reshape(len(x)))
    except _OtherSoftware as error:
        raise DataError(f"{path} was written by other software: {error}. Fetch the official file.") from None
    except Exception as error:  # what a damaged pickle raises depends on the byte that was hit
        raise damaged(path, error) from None
    if x.dtype != np.uint8 or y.dtype.kind not in "iu":
        raise DataError(f"{path} was written by other software: its images are {x.dtype} and its labels {y.dtype}.")
    return images


def _check_memo(data: bytes) -> None:
    """ValueError where a pickle would number its objects beyond any that it holds: Python allocates all numbers up to
    the largest, and five bytes may ask for gigabytes."""
    for opcode, number, _ in pickletools.genops(data):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and not (isinstance(number, int) and number < MOST_OBJECTS):
            raise ValueError("it numbers more objects than a batch holds")


class _OtherSoftware(pickle.UnpicklingError):
    """A pickle that is whole and names what no CIFAR file needs."""


class _Dtype:
    """Stands in for numpy.dtype: its word, which must be a whole number's."""

    def __init__(self, word: object = "u1", *_: object) -> None:
        self.word = word if isinstance(word, str) else "?"

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if self.word[1:] != "1" and state[1] == ">":
            raise _OtherSoftware("its numbers are big-endian")

    @property
    def real(self) -> np.dtype:
        if self.word not in ("u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8"):
            raise _OtherSoftware(f"it holds an array of {self.word!r}")
        return np.dtype(f"<{self.word}")


class _Array:
    """Stands in for numpy.ndarray while unpickling: keeps whole numbers, and runs none of NumPy's own code."""

    def __init__(self, array: np.ndarray | None = None) -> None:
        self._array = array

    def __setstate__(self, state: tuple[int, tuple[int, ...], _Dtype, bool, str | bytes]) -> None:
        _version, shape, dtype, fortran, raw = state
        flat = np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else raw, dtype.real)
        self._array = flat.reshape(shape, order="F" if fortran else "C")

    @property
    def array(self) -> np.ndarray:
        if self._array is None:
            raise ValueError("an array in it has no values")
        return self._array


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _frombuffer(raw: bytes, dtype: _Dtype, shape: tuple[int, ...], order: Any) -> _Array:
    return _Array(np.frombuffer(raw, dtype.real).reshape(shape, order=order))


def _encode(text: str, encoding: str) -> bytes:
    """Stands in for _codecs.encode, with which Python 3 writes bytes into old pickles."""
    if encoding != "latin1":
        raise _OtherSoftware(f"its bytes are written as {encoding}")
    return text.encode("latin1")


class _Unpickler(pickle.Unpickler):
    """Knows the few names that CIFAR's batches use, as NumPy 1 and 2 write them, and refuses every other: a pickle can
    name any function."""

    known: Mapping[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _Dtype,
        ("_codecs", "encode"): _encode,
    } | {
        (f"numpy.{core}.{file}", name): stand_in
        for core in ("core", "_core")
        for file, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("numeric", "_frombuffer", _frombuffer),
        )
    }

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return self.known[module_name, global_name]
        except KeyError:
            raise _OtherSoftware(f"it asks for {module_name}.{global_name}, which no CIFAR file needs") from None
