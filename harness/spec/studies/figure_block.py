"""The block ``figure:`` of a spec: which figure is drawn of its runs, and what it claims. It is part of the plan and
of no key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from ....methods.names import nearest
from ..canonical import CanonicalModel, omitted_at
from .figure_kinds import KINDS, Kind

Group = Literal["all", "few", "med", "many", "minority", "majority"]
Over = Literal["baseline", "option"]
GROUPS, OVER = get_args(Group), get_args(Over)
CLAIMING = ("improvement", "sweep", "scaling")  # kinds whose curves a claim may name
Word = Annotated[str, Field(min_length=1, max_length=200)]
Sentence = Annotated[str, Field(max_length=500)]
End = Literal["smallest", "largest"]
Place = End | Annotated[float, Field(allow_inf_nan=False)]


class FigureClaim(CanonicalModel, frozen=True):
    """A claim as one contrast: at the x ``at`` the curve ``better`` lies above the curve ``than``; of several the best.

    With ``more_than_at`` the difference is larger than at that other x. With ``than_at`` the second value is that of
    another x, and of the same curve where ``than`` is not said. With a ``margin`` the two are alike within it. Without
    ``better`` every curve of the figure is meant, one claim each. It speaks of the panels whose name holds ``panel``.
    """

    better: tuple[Word, ...] = Field(default=(), max_length=100)
    than: tuple[Word, ...] = Field(default=(), max_length=100)
    at: Place = "smallest"
    than_at: Place | None = None
    more_than_at: Place | None = None
    group: Group | None = None
    panel: Word | None = omitted_at(None)
    margin: float | None = Field(default=None, gt=0)
    say: Sentence = ""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            raise ValueError(f"a mapping such as {{better: A, than: B, at: smallest}} is expected, not {raw!r}")
        if wrong := [str(key) for key in raw if key not in cls.model_fields]:
            raise ValueError(f"unknown key {wrong[0]!r}" + nearest(wrong[0], cls.model_fields))
        return raw

    @field_validator("better", "than", mode="before")
    @classmethod
    def _names(cls, raw: Any) -> Any:
        return _words(raw)

    @field_validator("at", "than_at", "more_than_at", mode="before")
    @classmethod
    def _placed(cls, raw: Any) -> Any:
        return _known(raw, get_args(End)) if isinstance(raw, str) else raw

    @model_validator(mode="after")
    def _compares(self) -> FigureClaim:
        if not self.than and self.than_at is None:
            raise ValueError("say what it is compared with: than: CURVE, or than_at: an x")
        if self.than and not self.better:
            raise ValueError("better: name the curve that is said to be above than")
        return self


class Figure(CanonicalModel, frozen=True):
    """Which figure is drawn: its kind, the fields of its axes, what is compared, and what the paper claims of it.

    No claim gets a word where a trial knows less than ``converged`` percent of its training images at its end.
    """

    kind: Kind
    x: Word | None = None
    curve: Word | None = None
    baseline: Word | None = None
    over: Over = "baseline"
    group: tuple[Group, ...] = Field(default=("all",), min_length=1, max_length=len(GROUPS))
    metric: Word = "balanced_accuracy"
    margin: float = Field(default=1.0, gt=0)
    converged: float | None = Field(default=None, gt=0, le=100)
    claim: Sentence = ""
    claims: tuple[FigureClaim, ...] = Field(default=(), max_length=100)

    @field_validator("kind", "over", mode="before")
    @classmethod
    def _one_of(cls, raw: Any, info: Any) -> Any:
        return _known(raw, {"kind": KINDS, "over": OVER}[info.field_name])

    @field_validator("group", mode="before")
    @classmethod
    def _groups(cls, raw: Any) -> Any:
        return tuple(_known(word, GROUPS) for word in _words(raw))

    @field_validator("baseline", mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        return f"{raw:g}" if isinstance(raw, (int, float)) else raw

    @field_validator("claims", mode="before")
    @classmethod
    def _listed(cls, raw: Any) -> Any:
        return [raw] if isinstance(raw, Mapping) else raw

    @model_validator(mode="after")
    def _fits(self) -> Figure:
        if self.claims and self.kind not in CLAIMING:
            raise ValueError(f"claims: {self.kind} has claims of its own; they are named in {', '.join(CLAIMING)}")
        return self


def _known(word: Any, known: tuple[str, ...]) -> Any:
    if word not in known:
        raise ValueError(f"{word!r} is not one of {', '.join(known)}" + nearest(str(word), known))
    return word


def _words(raw: Any) -> tuple[Any, ...]:
    """One word or several; a number is the curve of that value."""
    listed = raw if isinstance(raw, (list, tuple)) else (raw,)
    return tuple(f"{word:g}" if type(word) in (int, float) else word for word in listed)
