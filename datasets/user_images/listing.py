"""Listing: the images of a source, each with its label, its part and its group. What the readers return."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from PIL import Image

from ..catalog import DataError
from ..files import regular_file
from . import pictures
from .pictures import Facts

AT_ONCE = 2**26  # bytes of images that are held at a time while they are decoded
THUMBNAILS_AT_ONCE = 512
THREADS_FROM = 96 * 96  # pixels; of smaller images, threads wait for each other longer than they work
SHOWN = 3  # files that an error names
T = TypeVar("T")


class Item(NamedTuple):
    """One image: what the user calls it, the class that it is said to be of, its part (``train``, ``val``, ``test`` or
    nothing where none is said) and its group, such as a patient."""

    name: str
    label: str
    part: str = ""
    group: str = ""


class Listing(Protocol):
    """The images of a source in the order that they have there, and what else was seen on the way, in sentences."""

    @property
    def items(self) -> Sequence[Item]:
        """Where each image is, with its label, part and group."""
        ...

    @property
    def notes(self) -> Sequence[str]:
        """What else was seen on the way."""
        ...

    def facts(self, known: dict[str, list]) -> list[Facts | DataError]:
        """Of each image, or why it cannot be used. ``known`` holds what an earlier call read of files that have not
        changed since, and is brought up to date."""
        ...

    def fill(self, goal: np.ndarray, order: Sequence[int], digests: Sequence[str]) -> None:
        """Write the pixels of the images ``order`` into ``goal``, uint8 (N, channels, height, width). DataError where
        some cannot be decoded, or have not the ``digests`` that their facts told.

        Args:
            goal: What is filled.
            order: Which images, by their place in ``items``.
            digests: The digest of each of these, as its facts told.
        """
        ...

    def thumbnails(self, order: Sequence[int], side: int) -> Iterator[Image.Image | DataError]:
        """Of each of the images ``order`` a small copy in colour, at most ``side`` pixels wide and high, or why it
        cannot be decoded."""
        ...


@dataclass(frozen=True)
class Files:
    """A listing of image files, in ``paths``."""

    items: Sequence[Item]
    paths: Sequence[Path]
    notes: Sequence[str] = ()

    def facts(self, known: dict[str, list]) -> list[Facts | DataError]:
        """As in :class:`Listing`."""
        fresh: dict[str, list] = {}

        def facts(name: str, path: Path) -> Facts:
            about = path.stat()
            kept = known.get(str(path))
            if kept is None or kept[:2] != [about.st_size, about.st_mtime_ns]:
                kept = [about.st_size, about.st_mtime_ns, *pictures.facts(_bytes(path), name)]
            fresh[str(path)] = kept
            return Facts(*kept[2:])

        read = [_or_why(item.name, facts, item.name, path) for item, path in zip(self.items, self.paths, strict=True)]
        known.clear()
        known.update(fresh)
        return read

    def fill(self, goal: np.ndarray, order: Sequence[int], digests: Sequence[str]) -> None:
        """As in :class:`Listing`."""
        self._encoded.fill(goal, order, digests)

    def thumbnails(self, order: Sequence[int], side: int) -> Iterator[Image.Image | DataError]:
        """As in :class:`Listing`."""
        return self._encoded.thumbnails(order, side)

    @property
    def _encoded(self) -> Encoded:
        return Encoded(self.items, lambda index: _bytes(self.paths[index]))


@dataclass(frozen=True)
class Encoded:
    """A listing of encoded images, whose bytes ``data`` returns by their position."""

    items: Sequence[Item]
    data: Callable[[int], bytes]
    notes: Sequence[str] = ()

    def facts(self, known: dict[str, list]) -> list[Facts | DataError]:
        """As in :class:`Listing`; all are read anew, since nothing tells that they have not changed."""
        return [_or_why(item.name, self._facts, index) for index, item in enumerate(self.items)]

    def _facts(self, index: int) -> Facts:
        return pictures.facts(self.data(index), self.items[index].name)

    def fill(self, goal: np.ndarray, order: Sequence[int], digests: Sequence[str]) -> None:
        """As in :class:`Listing`."""

        def pixels(index: int, digest: str) -> np.ndarray:
            data, name = self.data(index), self.items[index].name
            if hashlib.sha256(data).hexdigest() != digest:
                raise DataError(f"{name} was changed while it was read")
            return pictures.pixels(data, name, goal.shape[1:])

        def decoded(index: int, digest: str) -> np.ndarray | DataError:
            return _or_why(self.items[index].name, pixels, index, digest)

        many = goal.shape[2] * goal.shape[3] >= THREADS_FROM
        with ThreadPoolExecutor(max_workers=None if many else 1) as threads:
            wrong: list[DataError] = []
            each = max(1, AT_ONCE // goal[:1].nbytes)
            for start in range(0, len(order), each):
                chunk = slice(start, start + each)
                for row, image in enumerate(threads.map(decoded, order[chunk], digests[chunk]), start):
                    if isinstance(image, DataError):
                        wrong.append(image)
                    else:
                        goal[row] = image
        refuse(wrong, len(order))

    def thumbnails(self, order: Sequence[int], side: int) -> Iterator[Image.Image | DataError]:
        """As in :class:`Listing`."""

        def small(index: int) -> Image.Image | DataError:
            name = self.items[index].name
            return _or_why(name, lambda: pictures.thumbnail(self.data(index), name, side))

        with ThreadPoolExecutor() as threads:
            for start in range(0, len(order), THUMBNAILS_AT_ONCE):
                yield from threads.map(small, order[start : start + THUMBNAILS_AT_ONCE])


@dataclass(frozen=True)
class Array:
    """A listing of the images in an array, uint8 (N, height, width) or (N, height, width, channels)."""

    items: Sequence[Item]
    x: np.ndarray
    notes: Sequence[str] = ()

    def facts(self, known: dict[str, list]) -> list[Facts | DataError]:
        """As in :class:`Listing`."""
        mode = pictures.ARRAY_MODES[self.x.shape[3] if self.x.ndim == 4 else 1]
        height, width = self.x.shape[1:3]
        return [Facts(hashlib.sha256(image.tobytes()).hexdigest(), width, height, mode) for image in self.x]

    def fill(self, goal: np.ndarray, order: Sequence[int], digests: Sequence[str]) -> None:
        """As in :class:`Listing`; the array is in memory, where nothing changes it."""
        for row, index in enumerate(order):
            goal[row] = pictures.of_array(self.x[index], goal.shape[1:])

    def thumbnails(self, order: Sequence[int], side: int) -> Iterator[Image.Image | DataError]:
        """As in :class:`Listing`."""
        return (pictures.thumbnail_of_array(self.x[index], side) for index in order)


def refuse(wrong: Sequence[DataError], of: int) -> None:
    """DataError that names the first of the images that cannot be used, where there are any."""
    if wrong:
        more = f"; {len(wrong)} of {of:,} images in all" if len(wrong) > 1 else ""
        named = "; ".join(str(error) for error in wrong[:SHOWN])
        raise DataError(f"{named}{more}. Repair or remove {'them' if len(wrong) > 1 else 'it'}, and run it again.")


def _or_why(name: str, read: Callable[..., T], *words: Any) -> T | DataError:
    """What is read of an image, or why it cannot be."""
    try:
        return read(*words)
    except OSError as error:
        return DataError(f"{name} cannot be read: {error.strerror or error}")
    except DataError as error:
        return error


def _bytes(path: Path) -> bytes:
    """Of a file that is too large so much that ``pictures`` refuses it."""
    with regular_file(path) as file:
        return file.read(pictures.MOST_BYTES + 1)
