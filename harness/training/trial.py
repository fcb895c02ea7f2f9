"""One trial: split -> network -> recipe -> train -> logits -> record.

This process runs the method. It is given the training images and, once it has trained, the images to be scored; their
labels are opened in another process (see ``scoring_server.py``), which writes the record.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from ...datasets.catalog import DataError
from ...datasets.lock import guard, locked
from ...datasets.rows import Rows
from ...methods.part import MethodError
from ...methods.recipe import Recipe
from ..errors import StoreError
from ..registry.datasets import dataset_of
from ..registry.estimators import libraries_of
from ..registry.methods import recipe_of
from ..spec.schema import Trial
from ..storage import paths
from ..storage.record import Record
from ..storage.store import Store
from .device_images import most_bytes
from .environment import environment
from .failures import is_of_a_plugin, is_out_of_memory
from .job import Job, TrialContext, fused_trials, is_done
from .learners.contract import Learner, Resumable
from .learners.decision_regions import decision_regions
from .learners.fused_seeds import FusedTraining
from .learners.image_learner import image_learner
from .learners.table_learners import table_learner
from .loop import Diverged, TrainingLoop
from .notes import history_columns, remarks, summary
from .scoring_process import ScoringProcess, TrainingData, scoring_process
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


def run_trial(
    job: Job,
    context: TrialContext,
    report: Callable[[dict[str, float]], None] = lambda _: None,
    should_stop: Callable[[], StopDecision] = lambda: StopDecision.CONTINUE,
) -> Record:
    """Train and score the trial of a job, from its checkpoint where there is one, and write its record; where seeds are
    fused, the trials of all of them, each with a record of its own.

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
    torch.set_num_threads(job.trial.threads)
    scoring, attempt = scoring_process(), Attempt(job, context)
    group = [_Training.of(trial, scoring, context) for trial in fused_trials(job.trial)]
    if attempt.store.local:
        guard([f"{attempt.store.root}/{paths.ARRAYS[0]}"])  # the predictions of other trials, beside the test labels
    try:
        with locked():
            method = recipe_of(job.trial, context.plugins)
            for each in group:
                each.begin(method, context)
            _train(group, attempt, report, should_stop)
    except Exception as error:
        _note(error, group, context)
    own = next(each for each in group if each.trial.seed == job.trial.seed)
    for other in group:  # before its own: until that is written, whoever goes on finds the checkpoint
        if other is not own and not is_done(Job.of(other.trial), attempt.store):
            scoring.split(other.trial, context.root, context.verify)
            _finish(other, Job.of(other.trial), attempt, scoring, should_stop)
    if len(group) > 1:
        scoring.split(own.trial, context.root, context.verify)
    return _finish(own, job, attempt, scoring, should_stop)


@dataclass
class _Training:
    """One trial while it is trained: its data, its learner once that is made, and what its record says so far."""

    trial: Trial
    data: TrainingData
    about: dict[str, Any]
    run: Learner | None = None

    @classmethod
    def of(cls, trial: Trial, scoring: ScoringProcess, context: TrialContext) -> _Training:
        data = scoring.split(trial, context.root, context.verify)
        about = {
            "counts": data.counts,
            "test_counts": data.test_counts,
            "data": data.provenance,
            "environment": environment(context.device),
        }
        return cls(trial, data, about)

    def begin(self, method: Recipe, context: TrialContext) -> None:
        self.about["values"] = method.values()
        self.about["environment"] = environment(context.device, libraries_of(self.trial, method))
        self.run = _learner(self.trial, self.data, method, context)


def _train(
    group: Sequence[_Training],
    attempt: Attempt,
    report: Callable[[dict[str, float]], None],
    should_stop: Callable[[], StopDecision],
) -> None:
    """Train one trial, or several as one."""
    own = next(each.run for each in group if each.trial.seed == attempt.job.trial.seed)
    assert own is not None  # noqa: S101  (for the type checker)
    if len(group) == 1:
        attempt.train(own, report, should_stop)
        return
    fused = FusedTraining([each.run for each in group if isinstance(each.run, TrainingLoop)])
    try:
        attempt.train(fused, lambda line: report(_line_of(own, int(line["epoch"]))), should_stop)
    finally:  # whatever ends the others
        for place, error in fused.diverged.items():
            group[place].about |= _fault(error)


def _line_of(run: Learner, epoch: int) -> dict[str, float]:
    """A training's line of an epoch; of one that has diverged before only the epoch."""
    last = run.history[-1] if run.history else {}
    return last if last.get("epoch") == epoch else {"epoch": epoch}


def _note(error: Exception, group: Sequence[_Training], context: TrialContext) -> None:
    """What the method broke is the record's of every trial that was trained and had not diverged before; what the
    infrastructure broke is raised."""
    if _is_of_infrastructure(error, context.alone):
        raise error
    for each in group:
        if "status" not in each.about:
            each.about |= _fault(error)


def _finish(
    each: _Training, job: Job, attempt: Attempt, scoring: ScoringProcess, should_stop: Callable[[], StopDecision]
) -> Record:
    """Score a trial, whose split is under way, and write its record."""
    run, about, context, logits = each.run, each.about, attempt.context, {}
    if run is not None and "status" not in about:
        try:
            logits = _logits(run, scoring)
            logits |= decision_regions(run, each.trial) if context.regions and job.is_final else {}
            if job.is_final and job.keep_weights:
                attempt.store.write_weights(each.trial.key, run.averaged_weights())
            about["status"] = "complete" if job.is_final else "pruned"
        except Exception as error:
            _note(error, [each], context)
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
        if not _sound(self._saved):
            self._saved = {}
        self._earlier = self._saved.get("past", {"wall_seconds": 0.0, "attempts": 0, "started": _now()})

    def past(self) -> dict[str, Any]:
        """When the first attempt began, how many there were, and their seconds up to now: of a fused seed its share."""
        share = (time.perf_counter() - self._begun) / len(fused_trials(self.job.trial))
        return self._earlier | {
            "wall_seconds": self._earlier["wall_seconds"] + share,
            "attempts": self._earlier["attempts"] + 1,
        }

    def give_way(self) -> None:
        """TrialMoved where the store has by now what the attempt is for. Asked after a checkpoint was written: who
        finishes the trial before that takes it away, and who finds it finished after that does."""
        if is_done(self.job, self.store):
            if self.store.has(paths.record(self.job.trial.key)):
                self.store.remove(self._file)
            raise TrialMoved

    def train(
        self,
        run: Resumable,
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

    def _save(self, run: Resumable, rests: bool) -> None:
        """Write a checkpoint. What goes on from where a trial rests is counted as the same attempt."""
        past = self.past() | ({"attempts": self._earlier["attempts"]} if rests else {})
        self.store.write_tensors(self._file, {"run": run.state(), "past": past})
        self.give_way()

    def _restore(self, run: Resumable, saved: Any) -> None:
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


def _learner(trial: Trial, data: TrainingData, method: Recipe, context: TrialContext) -> Learner:
    if dataset_of(trial.data).columns:
        return table_learner(trial, data.images, data.counts, method, context.device)
    store = Store(context.store)
    return image_learner(trial, data.images, data.counts, method, context.device, store, context.root)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
