"""One trial: split -> network -> recipe -> train -> logits -> record.

This process runs the method. It is given the training images and, once it has trained, the images to be scored; their
labels are opened in another process (see ``scoring_server.py``), which writes the record.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...datasets.catalog import DataError
from ...datasets.lock import guard, locked
from ...datasets.rows import Rows
from ...datasets.split import Images
from ...methods.need import Need
from ...methods.part import MethodError, Scene
from ...methods.recipe import Recipe
from ..errors import StoreError
from ..registry.datasets import dataset_of
from ..registry.methods import recipe_of
from ..registry.networks import network
from ..registry.pretrained_weights import load_weights
from ..spec.schema import Trial, prerequisite
from ..spec.training import Training
from ..spec.weights_file import located
from ..storage import paths
from ..storage.record import Record
from ..storage.store import Store
from .device_images import most_bytes, on_device
from .environment import environment
from .failures import is_of_a_plugin, is_out_of_memory
from .job import Job, is_done
from .learners.contract import Learner, check_honoured
from .learners.decision_regions import decision_regions
from .learners.table_learners import seed_of, table_learner
from .loop import DeviceData, Diverged, TrainingLoop
from .notes import history_columns, remarks, summary
from .random_streams import RandomStreams, initialisation
from .scoring_process import ScoringProcess, scoring_process
from .stop_decision import StopDecision


class Drained(Exception):
    """The trial was asked to stop; its checkpoint is written."""


class TrialMoved(Exception):
    """Another process has the trial now, or has finished it: this one, which was taken for dead, writes no more."""


class TimeLimit(Exception):
    """The trial has trained for longer than the spec lets it."""


LEAST = -65504.0  # of float16; a logit so far below the largest is a probability of 0 either way
# What is not the method's fault: it is tried again and never recorded. Memory depends on who else is on the device.
INFRASTRUCTURE = (
    Drained, TrialMoved, DataError, StoreError, OSError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError
)  # fmt: skip


@dataclass(frozen=True)
class TrialContext:
    """What a trial is given and its key does not hold: where things are, and how often it saves itself."""

    store: str
    gpu: bool = False
    root: Path | None = None
    verify: bool = True
    checkpoint_seconds: float = 60.0
    time_limit: float | None = None  # seconds of training
    alone: bool = False  # on its device: if that has too little memory for it, no other trial is to blame
    plugins: Mapping[str, str] | None = None  # source text of each plugin file by its SHA-256
    regions: bool = False  # whether what it decides between training images is recorded too

    @property
    def device(self) -> torch.device:
        """The device that the trial is trained on."""
        return torch.device("cuda" if self.gpu else "cpu")


def run_trial(
    job: Job,
    context: TrialContext,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    should_stop: Callable[[], StopDecision] = lambda: StopDecision.CONTINUE,
) -> Record:
    """Train and score the trial of a job, from its checkpoint where there is one, and write its record.

    Args:
        job: The trial, and the epoch until which it is trained; before its last, the record is that of a rung.
        context: Where things are.
        report: Gets the line of each epoch.
        should_stop: Is asked after each epoch, and before the record is written.

    Returns:
        The record: also of what the method broke, whose status is ``failed`` or ``diverged``.

    Raises:
        Drained: when it was asked to stop. TrialMoved where it is another process's now. What the infrastructure broke
            (INFRASTRUCTURE), which may be tried again.
    """
    trial = job.trial
    torch.set_num_threads(trial.threads)
    scoring = scoring_process()
    attempt = Attempt(job, context)
    data = scoring.split(trial, context.root, context.verify)
    if attempt.store.local:
        guard([f"{attempt.store.root}/{paths.ARRAYS[0]}"])  # the predictions of other trials, beside the test labels
    about: dict[str, Any] = {
        "counts": data.counts,
        "test_counts": data.test_counts,
        "data": data.provenance,
        "environment": environment(context.device),
    }
    run, logits = None, {}
    try:
        with locked():
            method = recipe_of(trial, context.plugins)
            about["values"] = method.values()
            run = learner_of(trial, data.images, data.counts, method, context)
            attempt.train(run, report, should_stop)
        logits = _logits(run, scoring) | (decision_regions(run, trial) if context.regions and job.is_final else {})
        if job.is_final and job.keep_weights:
            attempt.store.write_weights(trial.key, run.averaged_weights())
        about["status"] = "complete" if job.is_final else "pruned"
    except Exception as error:
        if _is_of_infrastructure(error, context.alone):
            raise
        about |= _fault(error)
    if should_stop() is StopDecision.MOVED:
        raise TrialMoved
    attempt.give_way()
    arrays = {}
    if run is not None and run.history:
        about |= {"epochs": run.done, "train_seconds": run.seconds}
        arrays = logits | history_columns(run.history)
    if run is not None and about["status"] == "complete":
        notes = summary(run.history, run.recipe, run.training, run.steps_per_epoch)
        about |= {"notes": notes, "reason": "; ".join(remarks(notes, run.recipe))}
    return scoring.finish(context.store, {**about, "finished": _now(), **attempt.past()}, arrays)


def _logits(run: Learner, scoring: ScoringProcess) -> dict[str, np.ndarray]:
    """Those of the images to be scored, which are here for no longer than this takes."""
    try:
        x = scoring.images()
        if x.nbytes <= most_bytes(torch.device("cpu")):
            x = torch.from_numpy(x[:])
    except (ValueError, IndexError) as error:  # no fault of the method's
        raise OSError(f"the images to be scored cannot be read: {error}") from error
    with locked():
        return scored_logits(run, x)


def scored_logits(run: Learner, x: torch.Tensor | Rows) -> dict[str, np.ndarray]:
    """The logits of the last weights. Accuracies come from the logits as they are stored, so that a reader of the file
    finds the same; each row's largest is 0, where float16 is finest.

    Args:
        run: The trained loop.
        x: (N, channels, H, W).

    Returns:
        Logits (N, C), by the names that they are stored under.

    Raises:
        MethodError: where the method makes logits of another shape.
        Diverged: where they are not finite.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, averaged in (("last_ema", True), ("last", False)):
        logits = run.logits(x, averaged)
        if logits.shape != (len(x), run.scene.classes):
            raise MethodError(f"logits of shape {tuple(logits.shape)} where {(len(x), run.scene.classes)} are expected")
        if not torch.isfinite(logits).all():
            last = run.history[-1]
            raise Diverged(run.done * run.steps_per_epoch, [last["loss"], math.nan], last.get("lr", 0.0))
        below = logits - logits.amax(dim=1, keepdim=True)
        arrays[name] = below.clamp(min=LEAST).numpy().astype(np.float16)
    return arrays


def _fault(error: Exception) -> dict[str, str]:
    """What is recorded of an error that is the method's own."""
    diverged = isinstance(error, Diverged)
    reason = str(error) if diverged else f"{type(error).__name__}: {error}".splitlines()[0][:2000]
    log = "".join(traceback.format_exception(error))[-100_000:]
    return {"status": "diverged" if diverged else "failed", "reason": reason, "log": log}


def _is_of_infrastructure(error: Exception, alone: bool) -> bool:
    if is_out_of_memory(f"{type(error).__name__}: {error}"):
        return not alone
    return isinstance(error, INFRASTRUCTURE) and not is_of_a_plugin(error)


class Attempt:
    """One try at a trial: it goes on from what earlier ones saved, and adds up their time."""

    def __init__(self, job: Job, context: TrialContext) -> None:
        self.job, self.context, self.store = job, context, Store(context.store)
        self._begun = time.perf_counter()
        self._file = paths.checkpoint(job.trial.key)
        try:
            self._saved = self.store.tensors(self._file)
        except (FileNotFoundError, StoreError):  # none, or cut short: from the start, then
            self._saved = {}
        self._saved = self._saved if _sound(self._saved) else {}
        self._earlier = self._saved.get("past", {"wall_seconds": 0.0, "attempts": 0, "started": _now()})

    def past(self) -> dict[str, Any]:
        """When the first attempt began, how many there were, and their seconds up to now."""
        seconds = self._earlier["wall_seconds"] + time.perf_counter() - self._begun
        return self._earlier | {"wall_seconds": seconds, "attempts": self._earlier["attempts"] + 1}

    def give_way(self) -> None:
        """TrialMoved where the store has by now what the attempt is for. Asked after a checkpoint was written: who
        finishes the trial before that takes it away, and who finds it finished after that does."""
        if is_done(self.job, self.store):
            if self.store.has(paths.record(self.job.trial.key)):
                self.store.remove(self._file)
            raise TrialMoved

    def train(
        self,
        run: Learner,
        report: Callable[[dict[str, float]], None],
        should_stop: Callable[[], StopDecision],
    ) -> None:
        """Train until the job's epoch, with a checkpoint every so many seconds, and one where a trial rests before its
        end.

        Args:
            run: The loop.
            report: Is told what each epoch came to.
            should_stop: Is asked after each epoch.

        Raises:
            TimeLimit: where the training took longer than it may.
            TrialMoved: where another worker has the trial.
            Drained: where it is asked to stop, after a checkpoint.
        """
        target, saved = self.job.target_epoch, self._saved.get("run")
        if saved and saved["done"] <= target:  # a later one cannot go back to where it should rest
            self._restore(run, saved)
            if run.done == target and not self.job.is_final:
                return
        saved_at = time.perf_counter()
        for line in run.epochs():
            report(line)
            reached = run.done == target
            if reached and self.job.is_final:
                return
            if self.context.time_limit and run.seconds > self.context.time_limit:
                raise TimeLimit(f"{run.seconds:.0f} s of training were over after {run.done} epochs")
            decision = should_stop()
            if decision is StopDecision.MOVED:
                raise TrialMoved
            drained = decision is StopDecision.DRAIN
            if drained or reached or time.perf_counter() - saved_at >= self.context.checkpoint_seconds:
                self._save(run, rests=reached)
                saved_at = time.perf_counter()
            if reached:
                return
            if drained:
                raise Drained

    def _save(self, run: Learner, rests: bool) -> None:
        """Write a checkpoint. What goes on from where a trial rests is counted as the same attempt."""
        past = self.past() | ({"attempts": self._earlier["attempts"]} if rests else {})
        self.store.write_tensors(self._file, {"run": run.state(), "past": past})
        self.give_way()

    def _restore(self, run: Learner, saved: Any) -> None:
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


def learner_of(trial: Trial, train: Images, counts: tuple[int, ...], method: Recipe, context: TrialContext) -> Learner:
    """The learner of a trial at its start, on training images or rows.

    Args:
        trial, train, counts, method, context: As of :func:`assemble`.
    """
    if dataset_of(trial.data).columns:
        return table_learner(trial, train, counts, method, context.device)
    check_honoured(method, "images")
    return assemble(trial, train, counts, method, context)


def assemble(
    trial: Trial, train: Images, counts: tuple[int, ...], method: Recipe, context: TrialContext
) -> TrainingLoop:
    """A run at its start.

    Args:
        trial: What is trained.
        train: Its training images and labels.
        counts: The training images of each class.
        method: Its recipe.
        context: Where and on what it is trained.

    Returns:
        The loop.

    Raises:
        MethodError: where the parts clash.
        StoreError: where the weights that it starts from are not in the store.
    """
    about, device = dataset_of(trial.data), context.device
    assert isinstance(trial.training, Training)  # noqa: S101  (for the type checker)
    streams = RandomStreams(seed_of(trial))
    with initialisation(streams.seed, "network"):
        model = network(trial.network, about.shape[0], len(counts), trial.training.init)
    if trial.weights:
        load_weights(model, trial.network, located(trial.weights, context.root))
    material = DeviceData(
        x=on_device(train.x, device),
        y=torch.from_numpy(train.y).to(device),
        mean=torch.tensor(about.mean, device=device),
        std=torch.tensor(about.std, device=device),
    )
    scene = Scene(
        counts=counts,
        epochs=trial.training.epochs,
        model=model,
        device=device,
        generator=streams,
        pretrained=lambda name, independent=False: pretrained(
            trial, Need(name, independent), scene, about.shape[0], Store(context.store)
        ),
        normalise=material.normalised,
        images=material.images,
    )
    return TrainingLoop(method, trial.training, model, material, scene, streams)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def pretrained(trial: Trial, need: Need, scene: Scene, channels: int, store: Store) -> nn.Module:
    """The averaged network of the trial that another starts from, frozen.

    Args:
        trial: The one that starts.
        need: What it starts from.
        scene: What its parts are built for.
        channels: Of the images.
        store: Where the weights are.

    Returns:
        The network, in evaluation mode.

    Raises:
        StoreError: where its weights are not in the store.
    """
    start = prerequisite(trial, need)
    key = start.key
    try:
        state = store.weights(key, scene.device)
    except FileNotFoundError:
        raise StoreError(
            f"{trial.method.name} starts from {need.method}'s trial {key}, whose weights are missing"
        ) from None
    except StoreError:
        store.remove_weights(key)  # so that the next run trains them again
        raise
    model = network(trial.network, channels, scene.classes)
    head = recipe_of(start, {}).head
    if head:
        model.head = head.build(scene)
    model.load_state_dict(state)
    return model.to(scene.device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
