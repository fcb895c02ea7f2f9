"""Images as files, ``train/CLASS/*.png`` and ``test/CLASS/*.png``, in a folder or inside a .tar.gz.

Decoding takes 0.12 to 0.2 ms an image: some 10 s for CIFAR's 60,000, 30 s for CINIC's 180,000. So it is done once
(array_cache.py), and on one thread: such small images hold the interpreter's lock, and more threads were slower
(10,000 JPEGs on 2 cores: 1.2 s with one, 1.3 s with two, 1.9 s with four).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..catalog import DataError
from ..files import bounded, checksum, damaged, read_bytes, vouch
from ..split import Images, Pool
from ..user_images.pictures import UNREADABLE

PARTS = ("train", "test")
SUFFIXES = (".png", ".jpg", ".jpeg")
FORMATS = ("PNG", "JPEG")  # whatever the name says: others run programs, as EPS does, or are no photographs
SIZE = (32, 32)
LARGEST = 1 << 20  # bytes of an image's file; one of 32 x 32 pixels has a few thousand


class _File(NamedTuple):
    """One image file: its place, from which the order follows, and its bytes."""

    part: str
    label: int
    name: str
    data: bytes


def read_folder(folder: Path, verify: bool, classes: Sequence[str]) -> Pool | None:
    """The images below ``folder``, by class and then by name; None where it lacks a folder for some class.

    Nobody published checksums for single image files: with ``verify`` they are refused with DataError, which is
    raised for damaged ones too. The pool's hashes are those of the decoded arrays.

    Args:
        folder: Where the folders of the classes lie.
        verify: Whether only files with official checksums will do.
        classes: Their names, in label order.
    """
    if not all((folder / part / name).is_dir() for part in PARTS for name in classes):
        return None
    if verify:
        raise DataError(
            f"{folder} holds single image files, for which there is no official checksum, so that nothing vouches for "
            "them. Use --no-verify to go on; the table will show them as unverified."
        )
    files = (
        _File(part, i, entry.name, read_bytes(Path(entry.path), LARGEST))
        for part, i, entry in _listing(folder, classes)
    )
    train, test = _decode(files, folder)
    return Pool(train, test, verified=False, hashes={"train": _digest(train), "test": _digest(test)})


def read_archive(folder: Path, verify: bool, classes: Sequence[str], name: str, official: str) -> Pool | None:
    """The images in the archive ``folder/name``, read without unpacking it; None where it is absent.

    Raises DataError where it is damaged or (with ``verify``) its checksum is not ``official``.

    Args:
        folder: Where the archive lies.
        verify: Whether only an archive with the official checksum will do.
        classes: Their names, in label order.
        name: Of the archive.
        official: Its official checksum.
    """
    path = folder / name
    if not path.is_file():
        return None
    hashes = {name: checksum(path, "md5")}
    verified = vouch(folder, hashes, {name: official}, verify)  # before a byte of it is decoded
    train, test = _decode(_members(path, classes), path)
    return Pool(train, test, verified, hashes)


def _listing(folder: Path, classes: Sequence[str]) -> Iterator[tuple[str, int, os.DirEntry[str]]]:
    for part in PARTS:
        for label, name in enumerate(classes):
            for entry in os.scandir(folder / part / name):
                if _is_image(entry.name):
                    yield part, label, entry


def _members(path: Path, classes: Sequence[str]) -> Iterator[_File]:
    labels = {name: label for label, name in enumerate(classes)}
    try:
        with gzip.open(path) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                match PurePosixPath(member.name).parts[-3:]:
                    case (part, name, file) if part in PARTS and name in labels and _is_image(file):
                        content = archive.extractfile(member)
                        if content is not None:
                            yield _File(part, labels[name], file, bounded(content, LARGEST, f"{path}/{member.name}"))
    except (gzip.BadGzipFile, EOFError, zlib.error, tarfile.TarError) as error:
        raise damaged(path, error) from None


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")  # macOS leaves ._NAME.png beside NAME.png


def _decode(files: Iterator[_File], source: Path) -> tuple[Images, Images]:
    rows: dict[str, list[tuple[int, str, np.ndarray]]] = {part: [] for part in PARTS}
    for part, label, name, data in files:
        rows[part].append((label, name, _pixels(data, f"{source}/{part}/.../{name}")))
    train, test = (_stack(rows[part], f"{source}/{part}") for part in PARTS)
    return train, test


def _pixels(data: bytes, where: str) -> np.ndarray:
    """Height x width x 3 unsigned bytes."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.mode.startswith(("I", "F")):
                raise DataError(f"{where} has {image.mode} pixels, which do not fit 8 bits: convert it to 8-bit.")
            if image.size != SIZE:
                raise DataError(f"{where} measures {image.size} pixels where {SIZE} are expected.")
            return np.asarray(image.convert("RGB"))
    except UNREADABLE as error:
        raise damaged(where, error) from None


def _stack(rows: list[tuple[int, str, np.ndarray]], where: str) -> Images:
    if not rows:
        raise DataError(f"{where} holds no images: the copy is not complete, fetch it again.")
    rows.sort(key=lambda row: row[:2])
    x = np.stack([pixels for _, _, pixels in rows]).transpose(0, 3, 1, 2)
    return Images(np.ascontiguousarray(x), np.array([label for label, _, _ in rows], np.int64))


def _digest(images: Images) -> str:
    return f"sha256:{hashlib.sha256(np.asarray(images.x).data).hexdigest()}"
