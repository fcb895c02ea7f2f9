"""Contents: what is known of a user's own images, by which the data set of a trial is known without its files."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from .canonical import CanonicalModel


class Contents(CanonicalModel, frozen=True):
    """A user's own images as a key knows them: see ``datasets.user_images.dataset.Facts``, whose fields these are."""

    later: ClassVar[frozenset[str]] = frozenset({"groups"})

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    classes: tuple[str, ...] = Field(min_length=2)
    available: tuple[Annotated[int, Field(ge=1)], ...]
    tested: tuple[Annotated[int, Field(ge=1)], ...]
    shape: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(min_length=3, max_length=3)
    mean: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    std: tuple[Annotated[float, Field(gt=0, le=1)], ...]
    groups: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$", exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _whole(self) -> Contents:
        if not len(self.classes) == len(self.available) == len(self.tested) == len(set(self.classes)):
            raise ValueError("classes, available and tested must tell of the same classes, each once")
        if not self.shape[0] == len(self.mean) == len(self.std):
            raise ValueError("shape, mean and std must tell of the same channels")
        return self

    @property
    def factor(self) -> float:
        """Training images of the largest class over those of the smallest."""
        return max(self.available) / min(self.available)
