"""One trial: split -> network -> recipe -> train -> score -> record."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets.catalog import DataError
from ..datasets.lock import locked
from ..datasets.split import Images, Split
from ..methods.part import Scene
from ..methods.recipe import Recipe
from .agenda import Job, is_done
from .data import dataset, split_of
from .environment import environment
from .method import recipe_of
from .needs import pretrained
from .networks import network
from .randomness import Streams, initialisation
from .record import Provenance, Record
from .score import history_columns, per_class_accuracy, scored_logits
from .spec import Trial
from .store import Store, StoreError
from .train import Diverged, Material, Run
from .words import is_of_a_plugin, is_out_of_memory


class Drained(Exception):
    """The trial was asked to stop; its checkpoint is written."""


class Superseded(Exception):
    """Another process has the trial now, or has finished it: this one, which was taken for dead, writes no more."""


class TimeLimit(Exception):
    """The trial has trained for longer than the spec lets it."""


# What is not the method's fault: it is tried again and never recorded. Memory depends on who else is on the device.
INFRASTRUCTURE = (
    Drained, Superseded, DataError, StoreError, OSError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What a trial is given and its key does not hold: where things are, and how often it saves itself."""

    store: str
    gpu: bool = False
    root: Path | None = None
    verify: bool = True
    checkpoint_seconds: float = 60.0
    time_limit: float | None = None  # seconds of training
    alone: bool = False  # on its device: if that has too little memory for it, no other trial is to blame
    plugins: Mapping[str, str] | None = None  # source text of each plugin file by its SHA-256
    kept: frozenset[str] = frozenset()  # the trials whose weights are stored, since others start from them

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.gpu else "cpu")


def run_trial(
    trial: Trial,
    setting: Setting,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    draining: Callable[[], bool | None] = lambda: False,
    until: int | None = None,
) -> Record:
    """Train and score one trial, from its checkpoint where there is one, and write its record.

    With ``until``, a tuning trial rests after so many epochs, and the record is that of a rung. What the method breaks
    is recorded as ``failed`` or ``diverged`` and returned; what the infrastructure breaks is raised (INFRASTRUCTURE).
    ``report`` gets each epoch's line. Raises Drained when asked to stop, and Superseded where it is another's now.
    """
    torch.set_num_threads(trial.threads)
    attempt = Attempt(trial, setting, Store(setting.store), until)
    split, pool = split_of(trial, setting.root, setting.verify)
    rung = until is not None and until < trial.training.epochs
    about: dict[str, Any] = {
        "counts": split.counts,
        "test_counts": tuple(np.bincount(_scored(trial, split).y, minlength=len(split.counts)).tolist()),
        "data": Provenance(verified=pool.verified, hashes=dict(pool.hashes), fingerprint=split.fingerprint),
        "environment": environment(setting.device),
    }
    run, arrays = None, {}
    try:
        with locked():
            method = recipe_of(trial, setting.plugins)
            about["values"] = method.values()
            run = assemble(trial, split, method, setting)
            attempt.train(run, report, draining, until)
        x = torch.from_numpy(_scored(trial, split).x)
        with locked():
            arrays = scored_logits(run, x)
        y = _scored(trial, split).y
        arrays["labels"] = y.astype(np.int16)
        accuracy = {name: per_class_accuracy(arrays[name], y) for name in ("last_ema", "last")}
        about |= {"status": "pruned" if rung else "complete", "accuracy": accuracy}
        if not rung and trial.key in setting.kept:
            attempt.store.write_tensors(f"weights/{trial.key}.pt", run.averaged_weights())
    except Diverged as error:
        about |= {"status": "diverged", "reason": str(error), "log": traceback.format_exc()[-100_000:]}
    except Exception as error:
        if _is_of_infrastructure(error, setting.alone):
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:2000]
        about |= {"status": "failed", "reason": reason, "log": traceback.format_exc()[-100_000:]}
    if draining() is None:
        raise Superseded
    attempt.give_way()
    if run is not None and run.history:
        about |= {"epochs": run.done, "train_seconds": run.seconds}
        if not (rung and attempt.store.has(f"records/{trial.key}.json")):  # the arrays are the record's, then
            data = attempt.store.write_arrays(trial.key, arrays | history_columns(run))
            about["files"] = {f"arrays/{trial.key}.npz": hashlib.sha256(data).hexdigest()}
    record = Record(key=trial.key, trial=trial, finished=_now(), **about, **attempt.past())
    write = attempt.store.write_rung if record.status == "pruned" else attempt.store.write_record
    write(record)
    return record


def _is_of_infrastructure(error: Exception, alone: bool) -> bool:
    if is_out_of_memory(f"{type(error).__name__}: {error}"):
        return not alone
    return isinstance(error, INFRASTRUCTURE) and not is_of_a_plugin(error)


class Attempt:
    """One try at a trial: it goes on from what earlier ones saved, and adds up their time."""

    def __init__(self, trial: Trial, setting: Setting, store: Store, until: int | None = None) -> None:
        self.trial, self.setting, self.store = trial, setting, store
        self._job = Job(trial, until or trial.training.epochs, keep=trial.key in setting.kept)
        self._begun = time.perf_counter()
        self._file = f"checkpoints/{trial.key}.pt"
        try:
            self._saved = store.tensors(self._file)
        except (FileNotFoundError, StoreError):  # none, or cut short: from the start, then
            self._saved = {}
        if not _sound(self._saved):
            self._saved = {}
        self._earlier = self._saved.get("past", {"wall_seconds": 0.0, "attempts": 0, "started": _now()})

    def past(self) -> dict[str, Any]:
        """When the first attempt began, how many there were, and their seconds up to now."""
        seconds = self._earlier["wall_seconds"] + time.perf_counter() - self._begun
        return self._earlier | {"wall_seconds": seconds, "attempts": self._earlier["attempts"] + 1}

    def give_way(self) -> None:
        """Superseded where the store has by now what the attempt is for. Asked after a checkpoint was written: who
        finishes the trial before that takes it away, and who finds it finished after that does."""
        if is_done(self._job, self.store):
            if self.store.has(f"records/{self.trial.key}.json"):
                self.store.remove(self._file)
            raise Superseded

    def train(
        self,
        run: Run,
        report: Callable[[dict[str, float]], None],
        draining: Callable[[], bool | None],
        until: int | None = None,
    ) -> None:
        """Train to the end or ``until`` so many epochs are done, with a checkpoint every so many seconds, one where it
        rests, and one when it is asked to stop (Drained)."""
        saved = self._saved.get("run")
        if saved and saved["done"] <= (until or saved["done"]):  # a later one cannot go back to where it should rest
            self._restore(run, saved)
            if run.done == until:
                return
        saved_at = time.perf_counter()
        for line in run.epochs():
            report(line)
            if run.done == self.trial.training.epochs:
                return
            if self.setting.time_limit and run.seconds > self.setting.time_limit:
                raise TimeLimit(f"{run.seconds:.0f} s of training were over after {run.done} epochs")
            stop = draining()
            if stop is None:
                raise Superseded
            if stop or run.done == until or time.perf_counter() - saved_at >= self.setting.checkpoint_seconds:
                past = self.past() | ({"attempts": self._earlier["attempts"]} if run.done == until else {})
                self.store.write_tensors(self._file, {"run": run.state(), "past": past})
                self.give_way()
                saved_at = time.perf_counter()
            if run.done == until:
                return
            if stop:
                raise Drained

    def _restore(self, run: Run, saved: Any) -> None:
        """A checkpoint that does not fit is no fault of the method's: it is removed, and the next try starts anew."""
        try:
            run.restore(saved)
        except INFRASTRUCTURE:
            raise
        except Exception as error:
            self.store.remove(self._file)
            raise StoreError(f"{self.store}/{self._file} does not fit its trial: {error}; removed") from error


def _sound(saved: Any) -> bool:
    """Whether a checkpoint is laid out as ours are; what is in its tensors, the network will tell."""
    kinds = {"wall_seconds": float, "attempts": int, "started": str}
    past, run = (saved.get("past"), saved.get("run")) if isinstance(saved, dict) else (None, None)
    known = isinstance(past, dict) and {name: type(value) for name, value in past.items()} == kinds
    return known and isinstance(run, dict) and isinstance(run.get("done"), int)


def assemble(trial: Trial, split: Split, method: Recipe, setting: Setting) -> Run:
    """A run at its start. It is given the training images only."""
    about, device = dataset(trial.data.name), setting.device
    streams = Streams(trial.seed)
    with initialisation(trial.seed, "network"):
        model = network(trial.network, about.shape[0], len(split.counts))
    material = Material(
        x=torch.from_numpy(split.train.x).to(device),
        y=torch.from_numpy(split.train.y).to(device),
        mean=torch.tensor(about.mean, device=device),
        std=torch.tensor(about.std, device=device),
    )
    scene = Scene(
        counts=split.counts,
        epochs=trial.training.epochs,
        model=model,
        device=device,
        generator=streams,
        pretrained=lambda name: pretrained(trial, name, scene, about.shape[0], Store(setting.store)),
        normalise=material.normalised,
    )
    return Run(method, trial.training, model, material, scene, streams)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _scored(trial: Trial, split: Split) -> Images:
    """What a trial is scored on: the only place where test images are asked for, and never while it is tuned."""
    if trial.stage == "report":
        return split.test
    if split.val is None:
        raise DataError(f"{trial.data.name}: a tuning trial needs validation images (val_per_class)")
    return split.val
