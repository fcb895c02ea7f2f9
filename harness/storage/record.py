"""Record: what one finished trial leaves. Read back with validation only, never with pickle."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..spec.canonical import CanonicalModel, omitted_at
from ..spec.schema import Trial

FileName = Annotated[str, Field(pattern=r"^[a-z]+/[A-Za-z0-9_-]+\.[a-z]+$")]  # never one that leads out of the store
Status = Literal["complete", "failed", "diverged", "pruned"]
MOST_LETTERS = 200  # of a machine's name, which a stranger may have written
Weights = Literal["last_ema", "last"]  # of which accuracies are: the moving average at the end, and the last themselves
LOGITS: tuple[Weights, ...] = get_args(Weights)  # the arrays of logits, by the weights that gave them


class Provenance(CanonicalModel, frozen=True):
    """What vouches for the data: checksums found, whether they are the official ones, and the split's SHA-256."""

    verified: bool
    hashes: dict[str, str]
    fingerprint: str


class TrialResult(CanonicalModel, frozen=True):
    """The part of a record that the leaderboard needs; read alone, since there may be a hundred thousand.

    Accuracies are per class and in percent, from the stored logits: of the test images, or of the validation images
    where the trial's stage is ``tune``. A ``pruned`` trial was stopped after the epochs that its record tells.
    """

    model_config = ConfigDict(extra="ignore")

    key: str
    status: Status
    reason: str = ""  # what the method broke or, of a complete trial, what did not act; in one line
    counts: tuple[Annotated[int, Field(ge=1)], ...] = ()  # training images of each class
    accuracy: dict[Weights, tuple[Annotated[float, Field(ge=0, le=100)], ...]] = {}
    train_seconds: float = Field(default=0.0, ge=0)  # on the device, over all resumes
    data: Provenance | None = None
    notes: dict[str, float] = omitted_at({})  # how far each part acted
    environment: dict[str, Any] = {}  # the machine, the versions and the code that it was trained with

    @property
    def machine(self) -> str:
        """The GPU, or the processor with the threads that were used; empty where the record does not tell."""
        if self.environment.get("device") == "cuda":
            return str(self.environment.get("gpu", ""))[:MOST_LETTERS]
        words = self.environment.get("processor", ""), self.environment.get("threads", "")
        return ", ".join(str(word) for word in words if word)[:MOST_LETTERS]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        """A complete trial has an accuracy for each class: nothing else can be averaged."""
        if self.status in ("complete", "pruned") and not len(self.accuracy.get("last_ema", ())) == len(self.counts) > 0:
            raise ValueError(f"a {self.status} trial must hold the accuracy of each class")
        return self


class Record(TrialResult, frozen=True):
    """All that one finished trial leaves."""

    model_config = ConfigDict(extra="forbid")

    trial: Trial
    log: str = ""  # the traceback
    values: dict[str, Any] = {}  # every hyperparameter, the defaults among them
    test_counts: tuple[int, ...] = ()
    epochs: int = 0
    wall_seconds: float = 0.0  # with loading, scoring and what a kill made it do again since its last checkpoint
    attempts: int = 1
    started: str = ""
    finished: str = ""
    confusion: str = omitted_at("", pattern=r"^[A-Za-z0-9+/]*=*$")  # of last_ema
    scores: dict[str, float] = omitted_at({})  # what a search may look for
    files: dict[FileName, str] = {}  # SHA-256 of what lies beside the record

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The fields in the order that records had before the environment was read without the rest: a bundle of an
        earlier version is exported again with the same bytes."""
        words = handler(self)
        for name in ("environment", "started", "finished", "confusion", "scores", "files"):
            if name in words:
                words[name] = words.pop(name)  # to the end
        return words
