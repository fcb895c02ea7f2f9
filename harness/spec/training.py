"""Training: the routine by which a network is trained, as a key knows it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from .canonical import CanonicalModel


class Training(CanonicalModel, frozen=True):
    """The training routine. Epochs and fractions of epochs; ``ema`` is the decay a step; ``cutmix`` a probability;
    ``resized_crop`` the least share of the area, in the place of ``crop_padding``.

    The last three are of LDAM-DRW's script. ``init: fan_in`` draws convolutions and linear layers by Kaiming's normal
    law of their inputs, where each network's own law is else; ``warmup: epoch`` raises the learning rate once an epoch,
    and not every step; ``last_batch: kept`` trains on the last, partial batch of an epoch, which is else dropped.
    """

    later: ClassVar[frozenset[str]] = frozenset({"resized_crop", "init", "warmup", "last_batch"})

    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    lr: float = Field(gt=0)
    momentum: float = Field(ge=0, lt=1)
    weight_decay: float = Field(ge=0)
    schedule: Literal["cosine", "step", "constant"]
    warmup_epochs: float = Field(ge=0)
    ema: float = Field(ge=0, lt=1)
    label_smoothing: float = Field(ge=0, lt=1)
    crop_padding: int = Field(ge=0)
    flip: bool
    augment: Literal["none", "trivial_augment_wide"]
    cutmix: float = Field(ge=0, le=1)
    cutmix_alpha: float = Field(gt=0)
    precision: Literal["float32", "bfloat16"]
    resized_crop: float | None = Field(default=None, gt=0, le=1, exclude_if=lambda value: value is None)
    init: Literal["fan_in"] | None = Field(default=None, exclude_if=lambda value: value is None)
    warmup: Literal["epoch"] | None = Field(default=None, exclude_if=lambda value: value is None)
    last_batch: Literal["kept"] | None = Field(default=None, exclude_if=lambda value: value is None)
