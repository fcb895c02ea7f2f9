"""Near duplicates: images that look alike though their bytes differ, by the perceptual hash of imagehash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..catalog import DataError
from .listing import Listing

AT_MOST = 100_000  # images whose hashes are taken; of more, so many, evenly spread over the listing
DISTANCE = 3  # bits of 64 in which the hashes of images that look alike may differ
BANDS = 4  # of 16 bits: hashes that differ in at most three agree in one
CROWD = 4096  # hashes that agree in a band and are compared with each other; of more, the first so many
SIDE = 64  # pixels: what the hash, which is made of 32 x 32, needs to see
LACKING = 'near duplicates are not looked for: pip install "tailboard[inspect]"'
_BITS = np.array([bin(value).count("1") for value in range(256)], np.uint8)


def hashed(listing: Listing, usable: Sequence[int]) -> tuple[dict[int, np.ndarray] | None, dict[int, DataError]]:
    """The perceptual hashes of images, each of which is decoded once.

    Args:
        listing: The images.
        usable: Positions in it of those whose headers can be read.

    Returns:
        The hash (8,) of each image by its position, of at most AT_MOST of them, evenly spread, and None where imagehash
        is not installed; and why each is refused whose pixels cannot be decoded.
    """
    phash = _phash()
    step = max(1, -(-len(usable) // AT_MOST))
    hashes, wrong = {}, {}
    for number, (position, image) in enumerate(zip(usable, listing.thumbnails(usable, SIDE), strict=True)):
        if isinstance(image, DataError):
            wrong[position] = image
        elif phash and number % step == 0:
            hashes[position] = np.packbits(phash(image.convert("L")).hash)
    return hashes if phash else None, wrong


def _phash() -> Any:
    """imagehash's function; None where it is not installed."""
    try:
        import imagehash
    except ImportError:
        return None
    return imagehash.phash


def alike(hashes: np.ndarray) -> list[list[int]]:
    """Groups of indices of hashes (N, 8), uint8, each near another of its group: at most DISTANCE bits."""
    unique, number = np.unique(hashes, axis=0, return_inverse=True)
    parent = list(range(len(unique)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for first, second in _pairs(unique):
        parent[root(first)] = root(second)
    groups: dict[int, list[int]] = {}
    for index, one in enumerate(number.reshape(-1).tolist()):
        groups.setdefault(root(one), []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def _pairs(unique: np.ndarray) -> Iterable[tuple[int, int]]:
    """The pairs of different hashes that are near."""
    for band in range(BANDS):
        key = unique[:, 2 * band].astype(int) * 256 + unique[:, 2 * band + 1]
        order = np.argsort(key, kind="stable")
        edges = [0, *(np.flatnonzero(np.diff(key[order])) + 1).tolist(), len(order)]
        for start, end in pairwise(edges):
            members = order[start:end][:CROWD]
            for place, first in enumerate(members[:-1]):
                later = members[place + 1 :]
                differing = _BITS[unique[later] ^ unique[first]].sum(axis=1)
                yield from ((int(first), int(second)) for second in later[differing <= DISTANCE])


def in_words(groups: Sequence[Sequence[int]], names: Sequence[str], shown: int) -> list[list[str]]:
    """The names of the images of the first groups.

    Args:
        groups: Each the places of images that look alike.
        names: The name of each image.
        shown: How many groups are named.
    """
    return [[names[index] for index in group] for group in groups[:shown]]


def facts(
    hashes: dict[int, np.ndarray] | None, names: Sequence[str], digests: Sequence[str], sides: Sequence[str], shown: int
) -> Any:
    """What is said of near duplicates.

    Args:
        hashes: Of the images that were looked at, by position; None where none could be.
        names: Of all images.
        digests: The SHA-256 of each image's bytes, by position.
        sides: On which side of the split each stands, by position: train or test, or nothing.
        shown: How many groups are named.

    Returns:
        ``near_duplicates``, groups of names in which not all bytes are the same, ``near_leaks``, those of them that
        stand on both sides, how many of each there are, and ``looked_at``, of how many images.
    """
    if hashes is None:
        return {"near_duplicates": None, "near_leaks": None, "looked_at": 0}
    positions = [*hashes]
    packed = np.array([*hashes.values()], np.uint8).reshape(len(hashes), 8)
    groups = [[positions[index] for index in group] for group in alike(packed)]
    groups = [group for group in groups if len({digests[index] for index in group}) > 1]
    leaks = [group for group in groups if {"train", "test"} <= {sides[index] for index in group}]
    return {
        "near_duplicates": in_words(groups, names, shown), "near_duplicate_groups": len(groups),
        "near_leaks": in_words(leaks, names, shown), "near_leak_groups": len(leaks), "looked_at": len(hashes),
    }  # fmt: skip
