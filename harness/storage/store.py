"""The store: a folder or bucket with one record for each finished trial, each written whole or not at all. ``paths.py``
lists its files."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import compress, tee
from typing import Any

import numpy as np
from pydantic import ValidationError

from ..errors import StoreError
from ..spec.schema import Spec
from . import paths
from .columns.stamps import Stamps, look_at
from .files import Files
from .packed_keys import SIZE, are_keys, of_files, packed, positions
from .reader import StoreReader
from .record import Record, TrialResult
from .serialization import pack_arrays, pack_tensors, pack_weights, unpack_tensors, unpack_weights

READERS = 16  # at a time, of a bucket: it answers slowly, and to many at once


class Store(Files, StoreReader):
    """A store at a local path or at a URL that fsspec knows (``s3://``, ``gs://``).

    ``lease`` is the number of the lease under which this process fills it, 0 where there is none.
    """

    lease = 0

    # Plans

    def write_plan(self, spec: Spec) -> None:
        """Write what was asked for, under its name."""
        self.write(paths.plan(spec.name), spec.model_dump_json(indent=1).encode())

    # Records

    def packed_keys(self, folder: paths.Folder) -> np.ndarray:
        """The trials that have a file in a folder, as a column (see ``packed_keys.py``)."""
        name, suffix = folder
        return of_files(self.listed(name), suffix)

    def stamps(self) -> Stamps:
        """The finished trials, each with what changes when its record does, where the place tells."""
        if (look := look_at(self.url)) and (found := look.stamps()):
            marks, keys = (np.frombuffer(each, kind) for each, kind in zip(found, (np.int64, np.uint8), strict=True))
            return Stamps(keys.reshape(-1, SIZE), marks.reshape(-1, 2), np.ones(len(keys) // SIZE, bool))
        names, marks, known = self.stamped(*paths.RECORDS, length=2 * SIZE)
        right = are_keys(names)
        keys = packed(names if right.all() else compress(names, right))
        return Stamps(keys, marks[right], known[right])

    @property
    def direct(self) -> bool:
        """Whether a record is simply a file of a local folder, which may be read past :meth:`read` and by other
        processes."""
        return self.local

    def results(self, keys: Iterable[str]) -> Iterator[TrialResult | str]:
        """As in :class:`StoreReader`."""
        if not self.direct:
            with ThreadPoolExecutor(READERS) as readers:
                yield from readers.map(self._result_or_why, keys)
            return
        folder, suffix = paths.RECORDS
        keys, named = tee(keys)
        every = self.read_each(folder, (f"{key}{suffix}" for key in named))
        for key, data in zip(keys, every, strict=True):
            yield _result(key, data) or self._result_or_why(key)

    def write_record(self, record: Record) -> None:
        """Once: what finished stays as it is. But a trial that was stopped early may be trained to its end later."""
        name = paths.record(record.key)
        try:
            stands = self.result(record.key).status != "pruned"
        except (StoreError, FileNotFoundError):
            stands = False
        if not stands:
            self.write(name, record.model_dump_json().encode())
        self.remove(paths.broken(record.key))
        self.remove(paths.silent(record.key))
        self.remove(paths.checkpoint(record.key))

    def write_rung(self, record: Record) -> None:
        """Write a trial's record after some epochs of a search."""
        self.write(paths.rung(record.key, record.epochs), record.model_dump_json().encode())

    # Arrays and tensors

    def write_arrays(self, key: str, arrays: dict[str, np.ndarray]) -> bytes:
        """Write a trial's arrays; returns the bytes that were written."""
        data = pack_arrays(arrays)
        self.write(paths.arrays(key), data)
        return data

    def write_tensors(self, name: str, state: Any) -> None:
        """Write a state of tensors to the file ``name``."""
        self.write(name, pack_tensors(state))

    def tensors(self, name: str) -> Any:
        """What :meth:`write_tensors` wrote, on the CPU.

        Args:
            name: The file.

        Returns:
            The state.

        Raises:
            FileNotFoundError: where there is nothing.
            StoreError: where it is cut short or damaged.
        """
        return self._unpacked(name, unpack_tensors, "cpu")

    def write_weights(self, key: str, state: dict[str, Any]) -> None:
        """Write a trial's weights."""
        self.write(paths.weights(key), pack_weights(state))

    def weights(self, key: str, device: Any = "cpu") -> dict[str, Any]:
        """The final weights of a trial, by name; raises as :meth:`tensors` does. Earlier versions wrote them as torch
        does."""
        old = paths.torch_weights(key)
        if not self.has(paths.weights(key)) and self.has(old):
            return self._unpacked(old, unpack_tensors, device)
        return self._unpacked(paths.weights(key), unpack_weights, device)

    def remove_weights(self, key: str) -> None:
        """Remove a trial's weights; nothing where there are none."""
        self.remove(paths.weights(key))
        self.remove(paths.torch_weights(key))

    def _unpacked(self, name: str, unpack: Callable[[bytes, Any], Any], device: Any) -> Any:
        from torch import AcceleratorError, OutOfMemoryError

        data = self.read(name)
        try:
            return unpack(data, device)
        except (MemoryError, OutOfMemoryError, AcceleratorError):  # the machine's fault, not the file's
            raise
        except Exception as error:
            raise StoreError(f"{self.url}/{name} is damaged: {error}") from error

    # What the infrastructure broke

    def write_broken(self, key: str, reason: str) -> None:
        """Write why a trial was not finished."""
        self.write(paths.broken(key), reason.encode())

    # What says nothing

    def write_silent(self, key: str, stack: str) -> None:
        """Write the stack of a trial that stopped reporting."""
        self.write(paths.silent(key), stack.encode())

    def silent(self, key: str) -> str:
        """Where the trial stood when it had said nothing for too long; empty where its process could not say."""
        try:
            return self.read(paths.silent(key)).decode(errors="replace")
        except (FileNotFoundError, StoreError):
            return ""

    # What MLflow has

    def identity(self) -> str:
        """A random name, made at the first call, that tells this store from every other.

        Raises:
            StoreError: where its file is damaged.
        """
        if not self.has(paths.IDENTITY):
            self.write(paths.IDENTITY, uuid.uuid4().hex.encode())
        identity = self.read(paths.IDENTITY).decode(errors="replace")
        if not re.fullmatch(r"[0-9a-f]{32}", identity):  # it becomes part of what MLflow is asked
            raise StoreError(f"{self.url}/{paths.IDENTITY} is damaged: remove it, and MLflow gets the trials once more")
        return identity

    def mark_tracked(self, key: str, where: dict[str, str]) -> None:
        """Write that MLflow has a trial, and under which run."""
        self.write(paths.tracked(key), json.dumps(where).encode())

    def untracked(self) -> np.ndarray:
        """The finished trials that MLflow does not have, packed."""
        if (look := look_at(self.url)) and (found := look.untracked()) is not None:
            return np.frombuffer(found, np.uint8).reshape(-1, SIZE)
        finished = self.packed_keys(paths.RECORDS)
        return finished[positions(finished, self.packed_keys(paths.TRACKED)) < 0]

    def tracked(self) -> set[str]:
        """The keys of the trials that MLflow has."""
        return self.keys(paths.TRACKED)

    def run_of(self, key: str) -> str | None:
        """The MLflow run that holds the whole of a trial; None where there is none yet."""
        try:
            return json.loads(self.read(paths.tracked(key)))["run"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def begin_tracking(self, name: str) -> None:
        """Note that MLflow lacks something of the plan ``name``."""
        self.write(paths.tracking(name), b"")

    def end_tracking(self, name: str) -> None:
        """Note that MLflow has all of the plan ``name``."""
        self.remove(paths.tracking(name))

    def tracking(self) -> set[str]:
        """The plans of which MLflow lacks something."""
        return self.names(*paths.TRACKING)


def _result(key: str, data: bytes | None) -> TrialResult | None:
    """What the leaderboard needs of a record; None where it is not whole, or another's."""
    try:
        result = TrialResult.__pydantic_validator__.validate_json(data) if data else None
    except ValidationError:
        return None
    return result if result and result.key == key else None
