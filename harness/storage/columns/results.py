"""What a report needs of finished trials, as columns: of a million none is an object."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from ..packed_keys import SIZE, packed
from ..record import Status, TrialResult

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
        if mask.all():
            return self
        columns: dict[str, Any] = {name: getattr(self, name)[mask] for name in COLUMNS}
        accuracy = self.accuracy[np.repeat(mask, self.classes)]
        return TrialResults(self.keys[mask], accuracy=accuracy, reasons=self.reasons, fingerprints=self.fingerprints,
                            tails=self.tails, notes=self.notes, machines=self.machines, **columns)  # fmt: skip


def results_of(records: Iterable[TrialResult]) -> TrialResults:
    """The results of these trials, as columns; none of them is kept."""
    reasons, fingerprints, tails, notes, machines = (dict[Any, int]() for _ in WORDS)
    columns: dict[str, list[float]] = {name: [] for name in COLUMNS}
    keys: list[str] = []
    accuracy = array("d")
    for record in records:
        status, data = STATUSES.index(record.status), record.data
        accuracies = record.accuracy["last_ema"] if status in WITH_ACCURACIES else ()
        fingerprint = data.fingerprint if data else ""
        keys.append(record.key)
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
        accuracy.extend(accuracies)
    arrays: dict[str, Any] = {name: np.array(columns[name], kind) for name, kind in COLUMNS.items()}
    return TrialResults(packed(keys), accuracy=np.array(accuracy), reasons=list(reasons),
                        fingerprints=list(fingerprints), tails=list(tails), notes=list(notes), machines=list(machines),
                        **arrays)  # fmt: skip


def joined(parts: Sequence[TrialResults]) -> TrialResults:
    """The results of all parts, one after the other; each word once."""
    parts = [part for part in parts if len(part.keys)]
    if len(parts) < 2:  # of a million records another copy is large
        return parts[0] if parts else no_results()
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


def as_arrays(results: TrialResults) -> dict[str, np.ndarray]:
    """The columns, and all words as one more."""
    words = {name: getattr(results, name) for name in WORDS.values()}
    arrays = {name: getattr(results, name) for name in (*COLUMNS, "accuracy")}
    return arrays | {"keys": results.keys.ravel(), "words": text_array(words)}


def text_array(words: Any) -> np.ndarray:
    """Words as the bytes of their JSON."""
    return np.frombuffer(json.dumps(words).encode(), np.uint8)


def of_arrays(arrays: Mapping[str, np.ndarray]) -> TrialResults:
    """What :func:`as_arrays` was given. ValueError or KeyError where they are not what it gives."""
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
