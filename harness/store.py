"""The store: a folder or bucket with one record for each finished trial, each written whole or not at all.

plans/NAME.json          what was asked for, by the name of its spec
searches/NAME.json       what is searched of each row of a plan that is tuned
records/KEY.json         a finished trial; written last, so that it vouches for the files below
rungs/KEY-EPOCHS.json    what a tuning trial had come to after so many epochs: its record, were it stopped there
arrays/KEY.npz           its test logits (float16), test labels and history
weights/KEY.pt           the final weights, where another trial needs them
checkpoints/KEY.pt       a trial in progress
tracked/KEY              that MLflow has the whole of it, and in which run
tracking/NAME            a spec of which MLflow may still show runs as running
broken/KEY               why a trial could not be finished, the last time that it was tried
driver.json              which process fills the store now
studies.db               what Optuna knows of every search
damaged/KEY.json         a record that could not be read, or of a failure: moved out of the way of the next run
"""

from __future__ import annotations

import io
import json
import os
import uuid
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import fsspec
import numpy as np
from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from .record import Outcome, Record
from .spec import Spec

STUDIES = "studies.db"
M = TypeVar("M", Record, Outcome)


class StoreError(Exception):
    """A store that is missing or damaged; the message names the file."""


class Store:
    """A store at a local path or at a URL that fsspec knows (``s3://``, ``gs://``)."""

    def __init__(self, url: str | os.PathLike) -> None:
        # Absolute, since workers run in other folders.
        self.url = str(url) if "://" in str(url) else str(Path(url).expanduser().resolve())
        try:
            self.files, root = fsspec.core.url_to_fs(self.url)
        except (ValueError, ImportError) as error:  # an unknown protocol, or one whose package is not installed
            raise StoreError(f"{self.url} cannot be a store: {error}") from error
        self.root = root.rstrip("/")
        self.local = isinstance(self.files, LocalFileSystem)

    def __str__(self) -> str:
        return self.url

    def exists(self) -> bool:
        """Whether a plan was ever run into it."""
        return bool(self.names("plans", ".json"))

    # Bytes

    def write(self, name: str, data: bytes) -> None:
        """Whole or not at all: an object store writes so by itself, a file is renamed into place."""
        path = f"{self.root}/{name}"
        if not self.local:
            self.files.pipe_file(path, data)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        part = Path(path).with_name(f".{uuid.uuid4().hex}.part")  # not tempfile's: nobody else may read those
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def read(self, name: str) -> bytes:
        """The file's bytes; FileNotFoundError where it is not there."""
        if self.local:
            with open(f"{self.root}/{name}", "rb") as file:  # noqa: PTH123  (a Path costs as much as the reading)
                return file.read()
        return self.files.cat_file(f"{self.root}/{name}")

    def has(self, name: str) -> bool:
        return self.files.exists(f"{self.root}/{name}")

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.files.rm_file(f"{self.root}/{name}")

    def names(self, folder: str, suffix: str = "") -> set[str]:
        """The names in a folder, without the suffix."""
        try:
            found = self.files.ls(f"{self.root}/{folder}", detail=False, refresh=True)
        except FileNotFoundError:
            return set()
        names = (str(path).rsplit("/", 1)[-1] for path in found)
        return {name.removesuffix(suffix) for name in names if name.endswith(suffix) and not name.startswith(".")}

    # Plans

    def write_plan(self, spec: Spec) -> None:
        self.write(f"plans/{spec.name}.json", spec.model_dump_json(indent=1).encode())

    def plans(self) -> list[Spec]:
        """Every spec that was run into this store, by name. StoreError where there is none or one is damaged."""
        if not self.exists():
            raise StoreError(f"there is no store at {self.url}: no plan was run into it")
        specs = []
        for name in sorted(self.names("plans", ".json")):
            try:
                specs.append(Spec.model_validate_json(self.read(f"plans/{name}.json")))
            except ValidationError as error:
                raise StoreError(f"{self.url}/plans/{name}.json is damaged: {error.errors()[0]['msg']}") from error
        return specs

    # Records

    def finished(self) -> set[str]:
        return self.names("records", ".json")

    def done(self, kept: Iterable[str] = ()) -> set[str]:
        """The finished trials, but for those whose weights are to be kept and are not there."""
        finished = self.finished()
        return finished - {key for key in finished.intersection(kept) if not self.is_done(key, keep=True)}

    def is_done(self, key: str, keep: bool) -> bool:
        """Whether a trial is finished, with its weights where they are to be kept (one that failed has none)."""
        try:
            complete = self.outcome(key).status == "complete"
        except (StoreError, FileNotFoundError):
            return False
        return not (keep and complete) or self.has(f"weights/{key}.pt")

    def write_record(self, record: Record) -> None:
        self.write(f"records/{record.key}.json", record.model_dump_json().encode())
        self.remove(f"broken/{record.key}")
        self.remove(f"checkpoints/{record.key}.pt")

    def write_rung(self, record: Record) -> None:
        self.write(f"rungs/{record.key}-{record.epochs:04d}.json", record.model_dump_json().encode())

    def rung(self, key: str, epochs: int) -> Record:
        """What a tuning trial had come to after so many epochs; raises as :meth:`record` does."""
        return self._parsed(f"rungs/{key}-{epochs:04d}.json", key, Record)

    def stop(self, key: str, epochs: int) -> None:
        """Let a tuning trial end as it was after so many epochs."""
        if not self.has(f"records/{key}.json"):
            self.write_record(self.rung(key, epochs))

    def record(self, key: str) -> Record:
        """The record of a finished trial. FileNotFoundError if there is none, StoreError if it is damaged."""
        record = self._parsed(f"records/{key}.json", key, Record)
        if record.trial.key != key:
            raise StoreError(f"{self.url}/records/{key}.json is damaged: it holds another trial, {record.trial.key}")
        return record

    def outcome(self, key: str) -> Outcome:
        """What the leaderboard needs of a record; raises as :meth:`record` does."""
        return self._parsed(f"records/{key}.json", key, Outcome)

    def _parsed(self, name: str, key: str, model: type[M]) -> M:
        try:
            record = model.model_validate_json(self.read(name))
        except (IsADirectoryError, PermissionError) as error:
            raise StoreError(f"{self.url}/{name} cannot be read: {error.strerror}") from error
        except ValidationError as error:
            raise StoreError(f"{self.url}/{name} is damaged: {error.errors()[0]['msg']}") from error
        if record.key != key:
            raise StoreError(f"{self.url}/{name} is damaged: it says that it is {record.key}")
        return record

    # Arrays and tensors

    def write_arrays(self, key: str, arrays: dict[str, np.ndarray]) -> bytes:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        self.write(f"arrays/{key}.npz", buffer.getvalue())
        return buffer.getvalue()

    def arrays(self, key: str) -> dict[str, np.ndarray]:
        """What was written; FileNotFoundError where there is nothing, StoreError where it is damaged or a pickle."""
        data = self.read(f"arrays/{key}.npz")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as found:
                return dict(found)
        except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise StoreError(f"{self.url}/arrays/{key}.npz is damaged: {error}") from error

    def write_tensors(self, name: str, state: Any) -> None:
        import torch

        buffer = io.BytesIO()
        torch.save(state, buffer)
        self.write(name, buffer.getvalue())

    def tensors(self, name: str, device: Any = "cpu") -> Any:
        """What was saved; FileNotFoundError where there is nothing, StoreError where it is cut short or damaged."""
        import torch

        data = self.read(name)
        try:
            return torch.load(io.BytesIO(data), map_location=device, weights_only=True)
        except Exception as error:
            raise StoreError(f"{self.url}/{name} is damaged: {error}") from error

    # What the infrastructure broke

    def write_broken(self, key: str, reason: str) -> None:
        self.write(f"broken/{key}", reason.encode())

    def broken(self) -> dict[str, str]:
        """The last reason for each trial that could not be finished."""
        return {key: self.read(f"broken/{key}").decode(errors="replace") for key in self.names("broken")}

    # What MLflow has

    def identity(self) -> str:
        """A random name, made at the first call, that tells this store from every other."""
        try:
            return self.read("identity").decode()
        except FileNotFoundError:
            self.write("identity", uuid.uuid4().hex.encode())
            return self.read("identity").decode()

    def mark_tracked(self, key: str, where: dict[str, str]) -> None:
        self.write(f"tracked/{key}", json.dumps(where).encode())

    def tracked(self) -> set[str]:
        return self.names("tracked")

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
