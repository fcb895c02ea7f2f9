"""Scan: what a source holds, found once: its classes by size, its split, its shape, and the hash of its contents.

What was read of each file is kept in the cache folder, and read again only where a file's size or time has changed; so
the images may lie where nothing can be written.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median_low

import numpy as np

from ..catalog import DataError
from ..files import cache
from . import image_sets
from .carve import carve
from .class_names import check_class_names, class_order
from .listing import Item, Listing, refuse
from .pictures import GREY, Facts
from .readers import array_file, folder, hugging_face, table
from .source import SETS, Source

READERS: dict[str, Callable[[Source], Listing]] = {
    "folder": folder.listing,
    "csv": table.listing,
    "npz": array_file.listing,
    "hf": hugging_face.listing,
    **dict.fromkeys(SETS, image_sets.listing),
}
SIZES = (32, 64, 128, 224)  # that images of several sizes are brought to where none is asked for
KEPT_UP_TO = 256  # pixels on a side: images that all have one size keep it up to here
SHORTEST = 8
VERSION = 1  # of what is kept in the cache


@dataclass(frozen=True)
class Scan:
    """A source that can be trained on. ``train`` and ``test`` are positions in the listing, class by class in the order
    of ``classes``, which begins with the largest. ``notes`` say in sentences what was seen and done."""

    source: Source
    listing: Listing
    facts: Sequence[Facts]
    classes: tuple[str, ...]
    train: Sequence[int]
    test: Sequence[int]
    shape: tuple[int, int, int]
    notes: tuple[str, ...]

    @cached_property
    def contents(self) -> str:
        """The SHA-256 of the classes, and of the bytes of their training and test images in their order: what the
        files and folders are called is not in it."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        number = {name: label for label, name in enumerate(self.classes)}
        for part in (self.train, self.test):
            digest.update(b"part")
            for index in part:
                digest.update(f"{number[self.listing.items[index].label]} {self.facts[index].digest}\n".encode())
        return digest.hexdigest()

    @cached_property
    def groups(self) -> np.ndarray | None:
        """The group of each training image (N,), numbered as they first appear, one that has none alone; None where
        all are."""
        names = [self.listing.items[index].group or index for index in self.train]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return np.array([numbers[name] for name in names], np.int64) if len(numbers) < len(names) else None

    @property
    def groups_hash(self) -> str | None:
        """The SHA-256 of the groups: what they are called is not in it."""
        return None if self.groups is None else hashlib.sha256(self.groups.astype("<i8").tobytes()).hexdigest()

    def labels(self, part: Sequence[int]) -> np.ndarray:
        """The class numbers (N,) of some images."""
        number = {name: label for label, name in enumerate(self.classes)}
        return np.array([number[self.listing.items[index].label] for index in part], np.int64)

    def counts(self, part: Sequence[int]) -> tuple[int, ...]:
        """The images of each class among some."""
        return tuple(np.bincount(self.labels(part), minlength=len(self.classes)).tolist())


def listed(source: Source) -> tuple[Listing, list[Facts | DataError]]:
    """The images of a source, and of each its facts or why it cannot be used. DataError where they cannot be listed."""
    listing = READERS[source.kind](source)
    if not listing.items:
        raise DataError(f"{source.name} holds no images")
    check_class_names(dict.fromkeys(item.label for item in listing.items), source.name)
    known = _known(source)
    before = dict(known)
    facts = listing.facts(known)
    if known != before:
        _keep(source, known)
    return listing, facts


def scan(source: Source) -> Scan:
    """What a source holds. DataError where it cannot be trained on: the message names the class or file."""
    listing, read = listed(source)
    refuse([fact for fact in read if isinstance(fact, DataError)], len(read))
    facts = [fact for fact in read if isinstance(fact, Facts)]
    parts, how = split(listing.items, facts)
    train, test = parts
    order = class_order(Counter(listing.items[index].label for index in train))
    rank = {name: label for label, name in enumerate(order)}
    train, test = (sorted(part, key=lambda index: rank[listing.items[index].label]) for part in (train, test))
    shape, brought = _shape(facts, source.size)
    notes = (*listing.notes, how, *brought)
    return Scan(source, listing, facts, order, train, test, shape, tuple(filter(None, notes)))


def split(items: Sequence[Item], facts: Sequence[Facts]) -> tuple[tuple[list[int], list[int]], str]:
    """The training and the test images, each by position, and in a sentence how they were told apart.

    Images for validation are trained on, since validation is carved from the pool; where there are none for testing,
    they are those. DataError where a class lacks images on a side, or a group stands on both.
    """
    parts: dict[str, list[int]] = {}
    for index, item in enumerate(items):
        parts.setdefault(item.part, []).append(index)
    if "train" not in parts and set(parts) != {""}:
        raise DataError(f"there are images for {' and '.join(parts)}, but none for training")
    if "test" in parts:
        test, how = parts.pop("test"), "the test images are those that are said to be"
        how += "; those for validation were added to the training images" if "val" in parts else ""
    elif "val" in parts:
        test, how = parts.pop("val"), "the test images are those for validation, since none are said to be for testing"
    else:
        pool = list(range(len(items)))
        _check_classes(items, pool, pool)
        train, test = carve(items, facts)
        groups = ", whole groups on one side" if any(item.group for item in items) else ""
        return (train, test), f"the test images are a fifth of each class, drawn by a fixed seed{groups}"
    train = sorted(index for part in parts.values() for index in part)
    _check_classes(items, train, test)
    torn = {items[index].group for index in train} & {items[index].group for index in test} - {""}
    if torn:
        more = f"; {len(torn)} groups in all" if len(torn) > 1 else ""
        raise DataError(f"group {min(torn)!r} has training and test images{more}: a group must stand on one side")
    return (train, test), how


def _check_classes(items: Sequence[Item], train: Sequence[int], test: Sequence[int]) -> None:
    trained, tested = ({items[index].label for index in part} for part in (train, test))
    if len(trained | tested) < 2:
        raise DataError(f"there is one class, {min(trained | tested)!r}: at least two are needed to tell apart")
    for name in sorted(trained ^ tested):
        has, lacks = ("training", "test") if name in trained else ("test", "training")
        raise DataError(f"class {name!r} has {has} images and no {lacks} images: add some, or leave the class out")


def _shape(facts: Sequence[Facts], size: int | None) -> tuple[tuple[int, int, int], list[str]]:
    """Channels, height and width that all images are brought to, and in sentences what that does to them."""
    sizes, modes = Counter((fact.width, fact.height) for fact in facts), Counter(fact.mode for fact in facts)
    channels = 1 if set(modes) <= set(GREY) else 3
    (width, height), _ = sizes.most_common(1)[0]
    if size is not None:
        width = height = size
    elif len(sizes) > 1 or max(width, height) > KEPT_UP_TO or min(width, height) < SHORTEST:
        side = median_low([min(fact.width, fact.height) for fact in facts])
        width = height = max((size for size in SIZES if size <= side), default=SIZES[0])
    notes = []
    if set(sizes) != {(width, height)}:
        shown = ", ".join(f"{w}x{h}" for (w, h), _ in sizes.most_common(3)) + (", ..." if len(sizes) > 3 else "")
        notes.append(f"images of {len(sizes)} sizes ({shown}) are brought to {width}x{height}: scaled, then cropped")
    if len(modes) > 1:
        notes.append(f"modes {', '.join(sorted(modes))} are brought to {'grey' if channels == 1 else 'colour'}")
    return (channels, height, width), notes


def _kept_in(source: Source) -> Path:
    digest = hashlib.sha256(f"{VERSION} {source.kind} {source.path}".encode()).hexdigest()
    return cache() / "user-images" / "files" / f"{digest[:20]}.json"


def _known(source: Source) -> dict[str, list]:
    try:
        known = json.loads(_kept_in(source).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    sound = isinstance(known, dict) and all(isinstance(kept, list) and len(kept) == 6 for kept in known.values())
    return known if sound else {}


def _keep(source: Source, known: dict[str, list]) -> None:
    with suppress(OSError):  # it is read again, then
        write_whole(_kept_in(source), json.dumps(known))


def write_whole(path: Path, text: str) -> None:
    """Write a file so that no reader sees a part of it. OSError where it cannot be written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
