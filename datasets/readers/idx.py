"""Fashion-MNIST's IDX files (Xiao et al. 2017, github.com/zalandoresearch/fashion-mnist), gzipped or not."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..catalog import DataError
from ..files import bounded, checksum_bytes, damaged, read_bytes, vouch
from ..split import Images, Pool

# Of the decompressed bytes, because Debian's gzip headers lack the file's name and date: with those two put back,
# all four of its files have the md5 that torchvision pins for the .gz files.
OFFICIAL = {
    "train-images-idx3-ubyte": "sha256:c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "sha256:bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "sha256:5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "sha256:0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
UNSIGNED_BYTE = 8
LARGEST = 64 << 20  # bytes of a file, unpacked; the training images have 47 million


def read(folder: Path, verify: bool, official: Mapping[str, str] = OFFICIAL) -> Pool | None:
    """The images in ``folder``, or where torchvision puts them below it; None where there are none.

    Raises DataError for a file that is missing beside the others, damaged or (with ``verify``) not the official one.

    Args:
        folder: Where the files lie.
        verify: Whether only files with the official checksums will do.
        official: The official checksum of each file, by its name.
    """
    for place in (folder, folder / "FashionMNIST" / "raw"):
        files = {name: path for name in official if (path := _find(place, name))}
        if files:
            return _read_all(place, files, verify, official)
    return None


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _read_all(folder: Path, files: Mapping[str, Path], verify: bool, official: Mapping[str, str]) -> Pool:
    for name in official:
        if name not in files:
            raise DataError(f"{folder} lacks {name}.gz, one of the four files of Fashion-MNIST.")
    raw = {name: _decompress(path) for name, path in files.items()}
    hashes = {name: checksum_bytes(data, "sha256") for name, data in raw.items()}
    verified = vouch(folder, hashes, official, verify)
    train_x, train_y, test_x, test_y = (_parse(raw[name], files[name]) for name in official)
    return Pool(_images(train_x, train_y, folder), _images(test_x, test_y, folder), verified, hashes)


def _decompress(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return bounded(file, LARGEST, path)
        return read_bytes(path, LARGEST)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise damaged(path, error) from None


def _parse(raw: bytes, path: Path) -> np.ndarray:
    """The array in an IDX file: two zero bytes, the type, the number of dimensions, each one's size, the values."""
    try:
        zeros, kind, dimensions = struct.unpack_from(">HBB", raw)
        shape = struct.unpack_from(f">{dimensions}I", raw, 4)
        array = np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (struct.error, ValueError) as error:
        raise damaged(path, error) from None
    if (zeros, kind) != (0, UNSIGNED_BYTE):
        raise damaged(path, "not an IDX file of unsigned bytes")
    return array


def _images(x: np.ndarray, y: np.ndarray, folder: Path) -> Images:
    if y.ndim != 1 or x.shape != (len(y), 28, 28):
        raise DataError(f"{folder} holds images of shape {x.shape} for labels of shape {y.shape}.")
    return Images(x[:, None].copy(), y.astype(np.int64))
