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


def near_duplicates(listing: Listing, usable: Sequence[int]) -> tuple[list[list[int]], int]:
    """Images that look alike.

    Args:
        listing: The images.
        usable: Positions in it of those that can be read.

    Returns:
        Groups of positions, each of two images or more, and how many images were looked at. An image whose pixels
        cannot be decoded is passed over.

    Raises:
        ImportError: where imagehash is not installed.
    """
    import imagehash

    step = max(1, -(-len(usable) // AT_MOST))
    positions, hashes = [], []
    for position, image in zip(usable[::step], listing.thumbnails(usable[::step], SIDE), strict=True):
        if not isinstance(image, DataError):
            positions.append(position)
            hashes.append(np.packbits(imagehash.phash(image.convert("L")).hash))
    packed = np.array(hashes, np.uint8).reshape(len(hashes), 8)
    return [[positions[index] for index in group] for group in alike(packed)], len(positions)


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
            for place, one in enumerate(members[:-1]):
                others = members[place + 1 :]
                differing = _BITS[unique[others] ^ unique[one]].sum(axis=1)
                yield from ((int(one), int(other)) for other in others[differing <= DISTANCE])


def in_words(groups: Sequence[Sequence[int]], names: Sequence[str], shown: int) -> list[list[str]]:
    """The names of the images of the first groups."""
    return [[names[index] for index in group] for group in groups[:shown]]


def facts(listing: Listing, usable: Sequence[int], digests: Sequence[str], sides: Sequence[str], shown: int) -> Any:
    """What is said of near duplicates.

    Args:
        listing: The images.
        usable: Positions of those that can be read.
        digests: The SHA-256 of each image's bytes, by position.
        sides: On which side of the split each stands, by position: train or test, or nothing.
        shown: How many groups are named.

    Returns:
        ``near_duplicates``, groups of names in which not all bytes are the same, ``near_leaks``, those of them that
        stand on both sides, how many of each there are, and ``looked_at``, of how many images.
    """
    try:
        groups, looked_at = near_duplicates(listing, usable)
    except ImportError:
        return {"near_duplicates": None, "near_leaks": None, "looked_at": 0}
    groups = [group for group in groups if len({digests[index] for index in group}) > 1]
    leaks = [group for group in groups if {"train", "test"} <= {sides[index] for index in group}]
    names = [item.name for item in listing.items]
    return {
        "near_duplicates": in_words(groups, names, shown), "near_duplicate_groups": len(groups),
        "near_leaks": in_words(leaks, names, shown), "near_leak_groups": len(leaks), "looked_at": looked_at,
    }  # fmt: skip
