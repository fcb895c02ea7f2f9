"""The process that holds the labels. It runs no method: a worker asks it for the split of a trial, for the images to be
scored once it has trained, and hands it logits; here the labels are opened, the accuracies counted, and the record
written.

Messages go through one pipe, as JSON and an .npz without pickles: what a worker sends is never run. For each request
there are two messages, and two for its answer. The process ends when the pipe does.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from ...datasets.array_cache import CachedPool, open_cached, stamp
from ...datasets.catalog import DataError
from ...datasets.split import Split
from ...leaderboard.confusion import Confusion
from ..errors import StoreError
from ..metrics.scores import per_class_accuracy
from ..metrics.validation import validation_scores
from ..registry.datasets import dataset, long_tail
from ..spec.schema import Data, Trial
from ..spec.user_files.contents import AnyContents
from ..storage import paths
from ..storage.record import LOGITS, Record
from ..storage.serialization import pack_arrays, unpack_arrays
from ..storage.store import Store

KINDS: dict[str, type[Exception]] = {  # of the errors that a worker is told of; any other is an OSError there
    "DataError": DataError,
    "StoreError": StoreError,
    "ValueError": ValueError,
    "MemoryError": MemoryError,
    "OSError": OSError,
}


class ScoringServer:
    """Answers one worker's requests. Between ``split`` and ``finish`` it holds the split of one trial."""

    def __init__(self) -> None:
        self._trial: Trial | None = None
        self._cached: CachedPool | None = None
        self._split: Split | None = None

    def answer(self, request: Mapping[str, Any], arrays: bytes) -> tuple[dict[str, Any], bytes]:
        """What is said to a request.

        Args:
            request: What is asked, and its words.
            arrays: The arrays that come with it, packed.

        Returns:
            The answer, and the arrays that go with it, packed.

        Raises:
            ValueError: where there is no such request.
        """
        match request["ask"]:
            case "prepare":
                return self._prepare(request)
            case "split":
                return self._cut(request)
            case "images":
                return self._images()
            case "finish":
                return self._finish(request, arrays)
        raise ValueError(f"there is no request {request['ask']!r}")

    def _prepare(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Decode a data set, so that workers find it decoded."""
        _cached(Data.model_validate(request["data"]), request["root"], request["verify"])
        return {}, b""

    def _cut(self, request: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The training images: where they are, which of them, and their labels."""
        trial = Trial.model_validate(request["trial"])
        cached = _cached(trial.data, request["root"], request["verify"])
        try:
            counts = long_tail(trial.data, trial.val_per_class)
            split = cached.split(counts, trial.seed, trial.val_per_class, trial.val == "natural")
        except ValueError as error:  # groups are known to the images only
            raise DataError(f"{trial.data.name}: {error}") from error
        if trial.stage == "tune" and not trial.val_per_class:
            raise DataError(f"{trial.data.name}: a tuning trial needs validation images (val_per_class)")
        self._trial, self._cached, self._split = trial, cached, split
        about = {
            **_file(cached, "train_images"),
            "counts": split.counts,
            "test_counts": np.bincount(self._labels, minlength=len(split.counts)).tolist(),
            "data": {
                "verified": cached.pool.verified,
                "hashes": dict(cached.pool.hashes),
                "fingerprint": split.fingerprint,
            },
            "guarded": cached.guarded,
        }
        trained = {"indices": split.indices[0], "labels": cached.pool.train.y[split.indices[0]]}
        if trial.data.is_table and cached.pool.groups is not None:
            trained["groups"] = cached.pool.groups[split.indices[0]]
        return about, pack_arrays(trained, compressed=False)

    def _images(self) -> tuple[dict[str, Any], bytes]:
        """The images to be scored: where they are and, where not all of them are, which."""
        trial, cached, split = self._held()
        if trial.stage == "report":
            return _file(cached, "test_images"), b""
        indices = pack_arrays({"indices": split.indices[1]}, compressed=False)
        return _file(cached, "train_images"), indices

    def _finish(self, request: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Write the record, with the accuracies where there are logits, and before it what lies beside it."""
        trial, _, _ = self._held()
        store, arrays, about = Store(request["store"]), unpack_arrays(data) if data else {}, dict(request["record"])
        if LOGITS[0] in arrays:
            labels = self._labels
            about["accuracy"] = {name: per_class_accuracy(arrays[name], labels) for name in LOGITS}
            averaged, counts = arrays[LOGITS[0]], about["counts"]
            about["confusion"] = Confusion.of(averaged.argmax(axis=1), labels, len(counts)).packed()
            if trial.stage == "tune":
                about["scores"] = validation_scores(averaged, labels, counts, trial.data)
            logits = {name: arrays.pop(name) for name in LOGITS}
            arrays = logits | {"labels": labels.astype(np.int16)} | arrays  # the order of the file's members: its hash
        rung = about["status"] == "pruned"
        if arrays and not (rung and store.has(paths.record(trial.key))):  # the arrays are the record's, then
            written = store.write_arrays(trial.key, arrays)
            about["files"] = {paths.arrays(trial.key): hashlib.sha256(written).hexdigest()}
        record = Record(key=trial.key, trial=trial, **about)
        (store.write_rung if rung else store.write_record)(record)
        self._trial = self._cached = self._split = None
        return record.model_dump(mode="json"), b""

    def _held(self) -> tuple[Trial, CachedPool, Split]:
        if self._trial is None or self._cached is None or self._split is None:
            raise ValueError("no trial is under way")
        return self._trial, self._cached, self._split

    @property
    def _labels(self) -> np.ndarray:
        """Of what the trial is scored on: of test images where it is reported, and never while it is tuned."""
        trial, cached, split = self._held()
        return cached.pool.test.y if trial.stage == "report" else cached.pool.train.y[split.indices[1]]


def _file(cached: CachedPool, array: str) -> dict[str, Any]:
    """Where images are, and what tells that they are still these."""
    return {"images": str(cached.file(array)), "stamp": cached.stamps[array]}


def _cached(data: Data, root: str | None, verify: bool) -> CachedPool:
    asked = data.name, data.contents, data.classes, root, verify
    opened = _opened(*asked)
    if any(stamp(opened.file(array)) != kept for array, kept in opened.stamps.items()):  # decoded anew since
        _opened.cache_clear()
        opened = _opened(*asked)
    return opened


@lru_cache(maxsize=2)
def _opened(
    name: str, contents: AnyContents | None, classes: tuple[str, ...] | None, root: str | None, verify: bool
) -> CachedPool:
    return open_cached(dataset(name, contents, classes), Path(root) if root else None, verify)


def _told(error: Exception) -> dict[str, str]:
    kind = next((name for name, kind in KINDS.items() if isinstance(error, kind)), "")
    message = str(error) if kind and str(error) else f"{type(error).__name__}: {error}"
    return {"error": kind or "OSError", "message": message}


def serve(connection: Connection) -> None:
    """Answer until the other end is closed."""
    server = ScoringServer()
    while True:
        try:
            request, arrays = json.loads(connection.recv_bytes()), connection.recv_bytes()
        except (EOFError, OSError):
            return
        try:
            about, data = server.answer(request, arrays)
        except Exception as error:  # whatever a data set's code or a store's library raises is the worker's to hear
            about, data = _told(error), b""
        try:
            connection.send_bytes(json.dumps(about).encode())
            connection.send_bytes(data)
        except OSError:
            return


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group: the worker says when it is over
        signal.signal(number, signal.SIG_IGN)
    os.dup2(2, 1)  # what a data set prints is no answer
    serve(Connection(int(sys.argv[1])))
