"""Job: a trial to be trained up to an epoch; beside it a worker is told the trial's context. A flow is a generator that
yields jobs, and goes on once all are done: it gets the record of each, by the ids of the jobs.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import StoreError
from ..spec.schema import Trial
from ..storage.reader import StoreReader
from ..storage.record import Record

if TYPE_CHECKING:
    import torch


class JobFailed(Exception):
    """A job that the infrastructure broke once too often: thrown into the flows that wait for it."""


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
        import torch

        return torch.device("cuda" if self.gpu else "cpu")


@dataclass(frozen=True)
class Job:
    """A trial to be trained until ``target_epoch`` epochs are done, and scored there.

    Attributes:
        trial: The trial.
        target_epoch: Its last epoch, or fewer where a tuning trial rests at a rung.
        keep_weights: Whether its weights are stored too, since others start from them; at the last epoch only.
        work_ahead: The work, in any unit, of the job and of what can only follow it.
    """

    trial: Trial
    target_epoch: int
    keep_weights: bool = False
    work_ahead: float = field(default=0.0, compare=False)

    def __deepcopy__(self, known: dict[int, object]) -> Job:
        """Itself, since nothing of it changes: Tune copies what it is given several times for each trial."""
        return self

    @classmethod
    def of(cls, trial: Trial, keep_weights: bool = False, work_ahead: float = 0.0) -> Job:
        """The job that trains a trial to its end.

        Args:
            trial: What is trained.
            keep_weights: Whether others start from its network.
            work_ahead: The work (FLOPs) that waits for it, itself included: what has most ahead of it comes first.

        Returns:
            The job.
        """
        return cls(trial, trial.training.epochs, keep_weights, work_ahead)

    @property
    def id(self) -> str:
        """What names the job: the trial's key, and the epoch it is trained to."""
        return f"{self.trial.key}-{self.target_epoch:04d}"

    @property
    def is_final(self) -> bool:
        """Whether the trial is over with it."""
        return self.target_epoch == self.trial.training.epochs

    def merged(self, other: Job) -> Job:
        """The job that does for two askers what each wants of the same training."""
        keep_weights = self.keep_weights or other.keep_weights
        return replace(self, keep_weights=keep_weights, work_ahead=max(self.work_ahead, other.work_ahead))


def fused_trials(trial: Trial) -> list[Trial]:
    """The trials that are trained as one with it, in the order of their seeds; itself where it is trained alone."""
    return [trial.model_copy(update={"seed": seed}) for seed in trial.fused] if trial.fused else [trial]


Flow = Generator[list[Job], Mapping[str, Record], None]


def record_of(job: Job, store: StoreReader) -> Record | None:
    """What the store holds of a job: the score after its epochs, or the record of a trial that broke before; None where
    the job is not done.

    A trial that one search let end early is not done for another that wants more of it; and one that was trained to
    its end has no score on the way unless it rested there.
    """
    key = job.trial.key
    if not job.is_final:
        with suppress(StoreError, FileNotFoundError):
            return store.rung(key, job.target_epoch)
    try:
        record = store.record(key)
    except (StoreError, FileNotFoundError):
        return None
    if record.status in ("failed", "diverged"):
        done = job.is_final or record.epochs <= job.target_epoch
    else:
        done = job.is_final and record.status == "complete"
        done = done and (not job.keep_weights or store.has_weights(key))
    return record if done else None


def is_done(job: Job, store: StoreReader) -> bool:
    """Whether the store holds what a job is for (see :func:`record_of`)."""
    return record_of(job, store) is not None
