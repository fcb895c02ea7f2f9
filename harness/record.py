"""Record: what one finished trial leaves. Read back with validation only, never with pickle."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from .spec import Frozen, Trial

Status = Literal["complete", "failed", "diverged"]


class Provenance(Frozen):
    """What vouches for the data: checksums found, whether they are the official ones, and the split's SHA-256."""

    verified: bool
    hashes: dict[str, str]
    fingerprint: str


class Record(Frozen):
    """One finished trial. Accuracies are per class and in percent, of the test images, from the stored logits."""

    key: str
    trial: Trial
    status: Status
    reason: str = ""  # what the method broke, in one line
    log: str = ""  # the traceback
    values: dict[str, Any] = {}  # every hyperparameter, the defaults among them
    counts: tuple[int, ...] = ()  # training images of each class
    test_counts: tuple[int, ...] = ()
    accuracy: dict[Literal["last_ema", "last"], tuple[float, ...]] = {}
    epochs: int = 0
    train_seconds: float = 0.0  # on the device, over all resumes
    wall_seconds: float = 0.0  # with loading, scoring and what a kill made it do again since its last checkpoint
    attempts: int = 1
    data: Provenance | None = None
    environment: dict[str, Any] = {}
    started: str = ""
    finished: str = ""
    files: dict[str, str] = {}  # SHA-256 of what lies beside the record

    @model_validator(mode="after")
    def _whole(self) -> Record:
        """A complete trial has an accuracy for each class: nothing else can be averaged."""
        if self.status == "complete" and not len(self.accuracy.get("last_ema", ())) == len(self.counts) > 0:
            raise ValueError("a complete trial must hold the accuracy of each class")
        return self
