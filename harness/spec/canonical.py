"""CanonicalModel: an immutable model with one canonical text, from which a trial's key is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, cached_property, lru_cache
from math import isfinite
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field


def omitted_at(default: Any, **bounds: Any) -> Any:
    """A field of a model that is not written at its default, as in files from before it came.

    Args:
        default: Its default.
        bounds: What else :func:`pydantic.Field` is told of it.
    """
    return Field(default=default, exclude_if=lambda value: value == default, **bounds)


class CanonicalModel(BaseModel, frozen=True):
    """A frozen model with one canonical text, which keys are hashed from; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    later: ClassVar[frozenset[str]] = frozenset()
    """Fields that were added since keys were first made: not in the text at their defaults, so that keys hold."""

    @property
    def unsaid(self) -> frozenset[str]:
        """The fields that are not in the canonical text."""
        return frozenset([name for name, default in _later(type(self)) if getattr(self, name) == default])

    @cached_property
    def canonical(self) -> str:
        """The model as JSON with sorted keys and whole numbers written as such, so that 100.0 and 100 are one key.

        Kept, and built from the kept texts of inner models: the trials of a plan share theirs.
        """
        return self.canonical_without()

    def canonical_without(self, *names: str) -> str:
        """The same text without these fields."""
        fields = _sorted_fields(type(self), self.unsaid.union(names))
        return "{" + ",".join([f'"{name}":{_text(getattr(self, name))}' for name in fields]) + "}"

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """pydantic copies what ``cached_property`` kept, and a changed trial would have the old one's key."""
        copied = super().model_copy(update=update, deep=deep)
        for name in [name for name in vars(copied) if isinstance(getattr(type(self), name, None), cached_property)]:
            del vars(copied)[name]
        return copied


@cache
def _later(model: type[CanonicalModel]) -> list[tuple[str, Any]]:
    """The fields that came later, with their defaults."""
    return [(name, model.model_fields[name].default) for name in model.later]


@cache
def _sorted_fields(model: type[BaseModel], without: frozenset[str]) -> list[str]:
    return sorted(set(model.model_fields).difference(without))


def _text(value: Any) -> str:
    if isinstance(value, CanonicalModel):
        return value.canonical
    if type(value) is int:  # the common case, a seed, by the short way
        return str(value)
    if type(value) is str:
        return _quoted(value)
    if type(value) is float and isfinite(value):
        return str(int(value)) if value.is_integer() else repr(value)
    if value is None:
        return "null"
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"))


@lru_cache(maxsize=1024)
def _quoted(value: str) -> str:
    """The words of a plan are few: networks, stages, names."""
    return json.dumps(value)


def _whole(value: Any) -> Any:
    if isinstance(value, CanonicalModel):
        return json.loads(value.canonical)
    if isinstance(value, dict):
        return {key: _whole(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
