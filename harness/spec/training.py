"""The training routines of a spec by kind of learner: a network on images, a network on a table, an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from .canonical import CanonicalModel, omitted_at

Value = float | int | bool | str
Kind = Literal["images", "table", "estimator"]


class Routine(CanonicalModel, frozen=True):
    """What every routine has: the kind of learner that it is for."""

    @property
    def learner(self) -> Kind:
        """The kind of learner that it is for."""
        return "images"

    def changed(self, words: Mapping[str, Any]) -> Self:
        """The same routine with other words. ValidationError for one that it does not have."""
        return type(self).model_validate({**self.model_dump(), **words})


class _OfNetwork(Routine, frozen=True):
    """What the routines of networks have in common."""

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    lr: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    schedule: Literal["cosine", "step", "constant"]
    warmup_epochs: float = Field(ge=0)
    ema: float = Field(ge=0, lt=1)
    label_smoothing: float = Field(ge=0, lt=1)


class _WithoutImages(Routine, frozen=True):
    """The values of an image's words where no image is augmented or mixed: they are no words of the routine."""

    crop_padding: ClassVar[int] = 0
    flip: ClassVar[bool] = False
    augment: ClassVar[str] = "none"
    cutmix: ClassVar[float] = 0.0
    cutmix_alpha: ClassVar[float] = 1.0
    resized_crop: ClassVar[float | None] = None
    init: ClassVar[None] = None
    warmup: ClassVar[None] = None
    last_batch: ClassVar[None] = None
    track: ClassVar[None] = None
    track_every: ClassVar[None] = None
    compile: ClassVar[bool] = False


class Training(_OfNetwork, frozen=True):
    """The training routine. Epochs and fractions of epochs; ``ema`` is the decay a step; ``cutmix`` a probability;
    ``resized_crop`` the least share of the area, in the place of ``crop_padding``.

    ``init``, ``warmup`` and ``last_batch`` are of LDAM-DRW's script. ``init: fan_in`` draws convolutions and linear
    layers by Kaiming's normal law of their inputs, where each network's own law is else; ``warmup: epoch`` raises the
    learning rate once an epoch, and not every step; ``last_batch: kept`` trains on the last, partial batch of an epoch,
    which is else dropped.

    With ``track`` the history has the accuracy on the training images, as they are, in evaluation mode: ``all`` of
    all, ``minority`` also of the last C // 2 classes; after every so many epochs (``track_every``), and the last.

    With ``compile: true`` PyTorch compiles the network for training, whose steps are shorter then and round otherwise.
    """

    later: ClassVar[frozenset[str]] = frozenset(
        {"resized_crop", "init", "warmup", "last_batch", "track", "track_every", "compile"}
    )

    crop_padding: int = Field(ge=0)
    flip: bool
    augment: Literal["none", "augmix", "auto_augment", "trivial_augment_wide"]
    cutmix: float = Field(ge=0, le=1)
    cutmix_alpha: float = Field(gt=0)
    precision: Literal["float32", "bfloat16"]
    resized_crop: float | None = omitted_at(None, gt=0, le=1)
    init: Literal["fan_in"] | None = omitted_at(None)
    warmup: Literal["epoch"] | None = omitted_at(None)
    last_batch: Literal["kept"] | None = omitted_at(None)
    track: Literal["all", "minority"] | None = omitted_at(None)
    track_every: int | None = omitted_at(None, ge=1)
    compile: bool = omitted_at(False)

    @model_validator(mode="after")
    def _tracked(self) -> Training:
        if bool(self.track) != bool(self.track_every):
            raise ValueError("give track (all or minority) and track_every (epochs) together")
        return self


class TableTraining(_OfNetwork, _WithoutImages, frozen=True):
    """The routine of a network on the rows of a table: nothing in it is of images, and none is augmented or mixed."""

    kind: Literal["table"]
    precision: Literal["float32", "bfloat16"]

    @property
    def learner(self) -> Kind:
        """The kind of learner that it is for."""
        return "table"


class EstimatorTraining(_WithoutImages, frozen=True):
    """The routine of an estimator, which is fitted once: no word of a network's routine means anything to it. That fit
    is its only epoch, so that searches count fits and a tuning trial has one rung."""

    kind: Literal["estimator"]

    epochs: ClassVar[int] = 1
    batch_size: ClassVar[int] = 0
    lr: ClassVar[float] = 0.0
    warmup_epochs: ClassVar[float] = 0.0
    ema: ClassVar[float] = 0.0
    label_smoothing: ClassVar[float] = 0.0
    precision: ClassVar[str] = "float64"

    @property
    def learner(self) -> Kind:
        """The kind of learner that it is for."""
        return "estimator"

    def changed(self, words: Mapping[str, Any]) -> Self:
        """Itself: the words of a routine are for the networks beside it."""
        return self


def _kind(raw: Any) -> str:
    if isinstance(raw, Routine):
        return raw.learner
    return str(raw["kind"]) if isinstance(raw, Mapping) and "kind" in raw else "images"


NetworkTraining = Training | TableTraining
AnyTraining = Annotated[
    Annotated[Training, Tag("images")]
    | Annotated[TableTraining, Tag("table")]
    | Annotated[EstimatorTraining, Tag("estimator")],
    Discriminator(_kind),
]


class NetworkEntry(CanonicalModel, frozen=True):
    """A learner by name as a spec names it, with the kind of routine that it takes, and the values that differ from its
    defaults."""

    name: str
    kind: Kind
    values: dict[str, Value] = {}


def name_of(network: str | NetworkEntry) -> str:
    """The name of a network of a spec."""
    return network if isinstance(network, str) else network.name


def kind_of(network: str | NetworkEntry) -> Kind:
    """A bare name is a network's on images."""
    return "images" if isinstance(network, str) else network.kind


def values_of(network: str | NetworkEntry) -> dict[str, Value] | None:
    """Its values, None where all are defaults."""
    return None if isinstance(network, str) else network.values or None


MODELS: dict[Kind, type[Routine]] = {"images": Training, "table": TableTraining, "estimator": EstimatorTraining}
