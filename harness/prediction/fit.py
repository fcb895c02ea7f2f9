"""From a trial of a store to a model: the trial is trained again, exactly, and another one tells how to calibrate it.

A reported trial is trained on the images for training and those that tuning sets aside for validation, never on test
images. None are left to calibrate on, so a second trial is trained without some of them, on a seed of tuning, and
scored on those.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...datasets.lock import guard, loading
from ..errors import ModelError
from ..planning.dependencies import Dependencies, resolve_dependencies
from ..planning.prepare import check_files
from ..registry.datasets import dataset_of
from ..registry.methods import recipe_of
from ..spec.labels import label
from ..spec.schema import Trial
from ..storage import paths
from ..storage.record import LOGITS, Record
from ..storage.store import Store
from ..training.job import Job, TrialContext, record_of
from ..training.learners.estimator_file import FORMS
from ..training.trial import run_trial
from ..tuning.search import FIRST_SEED
from .choice import Choice
from .description import Calibration, Description
from .model import Model
from .model_file import network_of
from .probabilities import fitted
from .table_model import SavedColumn, TableDescription, TableModel, digest

ENOUGH = 200  # images to calibrate on; where a tenth of the smallest class gives fewer, up to a quarter of it
EVERY = 30.0  # seconds between two lines about epochs


@dataclass(frozen=True)
class Fit:
    """What a model is made from: a choice of a store's trials, a store to train in, which a killed fit goes on from,
    and where the data are. ``say`` is told what is done, line by line."""

    store: Store
    choice: Choice
    workplace: Store
    root: Path | None
    verify: bool
    say: Callable[[str], None]

    def model(self) -> Model | TableModel:
        """Train the trial again, and calibrate it.

        Raises:
            ModelError: where a trial fails, its images are others than the store's, or a plugin makes its logits.
            DataError: where the data are not at hand, or not as they should be.
        """
        trial, plugins = self.choice.trial, self.choice.plugins
        if trial.training.learner != "images":
            return self._table_model()
        parts = [slot for slot in ("head", "finish") if slot in recipe_of(trial, plugins).parts()]
        if parts and trial.method.plugin:
            raise ModelError(f"{trial.method.name}: its {parts[0]} is code of a plugin, which no model file holds")
        shared, about = self._again(), dataset_of(trial.data)
        description = Description(
            **shared,
            shape=about.shape,  # pyright: ignore[reportArgumentType]
            mean=about.mean,
            std=about.std,
            parts=tuple(parts),  # pyright: ignore[reportArgumentType]
        )
        network = network_of(description)
        network.load_state_dict(self.workplace.weights(trial.key))
        network.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return Model(description, network)

    @property
    def _things(self) -> str:
        return "images" if self.choice.trial.training.learner == "images" else "rows"

    def _table_model(self) -> TableModel:
        """The same of a table."""
        trial = self.choice.trial
        shared, about = self._again(), dataset_of(trial.data)
        tensors = self.workplace.weights(trial.key)
        with loading():
            categories = about.categories(self.root) if about.categories else {}
        columns = tuple(
            SavedColumn(name=column.name, kind=column.kind, categories=categories.get(column.name, ()))  # pyright: ignore[reportArgumentType]
            for column in about.columns
        )
        (form,) = tensors.keys() & FORMS.keys()
        description = TableDescription(**shared, columns=columns, form=form, sha256=digest(tensors))  # pyright: ignore[reportArgumentType]
        return TableModel.of(description, tensors)

    def _again(self) -> dict[str, Any]:
        """What a description of any model says of the trial, which is trained again."""
        trial, plugins = self.choice.trial, self.choice.plugins
        second, reason = calibrating_trial(trial)
        wanted = resolve_dependencies([trial, second] if second else [trial], plugins)
        if second and second.key in self.store.finished() and self.store.result(second.key).status == "complete":
            wanted = resolve_dependencies([trial], plugins)
        check_files(wanted.trials, self.root, self.verify)
        again = {each.key: record for each, record in self._trained(wanted)}[trial.key]
        assert again.data is not None  # noqa: S101  (for the type checker)
        return {
            "trial": trial,
            "classes": dataset_of(trial.data).classes,
            "counts": again.counts,
            "calibration": self._calibration(second, again, reason),
            "data": again.data,
            "versions": {"python": again.environment["python"]} | again.environment["packages"],
            "repeats": self._repeats(again),
        }

    def _trained(self, wanted: Dependencies) -> list[tuple[Trial, Record]]:
        """Every trial with its record, each after those that it starts from."""
        gpu = self.store.record(self.choice.trial.key).environment.get("device") == "cuda"
        if gpu and not torch.cuda.is_available():
            self.say("the trial was trained on a GPU, and there is none here: the CPU rounds otherwise")
        if self.store.local:
            guard([f"{self.store.root}/{paths.ARRAYS[0]}"])  # the test labels
        context = TrialContext(
            self.workplace.url,
            gpu=gpu and torch.cuda.is_available(),
            root=self.root,
            verify=self.verify,
            alone=True,
            plugins=self.choice.plugins,
        )
        trained = []
        for number, trial in enumerate(wanted.trials, start=1):
            kept = trial.key == self.choice.trial.key or trial.key in wanted.prerequisite_keys
            job = Job.of(trial, keep_weights=kept)
            record = record_of(job, self.workplace)
            if record is None:
                what = "" if trial.stage == "report" else ", to calibrate by"
                self.say(f"training {number} of {len(wanted.trials)}: {label(trial)}{what}")
                record = run_trial(job, context, self._progress(trial))
            if record.status != "complete":
                raise ModelError(f"{label(trial)} is {record.status} here: {record.reason}")
            trained.append((trial, record))
        return trained

    def _progress(self, trial: Trial) -> Callable[[dict[str, float]], None]:
        last = time.monotonic()

        def report(line: dict[str, float]) -> None:
            nonlocal last
            if time.monotonic() - last >= EVERY:
                last = time.monotonic()
                loss = f", loss {line['loss']:.3g}" if "loss" in line else ""  # it diverged, and other seeds did not
                self.say(f"  epoch {line['epoch'] + 1:.0f} of {trial.training.epochs}{loss}")

        return report

    def _repeats(self, again: Record) -> bool | None:
        """Whether the logits are those of the store, bit for bit; None where it has none."""
        claimed = self.store.record(again.key)
        if claimed.data and again.data and claimed.data.fingerprint != again.data.fingerprint:
            raise ModelError(
                f"the {self._things} are others than those that {label(again.trial)} in {self.store} was trained on"
            )
        try:
            before = self.store.arrays(again.key, LOGITS[0])[LOGITS[0]]
        except (FileNotFoundError, KeyError):
            return None
        is_equal = np.array_equal(before, self.workplace.arrays(again.key, LOGITS[0])[LOGITS[0]])
        self.say(
            f"its logits of the test {self._things} are those of the store, bit for bit"
            if is_equal
            else "its logits are not bit for bit those of the store, as on another machine, version or a GPU"
        )
        return is_equal

    def _calibration(self, second: Trial | None, again: Record, reason: str) -> Calibration:
        """Of the validation images of a trial: the second one, or the model's own where it is one of tuning."""
        if second is None and reason:
            self.say(f"not calibrated: {reason}")
            return Calibration(reason=reason)
        trial = second or again.trial
        place = self.workplace if self.workplace.has(paths.record(trial.key)) else self.store
        arrays, counts = place.arrays(trial.key, "la"), place.record(trial.key).counts
        temperature, carried = fitted(arrays[LOGITS[0]], arrays["labels"].astype(int), counts)
        images = len(arrays["labels"])
        self.say(
            f"calibrated on {images} validation {self._things} of {label(trial)}: temperature {temperature:g}, "
            f"{carried:g} of the training prior in the scores"
        )
        return Calibration(temperature=temperature, carried_prior=carried, images=images, key=trial.key)


def calibrating_trial(trial: Trial) -> tuple[Trial | None, str]:
    """The trial whose validation images calibrate another, and why there is none; neither for one of tuning, which has
    its own."""
    if trial.stage == "tune":
        return None, ""
    available = dataset_of(trial.data).available
    smallest, classes = min(available), len(available)
    aside = max(1, smallest // 10, min(smallest // 4, -(-ENOUGH // classes)))
    if aside >= smallest:
        return None, "the smallest class has a single image, and none can be set aside"
    return trial.model_copy(update={"stage": "tune", "val_per_class": aside, "seed": FIRST_SEED, "fused": None}), ""
