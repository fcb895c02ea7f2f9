"""StoreReader: plans, records and arrays, read of a store or of a bundle."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import ValidationError

from ...datasets.lock import note_labels
from ..errors import StoreError, first_fault
from ..spec.schema import Spec
from . import paths
from .columns.stamps import Stamps
from .packed_keys import of_files
from .places import ReadablePlace
from .record import Record, TrialResult
from .serialization import unpack_arrays

KEY, RUNG = re.compile(r"[0-9a-f]{20}"), re.compile(r"[0-9a-f]{20}-[0-9]{4,}")
M = TypeVar("M", Record, TrialResult)


class StoreReader(ReadablePlace):
    """What a store and a bundle have in common: each says how its files are read, and this what is in them."""

    @property
    def file(self) -> Path | None:
        """The one file that holds all of it, where it is a bundle."""
        return None

    def exists(self) -> bool:
        """Whether a plan was ever run into it."""
        return bool(self.names(*paths.PLANS))

    def plans(self) -> list[Spec]:
        """Every spec that was run into this store, by name. StoreError where there is none or one is damaged."""
        if not self.exists():
            raise StoreError(
                f"there is no store at {self}: no plan was run into it (tailboard run SPEC --store {self} runs one)"
            )
        specs: dict[str, Spec] = {}
        names = self.names(*paths.PLANS)
        for name in sorted(names):
            try:
                spec = Spec.model_validate_json(self.read(paths.plan(name)))
            except ValidationError as error:
                raise StoreError(f"{self}/{paths.plan(name)} is damaged: {first_fault(error)}") from error
            if spec.name == name or spec.name not in names:  # else a copy, as programs that synchronise folders leave
                specs.setdefault(spec.name, spec)
        return list(specs.values())

    def keys(self, folder: paths.Folder) -> set[str]:
        """The trials that have a file in a folder. No other name is one's, such as ``KEY (copy)``."""
        return set(filter(KEY.fullmatch, self.names(*folder)))

    def packed_keys(self, folder: paths.Folder) -> np.ndarray:
        """The same as a column (see ``packed_keys.py``)."""
        name, suffix = folder
        return of_files(self.names(name), suffix)

    def rungs(self) -> list[str]:
        """The names of all rungs, ``KEY-EPOCHS``, sorted."""
        return sorted(filter(RUNG.fullmatch, self.names(*paths.RUNGS)))

    def finished(self) -> set[str]:
        """The keys of the trials that have a record."""
        return self.keys(paths.RECORDS)

    def stamps(self) -> Stamps:
        """The finished trials, each with what changes when its record does, where the place tells."""
        keys = self.packed_keys(paths.RECORDS)
        return Stamps(keys, np.zeros((len(keys), 2), np.int64), np.zeros(len(keys), bool))

    def record(self, key: str) -> Record:
        """The record of a finished trial. FileNotFoundError if there is none, StoreError if it is damaged."""
        return self._whole(paths.record(key), key)

    def _whole(self, name: str, key: str) -> Record:
        record = self._parsed(name, key, Record)
        if record.trial.key != key:
            raise StoreError(f"{self}/{name} is damaged: it holds another trial, {record.trial.key}")
        return record

    def result(self, key: str) -> TrialResult:
        """What the leaderboard needs of a record; raises as :meth:`record` does."""
        return self._parsed(paths.record(key), key, TrialResult)

    def results(self, keys: Iterable[str]) -> Iterator[TrialResult | str]:
        """The same of many records, one after the other; of one that is damaged or gone a message in its place."""
        return map(self._result_or_why, keys)

    def _result_or_why(self, key: str) -> TrialResult | str:
        try:
            return self.result(key)
        except (StoreError, FileNotFoundError) as error:
            return str(error)

    def _parsed(self, name: str, key: str, model: type[M]) -> M:
        try:
            record = model.model_validate_json(self.read(name))
        except (IsADirectoryError, PermissionError) as error:
            raise StoreError(f"{self}/{name} cannot be read: {error.strerror or error}") from error
        except ValidationError as error:
            raise StoreError(f"{self}/{name} is damaged: {first_fault(error)}") from error
        if record.key != key:
            raise StoreError(f"{self}/{name} is damaged: it says that it is {record.key}")
        return record

    def rung(self, key: str, epochs: int) -> Record:
        """What a tuning trial had come to after so many epochs; raises as :meth:`record` does."""
        return self._whole(paths.rung(key, epochs), key)

    def arrays(self, key: str, prefix: str = "") -> dict[str, np.ndarray]:
        """The arrays of a trial.

        Args:
            key: The trial's.
            prefix: How the names of the arrays begin.

        Returns:
            The arrays, by name.

        Raises:
            FileNotFoundError: where there is nothing.
            StoreError: where it is damaged, a pickle, or claims to be larger than it is.
        """
        note_labels()
        data = self.read(paths.arrays(key))
        try:
            return self._arrays_of(data, prefix)
        except Exception as error:
            raise StoreError(f"{self}/{paths.arrays(key)} is damaged: {error}") from error

    def _arrays_of(self, data: bytes, prefix: str) -> dict[str, np.ndarray]:
        return unpack_arrays(data, prefix)

    def has_weights(self, key: str) -> bool:
        """Whether there are weights of a trial, in the present format or the former one."""
        return self.has(paths.weights(key)) or self.has(paths.torch_weights(key))

    def broken(self) -> dict[str, str]:
        """The last reason for each trial that could not be finished."""
        reasons = {}
        for key in self.keys(paths.BROKEN):
            with suppress(FileNotFoundError):  # it was finished just now
                try:
                    reasons[key] = self.read(paths.broken(key)).decode(errors="replace")
                except (StoreError, IsADirectoryError):
                    reasons[key] = "not finished; the reason cannot be read"
        return reasons
