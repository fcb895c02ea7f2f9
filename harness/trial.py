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

from ..datasets.split import Images, Split
from ..methods.part import Scene
from ..methods.plugin import load_plugin
from ..methods.recipe import Recipe, recipe
from .data import dataset, split_of
from .environment import environment
from .networks import network
from .randomness import Streams, initialisation
from .record import Provenance, Record
from .spec import Trial
from .store import Store, StoreError
from .train import Diverged, Material, Run


class Drained(Exception):
    """The trial was asked to stop; its checkpoint is written."""


@dataclass(frozen=True)
class Setting:
    """What a trial is given and its key does not hold: where things are, and how often it saves itself."""

    store: str
    gpu: bool = False
    root: Path | None = None
    verify: bool = True
    checkpoint_seconds: float = 60.0
    plugins: Mapping[str, str] | None = None  # source text of each plugin file by its SHA-256

    @property
    def device(self) -> torch.device:
        return torch.device("cuda" if self.gpu else "cpu")


def run_trial(
    trial: Trial,
    setting: Setting,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    draining: Callable[[], bool] = lambda: False,
) -> Record:
    """Train and score one trial, from its checkpoint where there is one, and write its record.

    What the method breaks is recorded as ``failed`` or ``diverged`` and returned; what the infrastructure breaks is
    raised: DataError, StoreError, OSError. ``report`` gets each epoch's line. Raises Drained when asked to stop.
    """
    started = time.perf_counter()
    torch.set_num_threads(trial.threads)
    store = Store(setting.store)
    split, pool = split_of(trial, setting.root, setting.verify)
    saved = _checkpoint(store, trial.key)
    past = {"wall": 0.0, "attempts": 0, "started": _now()} | saved.get("past", {})
    about: dict[str, Any] = {
        "key": trial.key,
        "trial": trial,
        "counts": split.counts,
        "test_counts": tuple(np.bincount(split.test.y, minlength=len(split.counts)).tolist()),
        "data": Provenance(verified=pool.verified, hashes=dict(pool.hashes), fingerprint=split.fingerprint),
        "environment": environment(setting.device),
        "attempts": past["attempts"] + 1,
        "started": past["started"],
    }
    run = None
    try:
        method = recipe_of(trial, setting.plugins)
        about["values"] = method.values()
        run = _assemble(trial, split, method, setting)
        if "run" in saved:
            run.restore(saved["run"])
        _save_while_training(run, trial, store, setting, past, started, report, draining)
        about |= _score(run, trial, split, store)
    except (Drained, OSError, StoreError):
        raise
    except Diverged as error:
        about |= {"status": "diverged", "reason": str(error)}
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        about |= {"status": "failed", "reason": reason, "log": traceback.format_exc()}
    if run is not None:
        about |= {"epochs": run.done, "train_seconds": run.seconds}
    wall = past["wall"] + time.perf_counter() - started
    record = Record(**about, wall_seconds=wall, finished=_now())
    store.write_record(record)
    store.remove(f"checkpoints/{trial.key}.pt")
    return record


def recipe_of(trial: Trial, plugins: Mapping[str, str] | None) -> Recipe:
    """The trial's method with the trial's values. MethodError where a name or a value is wrong."""
    plugin = load_plugin((plugins or {})[trial.method.plugin]) if trial.method.plugin else None
    return recipe(trial.method.name, plugin).tuned(trial.method.values)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _checkpoint(store: Store, key: str) -> dict[str, Any]:
    """What an earlier attempt saved; nothing where there is none or it was damaged."""
    try:
        return store.tensors(f"checkpoints/{key}.pt")
    except (FileNotFoundError, StoreError):
        return {}


def _assemble(trial: Trial, split: Split, method: Recipe, setting: Setting) -> Run:
    """A run at its start. It is given the training images only."""
    about, device = dataset(trial.data.name), setting.device
    streams = Streams(trial.seed)
    with initialisation(trial.seed, "network"):
        model = network(trial.network, about.shape[0], len(split.counts))

    def pretrained(name: str) -> torch.nn.Module:
        raise StoreError(f"the network of {name!r} is not in the store")

    scene = Scene(split.counts, trial.training.epochs, model, device, streams, pretrained)
    material = Material(
        x=torch.from_numpy(split.train.x).to(device),
        y=torch.from_numpy(split.train.y).to(device),
        mean=torch.tensor(about.mean, device=device),
        std=torch.tensor(about.std, device=device),
    )
    return Run(method, trial.training, model, material, scene, streams)


def _save_while_training(
    run: Run,
    trial: Trial,
    store: Store,
    setting: Setting,
    past: dict[str, Any],
    started: float,
    report: Callable[[dict[str, float]], None],
    draining: Callable[[], bool],
) -> None:
    """Train to the end, with a checkpoint every so many seconds and one more when asked to stop."""
    last = time.perf_counter()
    for line in run.epochs():
        report(line)
        if run.done == trial.training.epochs:
            return
        stop = draining()
        if stop or time.perf_counter() - last >= setting.checkpoint_seconds:
            wall = past["wall"] + time.perf_counter() - started
            now = {"wall": wall, "attempts": past["attempts"] + 1, "started": past["started"]}
            store.write_tensors(f"checkpoints/{trial.key}.pt", {"run": run.state(), "past": now})
            last = time.perf_counter()
        if stop:
            raise Drained


def _score(run: Run, trial: Trial, split: Split, store: Store) -> dict[str, Any]:
    """The only place where test images are looked at: after training, once, with the last weights.

    Accuracies come from the logits as stored, so that a reader of the file finds the same.
    """
    arrays: dict[str, np.ndarray] = {"labels": split.test.y.astype(np.int16)}
    for name, averaged in (("last_ema", True), ("last", False)):
        logits = run.logits(torch.from_numpy(split.test.x), averaged)
        if not torch.isfinite(logits).all():
            raise Diverged(run.done * run.steps_per_epoch, [run.history[-1]["loss"], float("nan")], 0.0)
        arrays[name] = logits.numpy().astype(np.float16)
    accuracy = {name: per_class_accuracy(arrays[name], split.test) for name in ("last_ema", "last")}
    for column in run.history[0]:
        arrays[f"history_{column}"] = np.array([line[column] for line in run.history])
    data = store.write_arrays(trial.key, arrays)
    return {
        "status": "complete",
        "accuracy": accuracy,
        "files": {f"arrays/{trial.key}.npz": hashlib.sha256(data).hexdigest()},
    }


def per_class_accuracy(logits: np.ndarray, test: Images) -> tuple[float, ...]:
    """The share of each class's images (N,) whose largest logit (N, C) is the right one, in percent."""
    right = logits.argmax(axis=1) == test.y
    return tuple(float(100 * right[test.y == label].mean()) for label in range(logits.shape[1]))
