"""The store: a folder or bucket with one record for each finished trial, each written whole or not at all.

plans/NAME.json          what was asked for, by the name of its spec
searches/NAME.json       what is searched of each row of a plan that is tuned
records/KEY.json         a finished trial; written last, so that it vouches for the files below
rungs/KEY-EPOCHS.json    what a tuning trial had come to after so many epochs: its record, were it stopped there
arrays/KEY.npz           its test logits (float16), test labels and history
weights/KEY.pt           the final weights, where another trial needs them
checkpoints/KEY.pt       a trial in progress
index.npz                what a report needs of every record (see ``index.py``); made anew where it is missing
tracked/KEY              that MLflow has the whole of it, and in which run
tracking/NAME            a spec of which MLflow may still show runs as running
broken/KEY               why a trial could not be finished, the last time that it was tried
silent/KEY               where a trial stands that has said nothing for too long
driver.json              which process fills the store now
drivers/NUMBER.json      the same of a store that is no local folder; the last counts (see ``lease.py``)
progress.json            what that process tells other shells of its run
studies.db               what Optuna knows of every search
damaged/KEY.json         a record that could not be read, or of a failure: moved out of the way of the next run
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from ..errors import StoreError
from ..spec.schema import Spec
from .files import Files, Stamp
from .record import Record, TrialResult
from .serialization import pack_arrays, pack_tensors, unpack_arrays, unpack_tensors

STUDIES = "studies.db"
KEY, RUNG = re.compile(r"[0-9a-f]{20}"), re.compile(r"[0-9a-f]{20}-[0-9]{4,}")
M = TypeVar("M", Record, TrialResult)


class Store(Files):
    """A store at a local path or at a URL that fsspec knows (``s3://``, ``gs://``).

    ``lease`` is the number of the lease under which this process fills it, 0 where there is none.
    """

    lease = 0

    def exists(self) -> bool:
        """Whether a plan was ever run into it."""
        return bool(self.names("plans", ".json"))

    # Plans

    def write_plan(self, spec: Spec) -> None:
        self.write(f"plans/{spec.name}.json", spec.model_dump_json(indent=1).encode())

    def plans(self) -> list[Spec]:
        """Every spec that was run into this store, by name. StoreError where there is none or one is damaged."""
        if not self.exists():
            raise StoreError(f"there is no store at {self.url}: no plan was run into it")
        specs: dict[str, Spec] = {}
        names = self.names("plans", ".json")
        for name in sorted(names):
            try:
                spec = Spec.model_validate_json(self.read(f"plans/{name}.json"))
            except ValidationError as error:
                raise StoreError(f"{self.url}/plans/{name}.json is damaged: {error.errors()[0]['msg']}") from error
            if spec.name == name or spec.name not in names:  # else a copy, as programs that synchronise folders leave
                specs.setdefault(spec.name, spec)
        return list(specs.values())

    # Records

    def keys(self, folder: str, suffix: str = "") -> set[str]:
        """The trials that have a file in a folder. No other name is one's, such as ``KEY (copy)``."""
        return set(filter(KEY.fullmatch, self.names(folder, suffix)))

    def finished(self) -> set[str]:
        return self.keys("records", ".json")

    def rungs(self) -> list[str]:
        """The names of all rungs, ``KEY-EPOCHS``, sorted."""
        return sorted(filter(RUNG.fullmatch, self.names("rungs", ".json")))

    def stamps(self) -> dict[str, Stamp | None]:
        """The finished trials, each with what changes when its record does."""
        return {key: stamp for key, stamp in self.stamped("records", ".json").items() if KEY.fullmatch(key)}

    def done(self, kept: Iterable[str] = ()) -> set[str]:
        """The finished trials, but for those whose weights are to be kept and are not there."""
        finished = self.finished()
        return finished - {key for key in finished.intersection(kept) if not self.is_done(key, keep=True)}

    def is_done(self, key: str, keep: bool) -> bool:
        """Whether a trial is finished, with its weights where they are to be kept (one that failed has none)."""
        try:
            complete = self.result(key).status == "complete"
        except (StoreError, FileNotFoundError):
            return False
        return not (keep and complete) or self.has(f"weights/{key}.pt")

    def write_record(self, record: Record) -> None:
        """Once: what finished stays as it is. But a trial that was stopped early may be trained to its end later."""
        name = f"records/{record.key}.json"
        try:
            stands = self.result(record.key).status != "pruned"
        except (StoreError, FileNotFoundError):
            stands = False
        if not stands:
            self.write(name, record.model_dump_json().encode())
        self.remove(f"broken/{record.key}")
        self.remove(f"silent/{record.key}")
        self.remove(f"checkpoints/{record.key}.pt")

    def write_rung(self, record: Record) -> None:
        self.write(f"rungs/{record.key}-{record.epochs:04d}.json", record.model_dump_json().encode())

    def rung(self, key: str, epochs: int) -> Record:
        """What a tuning trial had come to after so many epochs; raises as :meth:`record` does."""
        return self._whole(f"rungs/{key}-{epochs:04d}.json", key)

    def stop(self, key: str, epochs: int) -> Record:
        """Let a tuning trial end as it was after so many epochs, and return its record."""
        record = self.rung(key, epochs)
        self.write_record(record)
        return record

    def record(self, key: str) -> Record:
        """The record of a finished trial. FileNotFoundError if there is none, StoreError if it is damaged."""
        return self._whole(f"records/{key}.json", key)

    def _whole(self, name: str, key: str) -> Record:
        record = self._parsed(name, key, Record)
        if record.trial.key != key:
            raise StoreError(f"{self.url}/{name} is damaged: it holds another trial, {record.trial.key}")
        return record

    def result(self, key: str) -> TrialResult:
        """What the leaderboard needs of a record; raises as :meth:`record` does."""
        return self._parsed(f"records/{key}.json", key, TrialResult)

    def _parsed(self, name: str, key: str, model: type[M]) -> M:
        try:
            record = model.model_validate_json(self.read(name))
        except (IsADirectoryError, PermissionError) as error:
            raise StoreError(f"{self.url}/{name} cannot be read: {error.strerror or error}") from error
        except ValidationError as error:
            raise StoreError(f"{self.url}/{name} is damaged: {error.errors()[0]['msg']}") from error
        if record.key != key:
            raise StoreError(f"{self.url}/{name} is damaged: it says that it is {record.key}")
        return record

    # Arrays and tensors

    def write_arrays(self, key: str, arrays: dict[str, np.ndarray]) -> bytes:
        data = pack_arrays(arrays)
        self.write(f"arrays/{key}.npz", data)
        return data

    def arrays(self, key: str, prefix: str = "") -> dict[str, np.ndarray]:
        """What was written and is named so; FileNotFoundError where there is nothing, StoreError where it is damaged,
        a pickle, or claims to be larger than it is."""
        data = self.read(f"arrays/{key}.npz")
        try:
            return unpack_arrays(data, prefix)
        except Exception as error:
            raise StoreError(f"{self.url}/arrays/{key}.npz is damaged: {error}") from error

    def write_tensors(self, name: str, state: Any) -> None:
        self.write(name, pack_tensors(state))

    def tensors(self, name: str, device: Any = "cpu") -> Any:
        """What was saved; FileNotFoundError where there is nothing, StoreError where it is cut short or damaged."""
        from torch import AcceleratorError, OutOfMemoryError

        data = self.read(name)
        try:
            return unpack_tensors(data, device)
        except (MemoryError, OutOfMemoryError, AcceleratorError):  # the machine's fault, not the file's
            raise
        except Exception as error:
            raise StoreError(f"{self.url}/{name} is damaged: {error}") from error

    # What the infrastructure broke

    def write_broken(self, key: str, reason: str) -> None:
        self.write(f"broken/{key}", reason.encode())

    def broken(self) -> dict[str, str]:
        """The last reason for each trial that could not be finished."""
        found = {}
        for key in self.keys("broken"):
            with suppress(FileNotFoundError):  # it was finished just now
                try:
                    found[key] = self.read(f"broken/{key}").decode(errors="replace")
                except (StoreError, IsADirectoryError):
                    found[key] = "not finished; the reason cannot be read"
        return found

    # What says nothing

    def write_silent(self, key: str, stack: str) -> None:
        self.write(f"silent/{key}", stack.encode())

    def silent(self, key: str) -> str:
        """Where the trial stood when it had said nothing for too long; empty where its process could not say."""
        try:
            return self.read(f"silent/{key}").decode(errors="replace")
        except (FileNotFoundError, StoreError):
            return ""

    # What MLflow has

    def identity(self) -> str:
        """A random name, made at the first call, that tells this store from every other."""
        if not self.has("identity"):
            self.write("identity", uuid.uuid4().hex.encode())
        found = self.read("identity").decode(errors="replace")
        if not re.fullmatch(r"[0-9a-f]{32}", found):  # it becomes part of what MLflow is asked
            raise StoreError(f"{self.url}/identity is damaged: remove it, and MLflow gets the trials once more")
        return found

    def mark_tracked(self, key: str, where: dict[str, str]) -> None:
        self.write(f"tracked/{key}", json.dumps(where).encode())

    def tracked(self) -> set[str]:
        return self.keys("tracked")

    def run_of(self, key: str) -> str | None:
        """The MLflow run that holds the whole of a trial; None where there is none yet."""
        try:
            return json.loads(self.read(f"tracked/{key}"))["run"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def begin_tracking(self, name: str) -> None:
        self.write(f"tracking/{name}", b"")

    def end_tracking(self, name: str) -> None:
        self.remove(f"tracking/{name}")

    def tracking(self) -> set[str]:
        return self.names("tracking")
