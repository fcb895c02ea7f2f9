"""The index of a store: what a report needs of every record, as columns in one file.

A report of a million trials then opens one file instead of a million, and holds columns instead of objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any, get_args

import numpy as np

from ..errors import StoreError
from . import paths
from .files import Stamp
from .reader import StoreReader
from .record import Status, TrialResult
from .serialization import pack_arrays, unpack_arrays
from .store import Store

STATUSES: tuple[str, ...] = get_args(Status)


COLUMNS = {
    "status": np.uint8, "verified": np.uint8, "seconds": np.float64, "classes": np.int32,
    "reason": np.int32, "fingerprint": np.int32, "counts": np.int32,
}  # fmt: skip
NAME = paths.INDEX
KEY = 10  # bytes: twenty hexadecimal digits
READERS = 16  # at a time, of a bucket: it answers slowly, and to many at once
PIECE = 50_000  # records that are objects at one time
MANY = 1000  # records that had to be read one by one before they are worth an index
VERDICTS = 3  # of the checksums: no, yes, nothing was read


def trial_results(store: StoreReader, wanted: Iterable[str]) -> tuple[TrialResults, list[str]]:
    """The outcomes of the finished ones among the trials that are wanted (others may be there too), and a message for
    each record that is damaged.

    What the store's index holds of records that did not change since is taken from it; the others are read, and where
    they are many the index is written anew.
    """
    stamps = store.stamps()
    indexed = read(store, stamps)
    known = indexed.positions
    missing = list(dict.fromkeys([key for key in wanted if key not in known and key in stamps]))
    found, damaged = indexed, []
    for some in (missing[start : start + PIECE] for start in range(0, len(missing), PIECE)):
        told = _read_records(store, some)
        damaged += [one for one in told if isinstance(one, str)]
        found = found.append([one for one in told if isinstance(one, TrialResult)])
    if isinstance(store, Store) and len(found.keys) - len(indexed.keys) >= MANY:
        write(store, found, stamps)
    return found, damaged


def _read_records(store: StoreReader, keys: Sequence[str]) -> list[TrialResult | str]:
    if isinstance(store, Store) and not store.local:
        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(lambda key: _read_record(store, key), keys))
    return [_read_record(store, key) for key in keys]


def _read_record(store: StoreReader, key: str) -> TrialResult | str:
    try:
        return store.result(key)
    except (StoreError, FileNotFoundError) as error:
        return str(error)


def write(store: Store, outcomes: TrialResults, stamps: Mapping[str, Stamp | None]) -> None:
    """Keep what was made of the records with these stamps. A store that cannot be written stays as it is."""
    told = outcomes.select(np.array([stamps.get(key) is not None for key in outcomes.keys], bool))
    if not told.keys:
        return
    words = {"reasons": told.reasons, "fingerprints": told.fingerprints, "tails": told.tails}
    arrays = {name: getattr(told, name) for name in (*COLUMNS, "accuracy")} | {
        "keys": np.frombuffer(bytes.fromhex("".join(told.keys)), np.uint8),
        "stamps": np.array([stamps[key] for key in told.keys], np.int64),
        "words": np.frombuffer(json.dumps(words).encode(), np.uint8),
    }
    with suppress(OSError, StoreError):
        store.write(NAME, pack_arrays(arrays, compressed=False))  # to pack it takes longer than to read it


def read(store: StoreReader, stamps: Mapping[str, Stamp | None]) -> TrialResults:
    """What the index holds of the records that have these stamps."""
    if not any(stamps.values()):
        return none()
    try:
        arrays = unpack_arrays(store.read(NAME))
        found = _trial_results(arrays)
        claimed = map(tuple, arrays["stamps"].tolist())
        fresh = np.array([stamps.get(key) == stamp for key, stamp in zip(found.keys, claimed, strict=True)], bool)
    except Exception:  # missing, or whatever a stranger's bytes lead to: the records are read instead
        return none()
    return found if fresh.all() else found.select(fresh)


def _trial_results(arrays: Mapping[str, np.ndarray]) -> TrialResults:
    """ValueError or KeyError where they are not what :func:`write` writes."""
    columns: dict[str, Any] = {name: arrays[name] for name in COLUMNS}
    accuracy, digits = arrays["accuracy"], arrays["keys"].tobytes().hex()
    keys = [digits[start : start + 2 * KEY] for start in range(0, len(digits), 2 * KEY)]
    words = json.loads(arrays["words"].tobytes())
    reasons, fingerprints = [str(word) for word in words["reasons"]], [str(word) for word in words["fingerprints"]]
    tails = [tuple(map(int, tail)) for tail in words["tails"]]
    lengths = np.array([len(tail) for tail in tails], int)
    ended = np.isin(columns["status"], [STATUSES.index("complete"), STATUSES.index("pruned")])
    holds = [
        all(columns[name].dtype == kind and columns[name].shape == (len(keys),) for name, kind in COLUMNS.items()),
        len(set(keys)) == len(keys) == len(arrays["stamps"]),
        _below(columns["status"], len(STATUSES)) and _below(columns["verified"], VERDICTS),
        _below(columns["reason"], len(reasons)) and _below(columns["fingerprint"], len(fingerprints)),
        _below(columns["counts"], len(tails)) and min(map(min, filter(None, tails)), default=1) > 0,
        np.array_equal(columns["classes"], np.where(ended, lengths[columns["counts"]], 0)),
        accuracy.dtype == float and accuracy.shape == (columns["classes"].sum(),),
        bool(((accuracy >= 0) & (accuracy <= 100)).all() and np.isfinite(columns["seconds"]).all()),
        bool((columns["seconds"] >= 0).all() and (columns["classes"][ended] > 0).all()),
    ]
    if not all(holds):
        raise ValueError("this is no index")
    return TrialResults(keys, accuracy=accuracy, reasons=reasons, fingerprints=fingerprints, tails=tails, **columns)


def _below(codes: np.ndarray, count: int) -> bool:
    return not len(codes) or (int(codes.min()) >= 0 and int(codes.max()) < count)


@dataclass(frozen=True)
class TrialResults:
    """One place in each column for each record: ``status`` counts into STATUSES; ``verified`` is 0 or 1, and 2 where no
    data were read; ``reason``, ``fingerprint`` and ``counts`` count into the lists of all words that there are.

    ``accuracy`` holds those of the classes of each record (``last_ema``) one record after the other, ``classes`` says
    how many; a trial that did not end has none.
    """

    keys: list[str]
    status: np.ndarray
    verified: np.ndarray
    seconds: np.ndarray
    classes: np.ndarray
    reason: np.ndarray
    fingerprint: np.ndarray
    counts: np.ndarray
    accuracy: np.ndarray
    reasons: list[str]
    fingerprints: list[str]
    tails: list[tuple[int, ...]]  # training images of each class

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The place of each key."""
        return dict(zip(self.keys, count(), strict=False))

    def indices(self, keys: Sequence[str]) -> np.ndarray:
        """Where each of these is; -1 where it is not."""
        at = self.positions
        return np.array([at.get(key, -1) for key in keys], int)

    def offsets(self) -> np.ndarray:
        """Where the accuracies of each record begin."""
        return np.cumsum(self.classes) - self.classes

    def select(self, mask: np.ndarray) -> TrialResults:
        """Those of these places."""
        some: dict[str, Any] = {name: getattr(self, name)[mask] for name in COLUMNS}
        keys = [key for key, stays in zip(self.keys, mask, strict=True) if stays]
        accuracy = self.accuracy[np.repeat(mask, self.classes)]
        return TrialResults(keys, accuracy=accuracy, reasons=self.reasons, fingerprints=self.fingerprints,
                        tails=self.tails, **some)  # fmt: skip

    def append(self, found: Sequence[TrialResult]) -> TrialResults:
        """These and those after them."""
        reasons, fingerprints, tails = map(_numbered, (self.reasons, self.fingerprints, self.tails))
        ends = [one.accuracy["last_ema"] if one.status in ("complete", "pruned") else () for one in found]
        more = {
            "status": [STATUSES.index(one.status) for one in found],
            "verified": [2 if one.data is None else int(one.data.verified) for one in found],
            "seconds": [one.train_seconds for one in found],
            "classes": [len(end) for end in ends],
            "reason": [reasons.setdefault(one.reason, len(reasons)) for one in found],
            "fingerprint": [
                fingerprints.setdefault(one.data.fingerprint if one.data else "", len(fingerprints)) for one in found
            ],
            "counts": [tails.setdefault(one.counts, len(tails)) for one in found],
        }
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), np.array(more[name], kind)]) for name, kind in COLUMNS.items()
        }
        flat = np.fromiter((value for end in ends for value in end), float)
        return TrialResults(
            [*self.keys, *(one.key for one in found)],
            accuracy=np.concatenate([self.accuracy, flat]),
            reasons=list(reasons),
            fingerprints=list(fingerprints),
            tails=list(tails),
            **columns,
        )


def none() -> TrialResults:
    columns: dict[str, Any] = {name: np.zeros(0, kind) for name, kind in COLUMNS.items()}
    return TrialResults([], accuracy=np.zeros(0), reasons=[], fingerprints=[], tails=[], **columns)


def _numbered(words: Iterable[Any]) -> dict[Any, int]:
    return {word: number for number, word in enumerate(words)}
