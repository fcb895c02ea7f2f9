"""The index of a store: what a report needs of every record, as columns in one file.

A report of a million trials then opens one file instead of a million, and holds columns instead of objects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Any, get_args

import numpy as np

from ..errors import StoreError
from . import paths
from .packed_keys import SIZE, all_differ, packed, places, texts
from .reader import Stamps, StoreReader
from .record import Status, TrialResult
from .serialization import pack_arrays, unpack_arrays
from .store import Store

STATUSES: tuple[str, ...] = get_args(Status)
WITH_ACCURACIES = [STATUSES.index("complete"), STATUSES.index("pruned")]
COLUMNS = {
    "status": np.uint8, "verified": np.uint8, "seconds": np.float64, "classes": np.int32,
    "reason": np.int32, "fingerprint": np.int32, "counts": np.int32, "noted": np.int32,
    "machine": np.int32,
}  # fmt: skip
NAME = paths.INDEX
READERS = 16  # at a time, of a bucket: it answers slowly, and to many at once
PIECE = 50_000  # records that are objects at one time
MANY = 1000  # records that had to be read one by one before they are worth an index
VERDICTS = 3  # of the checksums: no, yes, nothing was read


def trial_results(store: StoreReader, wanted: np.ndarray) -> tuple[TrialResults, list[str], np.ndarray]:
    """What became of trials. What the store's index holds of records that did not change since is taken from it; the
    others are read, and where they are many the index is written anew.

    Args:
        store: Where their records are.
        wanted: Their keys, packed.

    Returns:
        The outcomes of the finished ones among them (others may be there too), a message for each record that is
        damaged, and the keys of all records that there are.
    """
    stamps = store.stamps()
    indexed = read(store, stamps)
    to_read = wanted[(places(wanted, indexed.keys) < 0) & (places(wanted, stamps.keys) >= 0)]
    missing = list(dict.fromkeys(texts(to_read)))
    results, damaged = indexed, []
    for start in range(0, len(missing), PIECE):
        read_now = _read_records(store, missing[start : start + PIECE])
        damaged += [message for message in read_now if isinstance(message, str)]
        results = results.append([result for result in read_now if isinstance(result, TrialResult)])
    if isinstance(store, Store) and len(results.keys) - len(indexed.keys) >= MANY:
        write(store, results, stamps)
    return results, damaged, stamps.keys


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


def write(store: Store, results: TrialResults, stamps: Stamps) -> None:
    """Keep what was made of the records. A store that cannot be written stays as it is.

    Args:
        store: Whose index.
        results: What was made of the records.
        stamps: Of the records as they were read.
    """
    at = places(results.keys, stamps.keys)
    stamped = (at >= 0) & np.append(stamps.known, False)[at]
    kept = results.select(stamped)
    if not len(kept.keys):
        return
    words = {name: getattr(kept, name) for name in ("reasons", "fingerprints", "tails", "notes", "machines")}
    arrays = {name: getattr(kept, name) for name in (*COLUMNS, "accuracy")} | {
        "keys": kept.keys.ravel(),
        "stamps": stamps.marks[at[stamped]],
        "words": np.frombuffer(json.dumps(words).encode(), np.uint8),
    }
    with suppress(OSError, StoreError):
        store.write(NAME, pack_arrays(arrays, compressed=False))  # to pack it takes longer than to read it


def read(store: StoreReader, stamps: Stamps) -> TrialResults:
    """What the index holds of the records that have these stamps."""
    if not stamps.known.any():
        return no_results()
    try:
        arrays = unpack_arrays(store.read(NAME))
        results = _unpacked(arrays)
        at = places(results.keys, stamps.keys)
        fresh = (at >= 0) & stamps.known[at] & (stamps.marks[at] == arrays["stamps"]).all(axis=1)
    except Exception:  # missing, or whatever a stranger's bytes lead to: the records are read instead
        return no_results()
    return results if fresh.all() else results.select(fresh)


def _unpacked(arrays: Mapping[str, np.ndarray]) -> TrialResults:
    """ValueError or KeyError where they are not what :func:`write` writes."""
    words = json.loads(arrays["words"].tobytes())
    columns: dict[str, Any] = {name: arrays[name] for name in COLUMNS}
    results = TrialResults(
        arrays["keys"].reshape(-1, SIZE),
        accuracy=arrays["accuracy"],
        reasons=[str(word) for word in words["reasons"]],
        fingerprints=[str(word) for word in words["fingerprints"]],
        tails=[tuple(map(int, tail)) for tail in words["tails"]],
        notes=[str(word) for word in words["notes"]],
        machines=[str(word) for word in words["machines"]],
        **columns,
    )
    wrong = [name for name, holds in _checks(results, arrays["stamps"]).items() if not holds]
    if wrong:
        raise ValueError(f"this is no index: {', '.join(wrong)}")
    return results


def _checks(results: TrialResults, stamps: np.ndarray) -> dict[str, bool | np.bool]:
    """What holds of every index, each whether it does: the columns may be a stranger's."""
    keys, accuracy, classes = results.keys, results.accuracy, results.classes
    columns = {name: getattr(results, name) for name in COLUMNS}
    ended = np.isin(results.status, WITH_ACCURACIES)
    lengths = np.array([len(tail) for tail in results.tails], int)
    codes = {"status": STATUSES, "verified": range(VERDICTS), "reason": results.reasons,
             "fingerprint": results.fingerprints, "counts": results.tails, "noted": results.notes,
             "machine": results.machines}  # fmt: skip
    return {
        "types": all(columns[name].dtype == kind for name, kind in COLUMNS.items()) and accuracy.dtype == float,
        "stamps": stamps.dtype == np.int64 and stamps.shape == (len(keys), 2),
        "lengths": all(column.shape == (len(keys),) for column in columns.values()),
        "keys": keys.dtype == np.uint8 and all_differ(keys),
        "codes": all(((columns[name] >= 0) & (columns[name] < len(words))).all() for name, words in codes.items()),
        "tails": all(count > 0 for tail in results.tails for count in tail),
        "notes": all(_numbers(text) for text in results.notes),
        "classes": np.array_equal(classes, np.where(ended, lengths[results.counts], 0)) and (classes[ended] > 0).all(),
        "accuracy": accuracy.shape == (classes.sum(),) and ((accuracy >= 0) & (accuracy <= 100)).all(),
        "seconds": (np.isfinite(results.seconds) & (results.seconds >= 0)).all(),
    }


@dataclass(frozen=True)
class TrialResults:
    """One place in each column for each record: ``keys`` are packed; ``status`` counts into STATUSES; ``verified`` is 0
    or 1, and 2 where no data were read; ``reason``, ``fingerprint``, ``counts``, ``noted`` and ``machine`` count into
    the lists of all words that there are. ``notes`` are JSON, and empty where a trial has none.

    ``accuracy`` holds those of the classes of each record (``last_ema``) one record after the other, ``classes`` says
    how many; a trial that did not end has none.
    """

    keys: np.ndarray
    status: np.ndarray
    verified: np.ndarray
    seconds: np.ndarray
    classes: np.ndarray
    reason: np.ndarray
    fingerprint: np.ndarray
    counts: np.ndarray
    noted: np.ndarray
    machine: np.ndarray
    accuracy: np.ndarray
    reasons: list[str]
    fingerprints: list[str]
    tails: list[tuple[int, ...]]  # training images of each class
    notes: list[str]
    machines: list[str]

    def offsets(self) -> np.ndarray:
        """Where the accuracies of each record begin."""
        return np.cumsum(self.classes) - self.classes

    def select(self, mask: np.ndarray) -> TrialResults:
        """Those of these places."""
        columns: dict[str, Any] = {name: getattr(self, name)[mask] for name in COLUMNS}
        accuracy = self.accuracy[np.repeat(mask, self.classes)]
        return TrialResults(self.keys[mask], accuracy=accuracy, reasons=self.reasons, fingerprints=self.fingerprints,
                            tails=self.tails, notes=self.notes, machines=self.machines, **columns)  # fmt: skip

    def append(self, results: Sequence[TrialResult]) -> TrialResults:
        """These and those after them."""
        words = self.reasons, self.fingerprints, self.tails, self.notes, self.machines
        reasons, fingerprints, tails, notes, machines = map(_numbered, words)
        added: dict[str, list[float]] = {name: [] for name in (*COLUMNS, "accuracy")}
        for result in results:
            status, data = STATUSES.index(result.status), result.data
            accuracies = result.accuracy["last_ema"] if status in WITH_ACCURACIES else ()
            fingerprint = data.fingerprint if data else ""
            added["status"].append(status)
            added["verified"].append(int(data.verified) if data else 2)
            added["seconds"].append(result.train_seconds)
            added["classes"].append(len(accuracies))
            added["reason"].append(reasons.setdefault(result.reason, len(reasons)))
            added["fingerprint"].append(fingerprints.setdefault(fingerprint, len(fingerprints)))
            added["counts"].append(tails.setdefault(result.counts, len(tails)))
            noted = json.dumps(result.notes, sort_keys=True) if result.notes else ""
            added["noted"].append(notes.setdefault(noted, len(notes)))
            added["machine"].append(machines.setdefault(result.machine, len(machines)))
            added["accuracy"] += accuracies
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(self, name), np.array(added[name], kind)])
            for name, kind in (COLUMNS | {"accuracy": float}).items()
        }
        return TrialResults(
            np.concatenate([self.keys, packed(result.key for result in results)]),
            reasons=list(reasons),
            fingerprints=list(fingerprints),
            tails=list(tails),
            notes=list(notes),
            machines=list(machines),
            **columns,
        )


def no_results() -> TrialResults:
    """The results of no trial."""
    columns: dict[str, Any] = {name: np.zeros(0, kind) for name, kind in COLUMNS.items()}
    return TrialResults(
        packed([]), accuracy=np.zeros(0), reasons=[], fingerprints=[], tails=[], notes=[], machines=[], **columns
    )


def _numbered(words: Iterable[Any]) -> dict[Any, int]:
    return {word: number for number, word in enumerate(words)}


def _numbers(text: str) -> bool:
    """Whether a word of the index is what :meth:`TrialResults.append` makes of the notes of a trial."""
    values = json.loads(text).values() if text else ()
    return all(isinstance(value, float) and isfinite(value) for value in values)
