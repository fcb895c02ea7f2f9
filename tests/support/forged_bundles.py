"""Stores of real trials of one epoch, the bundles made of them, and what a forger does to a bundle."""

from __future__ import annotations

import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tailboard.harness.bundles.bundle import Bundle
from tailboard.harness.bundles.export import export
from tailboard.harness.bundles.verify import verify
from tailboard.harness.metrics.scores import per_class_accuracy
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.reporting import gather
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.scheduling.worker import run_job
from tailboard.harness.spec.schema import Spec, Trial, plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.serialization import pack_arrays
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job, record_of
from tailboard.harness.training.stop_decision import StopDecision
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.optuna_study import open_storage
from tailboard.harness.tuning.search import searches
from tailboard.leaderboard.confusion import Confusion

RAW = {
    "name": "t",
    "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60},
    "methods": ["ERM", "Reweighting"],
    "network": "small",
    "training": {"epochs": 1, "batch_size": 32},
    "seeds": 2,
    "tracking": {"uri": "sqlite:////home/somebody/secret.db"},
}
PLANTED = """
from tailboard.methods.losses import cross_entropy
from tailboard.methods.recipe import Part, Recipe, register
class Doubled(Part):
    def build(self, scene):
        return lambda logits, y, epsilon: 2 * cross_entropy(logits, y, epsilon)
register("Planted", Recipe(loss=Doubled()))
"""
Arrays = dict[str, np.ndarray]


class Silent:
    """Nobody is told what becomes of a search."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def trained(place: Path, spec: Spec) -> Store:
    """A store in which every trial of the plan has really been trained."""
    store, wanted = Store(place), resolve_dependencies(plan(spec), spec.plugins)
    store.write_plan(spec)
    for trial in wanted.trials:
        job = Job.of(trial, keep_weights=trial.key in wanted.prerequisite_keys)
        run_trial(job, TrialContext(store.url, plugins=spec.plugins))
        store.mark_tracked(trial.key, {})
    return store


def searched(place: Path, spec: Spec) -> Store:
    """A store of a plan that is tuned: its search and its report, one trial at a time."""
    store = Store(place)
    save_searches(spec, searches(spec), store)
    store.write_plan(spec)
    with open_storage(store) as opened:
        agenda = JobQueue(store)
        fill_queue(agenda, RunRequest(spec), opened, Silent())
        while job := agenda.pop():
            run_job(job, TrialContext(store.url), lambda _: None, lambda: StopDecision.CONTINUE)
            agenda.complete(job, record_of(job, store))
    return store


# What a forger does


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive, pytest.warns() if _twice(entries) else _nothing():
        for entry, data in entries:
            archive.writestr(entry, data)
    return path


def _twice(entries) -> bool:
    names = [entry if isinstance(entry, str) else entry.filename for entry, _ in entries]
    return len(set(names)) < len(names)


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


class Forger:
    """A bundle's files, to be changed; ``seal`` makes the manifest fit again, as anybody can."""

    def __init__(self, path: Path, name: str = "t") -> None:
        self.files = contents(path)
        spec = Spec.model_validate_json(self.files[f"plans/{name}.json"])
        self.trial: Trial = plan(spec)[0]
        self.key = self.trial.key
        self.record, self.array = f"records/{self.key}.json", f"arrays/{self.key}.npz"

    def edit(self, name: str, change: Callable[[Any], Any]) -> None:
        raw = json.loads(self.files[name])
        change(raw)
        self.files[name] = json.dumps(raw).encode()

    def arrays(self) -> dict[str, np.ndarray]:
        return dict(np.load(io.BytesIO(self.files[self.array]), allow_pickle=False))

    def put(self, data: bytes) -> None:
        """Other arrays, of which the record has the hash."""
        self.files[self.array] = data
        self.edit(self.record, lambda raw: raw["files"].update({self.array: hashlib.sha256(data).hexdigest()}))

    def arrays_of(self, key: str) -> Arrays:
        return dict(np.load(io.BytesIO(self.files[f"arrays/{key}.npz"]), allow_pickle=False))

    def replace(self, key: str, arrays: Arrays, **data: Any) -> None:
        """Other predictions of a trial, and a record that follows from them."""
        self.record, self.array = f"records/{key}.json", f"arrays/{key}.npz"
        accuracy = {n: per_class_accuracy(arrays[n], arrays["labels"]) for n in ("last_ema", "last")}
        counted = np.bincount(arrays["labels"], minlength=10).tolist()
        told = {"accuracy": accuracy, "test_counts": counted, "confusion": confusion(arrays)}
        self.edit(self.record, lambda raw: raw.update(told))
        self.edit(self.record, lambda raw: raw["data"].update(data))
        self.put(pack_arrays(arrays))

    def tell(self) -> None:
        """The table that follows from the records, and a manifest that fits: nothing that is made anew differs."""
        with tempfile.TemporaryDirectory() as folder:
            place = Bundle(self.write(Path(folder) / "told.zip"))
            self.files["report/leaderboard.csv"] = gather.gather([place]).without_costs("csv").encode()
            place.close()
        self.seal()

    def seal(self) -> None:
        hashes = {n: hashlib.sha256(data).hexdigest() for n, data in self.files.items() if n != "manifest.json"}
        self.edit("manifest.json", lambda raw: raw.update(files=hashes))

    def write(self, path: Path) -> Path:
        return zipped(path, *self.files.items())


def number(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["accuracy"]["last_ema"].__setitem__(3, 77.0))


def number_sealed(f: Forger) -> None:
    number(f)
    f.seal()


# Searches


def tuned_attack(change: Callable[[Forger], None]) -> Callable[[Path, Path], list[str]]:
    def forged(bundle: Path, path: Path) -> list[str]:
        forger = Forger(bundle)
        change(forger)
        forger.seal()
        return list(map(str, verify(Bundle(forger.write(path)))))

    return forged


def confusion(arrays: Arrays) -> str:
    return Confusion.of(arrays["last_ema"].argmax(1), arrays["labels"], 10).packed()


def rewritten(path: Path, goal: Path, change: Callable[[Record, Arrays], tuple[Record, Arrays]], **shots: int) -> Path:
    """What an honest group with other images, other rounding or other shots would have sent."""
    store = Store(goal.with_suffix(""))
    spec = Store(path.with_suffix("")).plans()[0].model_copy(update={"name": "mine"})
    store.write_plan(spec.model_copy(update={"shots": spec.shots.model_copy(update=shots)}))
    for trial in plan(spec):
        old = Store(path.with_suffix(""))
        arrays = old.arrays(trial.key)
        record, arrays = change(old.record(trial.key), arrays)
        data = store.write_arrays(trial.key, arrays)
        accuracy = {n: per_class_accuracy(arrays[n], arrays["labels"]) for n in ("last_ema", "last")}
        files = {f"arrays/{trial.key}.npz": hashlib.sha256(data).hexdigest()}
        store.write_record(
            record.model_copy(update={"files": files, "accuracy": accuracy, "confusion": confusion(arrays)})
        )
        store.mark_tracked(trial.key, {})
    assert export(store, goal) == []
    return goal
