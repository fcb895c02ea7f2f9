"""A worker's way to the process that holds the labels (see ``scoring_server.py``)."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from ...datasets.array_cache import stamp
from ...datasets.lock import guard, refuse_if_locked
from ...datasets.rows import Rows
from ...datasets.split import Images
from ..memory import without_tunables
from ..spec.schema import Data, Trial
from ..storage.record import Record
from ..storage.serialization import pack_arrays, unpack_arrays
from .scoring_server import KINDS

END_SECONDS = 5.0


class ScoringProcessDied(OSError):
    """The process that holds the labels ended in the middle of a trial, which is then tried again."""


@dataclass(frozen=True)
class TrainingData:
    """What a trial is trained on, the training images of each class, and what its record says of the data."""

    images: Images
    counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    provenance: Mapping[str, Any]


class ScoringProcess:
    """The process, started at once; it ends with this object, or with this process however that ends.

    Each method raises what the other process says: DataError, StoreError, OSError; ScoringProcessDied where it is gone.
    """

    def __init__(self) -> None:
        self._connection, theirs = Pipe()
        # -P: a file beside the user's spec is none of our modules
        command = [sys.executable, "-P", "-m", "tailboard.harness.training.scoring_server", str(theirs.fileno())]
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=without_tunables(),
            process_group=0,  # a Ctrl-C that drains this process is not for that one
        )
        theirs.close()
        _connected.add(self)
        atexit.register(self.close)

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process; it is killed where it does not end by itself."""
        atexit.unregister(self.close)
        self._connection.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def prepare(self, data: Data, root: Path | None, verify: bool) -> None:
        """Have a data set found, verified and decoded.

        Args:
            data: The data set.
            root: The folder that holds the data.
            verify: Refuse files whose checksums are not the official ones.

        Raises:
            DataError: where that cannot be done.
        """
        refuse_if_locked("a data set was asked for")
        self._ask({"ask": "prepare", "data": data.model_dump(mode="json"), **_where(root, verify)})

    def split(self, trial: Trial, root: Path | None, verify: bool) -> TrainingData:
        """The training images of a trial, which is under way from now on.

        Args:
            trial: What is trained.
            root, verify: As in :meth:`prepare`.

        Returns:
            Images and labels of training, and the images that are to be scored, without labels.

        Raises:
            DataError: as in :meth:`prepare`. TestSetLocked while a method is at work.
        """
        refuse_if_locked("a split was asked for")
        about, arrays = self._ask({"ask": "split", "trial": trial.model_dump(mode="json"), **_where(root, verify)})
        guard(about["guarded"])
        images = Images(Rows(_mapped(about), arrays["indices"]), arrays["labels"], arrays.get("groups"))
        return TrainingData(images, tuple(about["counts"]), tuple(about["test_counts"]), about["data"])

    def images(self) -> Rows:
        """The images (N, channels, H, W) that the trial is scored on. TestSetLocked while a method is at work."""
        refuse_if_locked("the images to be scored were asked for")
        about, arrays = self._ask({"ask": "images"})
        return Rows(_mapped(about), arrays.get("indices"))

    def finish(self, store: str, record: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> Record:
        """Have the record of the trial written. The trial is over then.

        Args:
            store: Where.
            record: Its fields but the accuracies, which are counted from the logits ``last_ema`` and ``last`` where
                these are among the arrays.
            arrays: What is stored beside it.

        Returns:
            The record.

        Raises:
            TestSetLocked: while a method is at work.
        """
        refuse_if_locked("a trial was to be scored")
        data = pack_arrays(arrays, compressed=False) if arrays else b""
        about, _ = self._ask({"ask": "finish", "store": store, "record": dict(record)}, data)
        return Record.model_validate(about)

    def _ask(self, request: dict[str, Any], data: bytes = b"") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        try:
            self._connection.send_bytes(json.dumps(request).encode())
            self._connection.send_bytes(data)
            about, arrays = json.loads(self._connection.recv_bytes()), self._connection.recv_bytes()
        except BaseException as error:  # what comes next in the pipe may be half an answer
            self._process.kill()
            self.close()
            if isinstance(error, (EOFError, OSError)):
                raise ScoringProcessDied(f"the process that scores died ({type(error).__name__})") from error
            raise
        if "error" in about:
            raise KINDS[about["error"]](about["message"])
        return about, unpack_arrays(arrays) if arrays else {}


def _where(root: Path | None, verify: bool) -> dict[str, Any]:
    return {"root": str(root) if root else None, "verify": verify}


def _mapped(about: Mapping[str, Any]) -> np.ndarray:
    """The images of an answer. OSError where the file is not the one that the other process has the labels of: its data
    set may have been decoded anew meanwhile."""
    mapped = np.load(about["images"], mmap_mode="r", allow_pickle=False)
    if stamp(about["images"]) != about["stamp"]:
        raise OSError(f"{about['images']} was replaced while a trial was under way, since its data set has changed")
    return mapped


_connected: WeakSet[ScoringProcess] = WeakSet()


def _disconnect() -> None:
    """What a method forks asks for nothing, and keeps no process alive that ends with ours."""
    for each in list(_connected):
        each._connection.close()


os.register_at_fork(after_in_child=_disconnect)

_ours: dict[int, ScoringProcess] = {}  # by process id: a fork has none yet


def scoring_process() -> ScoringProcess:
    """The one of this process: started at the first call, and anew where it has died."""
    held = _ours.get(os.getpid())
    if held is None or not held.alive:
        held = _ours[os.getpid()] = ScoringProcess()
    return held
