"""``folder:PATH``: a folder for each class; or folders ``train``, ``val`` and ``test`` with those inside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ...catalog import DataError
from ..listing import Files, Item
from ..pictures import SUFFIXES
from ..source import PARTS, Source


def listing(source: Source) -> Files:
    """The images below the folder, class by class and then by name.

    Raises:
        DataError: for a folder that cannot be read, a link that leads out of the folder, parts without ``train``, or a
            class without images.
    """
    top = source.path
    folders = _folders(top)
    parts = {name: PARTS[name.lower()] for name in folders if name.lower() in PARTS}
    items: list[Item] = []
    paths: list[Path] = []
    notes = []
    for name in parts:
        if not (top / name).resolve().is_relative_to(top.resolve()):
            raise DataError(f"{top / name} is a link that leads out of {top}: put the folder itself there")
    if "train" in parts.values():
        if rest := [name for name in folders if name not in parts]:
            notes.append(f"beside the folders {', '.join(parts)}, these were left alone: {', '.join(rest)}")
        classes = [(part, f"{name}/{label}", label) for name, part in parts.items() for label in _folders(top / name)]
    else:
        _check_classes(top, list(parts))
        classes = [("", label, label) for label in folders]
    if not classes:
        raise DataError(f"{top} holds no folders: a folder for each class is expected, or train/CLASS and test/CLASS")
    ignored = 0
    for part, place, label in classes:
        images, left = _images(top, place)
        if not images:
            raise DataError(f"class {label!r} has no images in {place}: put some there, or remove the folder")
        ignored += left
        items += [Item(name, label, part) for name in images]
        paths += [top / name for name in images]
    if ignored:
        notes.append(f"{ignored} files that are no images ({', '.join(SUFFIXES)}) were left alone")
    return Files(items, paths, notes)


def _check_classes(top: Path, named: list[str]) -> None:
    """DataError where folders ``named`` as parts hold folders themselves, and so are parts and no classes."""
    if part := next((name for name in named if _folders(top / name)), None):
        raise DataError(
            f"{top} has {' and '.join(named)}, and no folder train: rename the one with the training images to train; "
            f"where {part} is a class, leave no folders in it"
        )


def _folders(folder: Path) -> list[str]:
    """The names of the folders inside, without hidden ones, in order."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from None


def _images(top: Path, place: str) -> tuple[list[str], int]:
    """The images at any depth, as paths relative to ``top``, in order; and how many other files lie there."""
    images, ignored = [], 0
    for folder, entry in _files(top / place):
        if entry.name.startswith("."):  # macOS leaves ._NAME.png beside NAME.png
            continue
        if entry.name.lower().endswith(SUFFIXES):
            path = Path(folder, entry.name)
            if entry.is_symlink() and not path.resolve().is_relative_to(top):
                raise DataError(f"{path.relative_to(top)} is a link that leads out of {top}: put the file itself there")
            images.append(str(path.relative_to(top)))
        else:
            ignored += 1
    return sorted(images), ignored


def _files(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    if folder.is_symlink():
        raise DataError(f"{folder} is a link to a folder: put the folder itself there")
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir():
                    if not entry.name.startswith("."):
                        yield from _files(Path(entry.path))
                else:
                    yield str(folder), entry
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}") from None
