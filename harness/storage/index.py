"""The index of a store: what a report needs of every record, as columns in one file.

A report of a million trials then opens one file instead of a million, and holds columns instead of objects.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
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
WORDS = {  # by the column that counts into them
    "reason": "reasons", "fingerprint": "fingerprints", "counts": "tails", "noted": "notes", "machine": "machines",
}  # fmt: skip
NAME = paths.INDEX
READERS = 16  # at a time, of a bucket: it answers slowly, and to many at once
PIECE = 50_000  # records that are objects at one time
MANY = 1000  # records that had to be read one by one before they are worth an index
SHARED = 20_000  # records of a folder that are worth several processes
SHARE = 5_000  # records that are worth one of them: it takes a second to start
WORDS_EACH, WORDS_LEAST = 4096, 1 << 20  # bytes of all words, for each record; and where there are few
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
    unread = wanted[places(wanted, indexed.keys) < 0]
    to_read = unread[places(unread, stamps.keys) >= 0]
    results, damaged = _read_records(store, list(dict.fromkeys(texts(to_read))))
    results = joined([indexed, results]) if len(results.keys) else indexed
    if isinstance(store, Store) and len(results.keys) - len(indexed.keys) >= MANY:
        write(store, results, stamps)
    return results, damaged, stamps.keys


def _read_records(store: StoreReader, keys: Sequence[str]) -> tuple[TrialResults, list[str]]:
    """The outcomes of these trials, and a message for each record that is damaged."""
    if not isinstance(store, Store):
        return _read_here(store, keys)
    if not store.local:
        with ThreadPoolExecutor(READERS) as readers:
            return _read_here(store, keys, readers.map)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return _read_apart(store, keys, cores) if len(keys) >= SHARED and cores > 1 else _read_here(store, keys)


def _read_here(store: StoreReader, keys: Sequence[str], each: Callable = map) -> tuple[TrialResults, list[str]]:
    parts, damaged = [], []
    for start in range(0, len(keys), PIECE):
        read_now = list(each(partial(_read_record, store), keys[start : start + PIECE]))
        damaged += [message for message in read_now if isinstance(message, str)]
        parts.append(results_of([result for result in read_now if isinstance(result, TrialResult)]))
    return joined(parts), damaged


def _read_apart(store: Store, keys: Sequence[str], cores: int) -> tuple[TrialResults, list[str]]:
    """The same in several processes, one for each core at most; what one cannot tell, or cannot be started for, is read
    here."""
    most = max(-(-len(keys) // cores), SHARE)
    shares = [keys[start : start + most] for start in range(0, len(keys), most)]
    command = [sys.executable, "-P", "-m", __name__, store.url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    processes: list[Any] = []
    try:
        with suppress(OSError):  # no more of them can be had
            for share in shares:
                processes.append(subprocess.Popen(command, **pipes))  # noqa: S603
                with suppress(OSError), processes[-1].stdin as told:
                    told.write("".join(share).encode())
        found = [_answer_of(each) or _read_here(store, share) for each, share in zip(processes, shares, strict=False)]
        found += [_read_here(store, share) for share in shares[len(processes) :]]
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()
    return joined([results for results, _ in found]), [message for _, damaged in found for message in damaged]


def _answer_of(process: Any) -> tuple[TrialResults, list[str]] | None:
    """What a process read; nothing where it failed, or its answer is more than may be read."""
    answer = process.stdout.read()
    if process.wait():
        return None
    try:
        arrays = unpack_arrays(answer)
        return _of_arrays(arrays), json.loads(arrays["damaged"].tobytes())
    except (ValueError, KeyError, zipfile.BadZipFile):
        return None


def _answer() -> None:
    """Be one of the processes: the store is named, and the keys come, one behind the other."""
    keys = texts(packed([sys.stdin.read()]))
    results, damaged = _read_here(Store(sys.argv[1]), keys)
    sys.stdout.buffer.write(pack_arrays(_arrays_of(results) | {"damaged": _text(damaged)}, compressed=False))


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
    arrays = _arrays_of(kept) | {"stamps": stamps.marks[at[stamped]]}
    if arrays["words"].nbytes > _most(len(stamps.keys)):  # nobody would read it
        return
    with suppress(OSError, StoreError):
        store.write(NAME, pack_arrays(arrays, compressed=False))  # to pack it takes longer than to read it


def read(store: StoreReader, stamps: Stamps) -> TrialResults:
    """What the index holds of the records that have these stamps."""
    if not stamps.known.any():
        return no_results()
    try:
        arrays = unpack_arrays(store.read(NAME))
        if arrays["words"].nbytes > _most(len(stamps.keys)):  # before they are objects, which take far more
            return no_results()
        results = _unpacked(arrays)
        at = places(results.keys, stamps.keys)
        fresh = (at >= 0) & stamps.known[at] & (stamps.marks[at] == arrays["stamps"]).all(axis=1)
    except Exception:  # missing, or whatever a stranger's bytes lead to: the records are read instead
        return no_results()
    return results if fresh.all() else results.select(fresh)


def _most(records: int) -> int:
    """The bytes of words that an index of a store with so many records may have."""
    return max(WORDS_LEAST, WORDS_EACH * records)


def _arrays_of(results: TrialResults) -> dict[str, np.ndarray]:
    words = {name: getattr(results, name) for name in WORDS.values()}
    arrays = {name: getattr(results, name) for name in (*COLUMNS, "accuracy")}
    return arrays | {"keys": results.keys.ravel(), "words": _text(words)}


def _text(words: Any) -> np.ndarray:
    return np.frombuffer(json.dumps(words).encode(), np.uint8)


def _unpacked(arrays: Mapping[str, np.ndarray]) -> TrialResults:
    """ValueError or KeyError where they are not what :func:`write` writes."""
    results = _of_arrays(arrays)
    wrong = [name for name, holds in _checks(results, arrays["stamps"]).items() if not holds]
    if wrong:
        raise ValueError(f"this is no index: {', '.join(wrong)}")
    return results


def _of_arrays(arrays: Mapping[str, np.ndarray]) -> TrialResults:
    words = json.loads(arrays["words"].tobytes())
    columns: dict[str, Any] = {name: arrays[name] for name in COLUMNS}
    return TrialResults(
        arrays["keys"].reshape(-1, SIZE),
        accuracy=arrays["accuracy"],
        reasons=[str(word) for word in words["reasons"]],
        fingerprints=[str(word) for word in words["fingerprints"]],
        tails=[tuple(map(int, tail)) for tail in words["tails"]],
        notes=[str(word) for word in words["notes"]],
        machines=[str(word) for word in words["machines"]],
        **columns,
    )


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


def results_of(records: Sequence[TrialResult]) -> TrialResults:
    """The results of these trials, as columns."""
    reasons, fingerprints, tails, notes, machines = (dict[Any, int]() for _ in WORDS)
    columns: dict[str, list[float]] = {name: [] for name in (*COLUMNS, "accuracy")}
    for record in records:
        status, data = STATUSES.index(record.status), record.data
        accuracies = record.accuracy["last_ema"] if status in WITH_ACCURACIES else ()
        fingerprint = data.fingerprint if data else ""
        columns["status"].append(status)
        columns["verified"].append(int(data.verified) if data else 2)
        columns["seconds"].append(record.train_seconds)
        columns["classes"].append(len(accuracies))
        columns["reason"].append(reasons.setdefault(record.reason, len(reasons)))
        columns["fingerprint"].append(fingerprints.setdefault(fingerprint, len(fingerprints)))
        columns["counts"].append(tails.setdefault(record.counts, len(tails)))
        noted = json.dumps(record.notes, sort_keys=True) if record.notes else ""
        columns["noted"].append(notes.setdefault(noted, len(notes)))
        columns["machine"].append(machines.setdefault(record.machine, len(machines)))
        columns["accuracy"] += accuracies
    arrays: dict[str, Any] = {
        name: np.array(columns[name], kind) for name, kind in (COLUMNS | {"accuracy": float}).items()
    }
    return TrialResults(packed(record.key for record in records), reasons=list(reasons),
                        fingerprints=list(fingerprints), tails=list(tails), notes=list(notes), machines=list(machines),
                        **arrays)  # fmt: skip


def joined(parts: Sequence[TrialResults]) -> TrialResults:
    """The results of all parts, one after the other; each word once."""
    parts = [no_results(), *parts]
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in (*COLUMNS, "accuracy", "keys")
    }
    for name, known in WORDS.items():
        numbers: dict[Any, int] = {}
        codes = [[numbers.setdefault(word, len(numbers)) for word in getattr(part, known)] for part in parts]
        columns[name] = np.concatenate(
            [np.array(new, np.int32)[getattr(part, name)] for new, part in zip(codes, parts, strict=True)]
        )
        columns[known] = list(numbers)
    return TrialResults(**columns)


def no_results() -> TrialResults:
    """The results of no trial."""
    return results_of([])


def _numbers(text: str) -> bool:
    """Whether a word of the index is what :func:`results_of` makes of the notes of a trial."""
    values = json.loads(text).values() if text else ()
    return all(isinstance(value, float) and isfinite(value) for value in values)


if __name__ == "__main__":
    _answer()
