"""The index: what a report needs of every record of a store, in one file. A report of a million trials then opens one
file and not a million, and asks a bucket for one object.

It is never the truth. Each entry goes with the size and the time (or hash) of the record that it was made of; where
those are others now the record is read, and an index that is damaged is as good as none. Bundles have none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np

from .files import Stamp
from .outcome_table import COLUMNS, STATUSES, Outcomes, none
from .record import Outcome
from .serialization import pack_arrays, unpack_arrays
from .store import Store, StoreError

NAME = "index.npz"
KEY = 10  # bytes: twenty hexadecimal digits
READERS = 16  # at a time, of a bucket: it answers slowly, and to many at once
PIECE = 50_000  # records that are objects at one time
MANY = 1000  # records that had to be read one by one before they are worth an index
VERDICTS = 3  # of the checksums: no, yes, nothing was read


def outcomes(store: Store, wanted: Iterable[str]) -> tuple[Outcomes, list[str]]:
    """The outcomes of the finished ones among the trials that are wanted (others may be there too), and a message for
    each record that is damaged.

    What the store's index holds of records that did not change since is taken from it; the others are read, and where
    they are many the index is written anew.
    """
    stamps = store.stamps()
    indexed = read(store, stamps)
    known = indexed.at
    missing = list(dict.fromkeys([key for key in wanted if key not in known and key in stamps]))
    found, damaged = indexed, []
    for some in (missing[start : start + PIECE] for start in range(0, len(missing), PIECE)):
        told = _one_by_one(store, some)
        damaged += [one for one in told if isinstance(one, str)]
        found = found.with_more([one for one in told if isinstance(one, Outcome)])
    if len(found.keys) - len(indexed.keys) >= MANY:
        write(store, found, stamps)
    return found, damaged


def _one_by_one(store: Store, keys: Sequence[str]) -> list[Outcome | str]:
    if store.local:
        return [_one(store, key) for key in keys]
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(lambda key: _one(store, key), keys))


def _one(store: Store, key: str) -> Outcome | str:
    try:
        return store.outcome(key)
    except (StoreError, FileNotFoundError) as error:
        return str(error)


def write(store: Store, outcomes: Outcomes, stamps: Mapping[str, Stamp | None]) -> None:
    """Keep what was made of the records with these stamps. A store that cannot be written stays as it is."""
    told = outcomes.where(np.array([stamps.get(key) is not None for key in outcomes.keys], bool))
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


def read(store: Store, stamps: Mapping[str, Stamp | None]) -> Outcomes:
    """What the index holds of the records that have these stamps."""
    if not any(stamps.values()):
        return none()
    try:
        arrays = unpack_arrays(store.read(NAME))
        found = _outcomes(arrays)
        claimed = map(tuple, arrays["stamps"].tolist())
        fresh = np.array([stamps.get(key) == stamp for key, stamp in zip(found.keys, claimed, strict=True)], bool)
    except Exception:  # missing, or whatever a stranger's bytes lead to: the records are read instead
        return none()
    return found if fresh.all() else found.where(fresh)


def _outcomes(arrays: Mapping[str, np.ndarray]) -> Outcomes:
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
    return Outcomes(keys, accuracy=accuracy, reasons=reasons, fingerprints=fingerprints, tails=tails, **columns)


def _below(codes: np.ndarray, count: int) -> bool:
    return not len(codes) or (int(codes.min()) >= 0 and int(codes.max()) < count)
