"""Where Few, Med and Many begin."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from .canonical import CanonicalModel


class Shots(CanonicalModel, frozen=True):
    """Few is fewer than ``few`` training images, Many more than ``many``; ``tercile`` ranks the classes instead."""

    few: int = Field(default=20, ge=1)
    many: int = Field(default=100, ge=1)
    by: Literal["count", "tercile"] = "count"

    @model_validator(mode="after")
    def _ordered(self) -> Shots:
        if self.few > self.many:
            raise ValueError(f"few ({self.few}) must not be above many ({self.many})")
        return self
