"""Description: what a model file says of its network, as JSON beside the tensors."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import Field, ValidationError, model_validator

from ..errors import ModelError
from ..spec.canonical import CanonicalModel
from ..spec.schema import Trial
from ..storage.record import Provenance

VERSION = 1  # of the file's layout
M = TypeVar("M", bound=CanonicalModel)
ClassName = Annotated[str, Field(min_length=1, max_length=1000)]


class Calibration(CanonicalModel, frozen=True):
    """What turns logits into probabilities (see ``probabilities.py``), and where it comes from.

    ``key`` is the trial whose validation images gave it, ``images`` their number; without any, ``reason`` says why, and
    the temperature is 1.
    """

    temperature: float = Field(default=1.0, ge=1e-3, le=1e3)
    carried_prior: float = Field(default=1.0, ge=0, le=2)
    images: int = Field(default=0, ge=0)
    key: str = ""
    reason: str = ""


class Description(CanonicalModel, frozen=True):
    """A trained model: its trial, what it takes and what it tells apart.

    ``counts`` are the training images of each class; ``shape`` channels (1 grey, 3 colour), height and width, to which
    images are brought; ``mean`` and ``std`` normalise their pixels in [0, 1], channel by channel. ``parts`` are the
    slots of the method's recipe that its logits go through. ``versions`` are those of the packages that trained it,
    ``repeats`` whether its logits of the test images are bit for bit those that the store has of the trial, which is
    None where the store has none.
    """

    version: Literal[1] = VERSION
    trial: Trial
    classes: tuple[ClassName, ...] = Field(min_length=2, max_length=100_000)
    counts: tuple[Annotated[int, Field(ge=1, le=2**53)], ...]
    shape: tuple[Literal[1, 3], Annotated[int, Field(ge=1, le=4096)], Annotated[int, Field(ge=1, le=4096)]]
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    parts: tuple[Literal["head", "finish"], ...] = ()
    calibration: Calibration = Calibration()
    data: Provenance
    versions: dict[str, str] = {}
    repeats: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> Description:
        if not len(self.classes) == len(set(self.classes)) == len(self.counts):
            raise ValueError("classes and counts must tell of the same classes, each once")
        if not self.shape[0] == len(self.mean) == len(self.std):
            raise ValueError("shape, mean and std must tell of the same channels")
        if self.parts and self.trial.method.plugin:
            raise ValueError("its logits go through code of a plugin, which no model file holds")
        return self


def parsed(model: type[M], text: str) -> M:
    """What a file says of its model. ModelError with the field that is wrong."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ModelError(f"its description, {where or 'as a whole'}: {first['msg']}") from None
