"""The index of a store: what a report needs of every record, as columns in one file.

A report of a million trials then opens one file instead of a million, and holds columns instead of objects.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite

import numpy as np

from ..errors import StoreError
from . import paths
from .columns.reading import read_records
from .columns.results import (
    COLUMNS,
    STATUSES,
    WITH_ACCURACIES,
    TrialResults,
    as_arrays,
    joined,
    no_results,
    of_arrays,
)
from .columns.stamps import Stamps
from .packed_keys import all_differ, positions, unique
from .reader import StoreReader
from .retry import UnreachableError
from .serialization import pack_arrays, unpack_arrays
from .store import Store

NAME = paths.INDEX
MANY = 1000  # records that had to be read one by one before they are worth an index
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
    held = _held(store)  # first: another process may look at the records meanwhile
    stamps = store.stamps()
    indexed = _unchanged(held, stamps)
    del held  # what changed since is of no use
    unread = wanted[positions(wanted, indexed.keys) < 0]
    to_read = unread[positions(unread, stamps.keys) >= 0]
    results, damaged = read_records(store, unique(to_read))
    results = joined([indexed, results])
    if isinstance(store, Store) and len(results.keys) - len(indexed.keys) >= MANY:
        write(store, results, stamps)
    return results, damaged, stamps.keys


def write(store: Store, results: TrialResults, stamps: Stamps) -> None:
    """Keep what was made of the records. A store that cannot be written stays as it is.

    Args:
        store: Whose index.
        results: What was made of the records.
        stamps: Of the records as they were read.
    """
    at = positions(results.keys, stamps.keys)
    stamped = (at >= 0) & np.append(stamps.known, False)[at]
    kept = results.select(stamped)
    if not len(kept.keys):
        return
    arrays = as_arrays(kept) | {"stamps": stamps.marks[at[stamped]]}
    if arrays["words"].nbytes > _most(len(stamps.keys)):  # nobody would read it
        return
    with suppress(OSError, StoreError):
        store.write(NAME, pack_arrays(arrays, compressed=False))  # to pack it takes longer than to read it


def _held(store: StoreReader) -> dict[str, np.ndarray]:
    """The arrays of the index; nothing where there is none."""
    try:
        return unpack_arrays(store.read(NAME))
    except UnreachableError:
        raise
    except Exception:  # missing, or whatever a stranger's bytes lead to: the records are read instead
        return {}


def _unchanged(arrays: Mapping[str, np.ndarray], stamps: Stamps) -> TrialResults:
    """What the index holds of the records that have these stamps."""
    if not stamps.known.any():
        return no_results()
    try:
        if arrays["words"].nbytes > _most(len(stamps.keys)):  # before they are objects, which take far more
            return no_results()
        results = _unpacked(arrays)
        at = positions(results.keys, stamps.keys)
        fresh = (at >= 0) & stamps.known[at] & (stamps.marks[at] == arrays["stamps"]).all(axis=1)
    except Exception:  # missing, or as above
        return no_results()
    return results if fresh.all() else results.select(fresh)


def _most(records: int) -> int:
    """The bytes of words that an index of a store with so many records may have."""
    return max(WORDS_LEAST, WORDS_EACH * records)


def _unpacked(arrays: Mapping[str, np.ndarray]) -> TrialResults:
    """ValueError or KeyError where they are not what :func:`write` writes."""
    results = of_arrays(arrays)
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


def _numbers(text: str) -> bool:
    """Whether a word of the index is what :func:`results_of` makes of the notes of a trial."""
    values = json.loads(text).values() if text else ()
    return all(isinstance(value, float) and isfinite(value) for value in values)
