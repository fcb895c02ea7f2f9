"""Keys of trials as columns of bytes, ten for each: of a million no text is made."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import numpy as np

SIZE = 10  # bytes of a key: twenty hexadecimal digits
PIECE = 100_000  # names of which columns of letters are made at one time
_DIGITS = np.zeros(256, bool)
_DIGITS[np.frombuffer(b"0123456789abcdef", np.uint8)] = True


def packed(keys: Iterable[str]) -> np.ndarray:
    """(n, SIZE), uint8. ValueError where one is no key."""
    digits = "".join(keys)
    return np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, SIZE)


def texts(keys: np.ndarray) -> list[str]:
    """The keys as twenty digits each."""
    digits = keys.tobytes().hex()
    return [digits[start : start + 2 * SIZE] for start in range(0, len(digits), 2 * SIZE)]


def are_keys(names: list[str]) -> np.ndarray:
    """(n,): which names, all of twenty characters, are twenty hexadecimal digits in small letters."""
    characters = np.frombuffer("".join(names).encode("ascii", "replace"), np.uint8)
    return np.all(_DIGITS[characters].reshape(len(names), 2 * SIZE), axis=1)


def of_files(names: Collection[str], suffix: str) -> np.ndarray:
    """The keys of the files that are called a key and then ``suffix``, packed."""
    every = [*names]
    pieces = [_of_files(every[start : start + PIECE], suffix) for start in range(0, len(every), PIECE)]
    return np.concatenate([packed([]), *pieces])


def _of_files(names: list[str], suffix: str) -> np.ndarray:
    length = 2 * SIZE + len(suffix)
    fit = "".join([name for name in names if len(name) == length])
    characters = np.frombuffer(fit.encode("ascii", "replace"), np.uint8).reshape(-1, length)
    digits = characters[:, : 2 * SIZE]
    right = _DIGITS[digits].all(axis=1) & (characters[:, 2 * SIZE :] == list(suffix.encode())).all(axis=1)
    return packed([digits[right].tobytes().decode()])


def all_differ(keys: np.ndarray) -> bool:
    """Whether no key is there twice."""
    heads, tails = _halves(keys)
    ordered = np.sort(heads)
    if (ordered[1:] != ordered[:-1]).all():
        return True
    order = np.lexsort([tails, heads])
    return not ((np.diff(heads[order]) == 0) & (np.diff(tails[order]) == 0)).any()


def unique(keys: np.ndarray) -> np.ndarray:
    """Each key once, in the order in which they come first."""
    return keys if all_differ(keys) else keys[np.sort(np.unique(keys, axis=0, return_index=True)[1])]


def positions(wanted: np.ndarray, among: np.ndarray) -> np.ndarray:
    """(n,): where each key is among others, each of which is there once; -1 where it is not."""
    if np.array_equal(wanted, among):
        return np.arange(len(wanted))
    if not len(among):
        return np.full(len(wanted), -1)
    heads, _ = _halves(among)
    order = np.argsort(heads)
    ordered = heads[order]
    if (ordered[1:] == ordered[:-1]).any():  # keys that begin alike: nobody's but a forger's
        at = {key.tobytes(): place for place, key in enumerate(among)}
        return np.array([at.get(key.tobytes(), -1) for key in wanted], int)
    sought, _ = _halves(wanted)
    ascending = np.argsort(sought)  # sought in their order, the next is near: in any other each is far away in memory
    found = np.empty(len(wanted), np.int64)
    found[ascending] = order[np.minimum(np.searchsorted(ordered, sought[ascending]), len(among) - 1)]
    return np.where((among[found] == wanted).all(axis=1), found, -1)


def _halves(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first eight bytes of each key as a number, and the other two."""
    whole = np.ascontiguousarray(keys)
    return (
        np.ascontiguousarray(whole[:, :8]).view(">u8").ravel().astype(np.uint64),
        np.ascontiguousarray(whole[:, 8:]).view(">u2").ravel().astype(np.int64),
    )
