"""The block ``tune`` of a spec: what is searched, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from ....methods.range import Range
from ..canonical import CanonicalModel, omitted_at
from ..training import Value


class Searched(CanonicalModel, frozen=True):
    """A hyperparameter to search: ``rho`` of any part, ``step.rho`` of one, ``lr`` of the training routine, or ``all``
    that a method's parts declare. Its range is the declared one, unless one is given here."""

    name: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Value, ...] | None = None

    @model_validator(mode="before")
    @classmethod
    def _bare(cls, raw: Any) -> Any:
        return {"name": raw} if isinstance(raw, str) else raw

    @model_validator(mode="after")
    def _sound(self) -> Searched:
        if self.name == "all" and (self.low, self.high, self.log, self.choices) != (None, None, False, None):
            raise ValueError("all takes no range: name the parameter that the range is for")
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError(f"{self.name}: give low and high, or choices, not both")
            if len(set(self.choices)) < 2:
                raise ValueError(f"{self.name}: choices must hold at least two different values")
        elif (self.low is None) != (self.high is None):
            raise ValueError(f"{self.name}: a range has both a low and a high")
        elif self.low is None and self.log:
            raise ValueError(f"{self.name}: log needs a low and a high")
        elif self.low is not None and self.high is not None:
            if self.low >= self.high:
                raise ValueError(f"{self.name}: low ({self.low:g}) must be below high ({self.high:g})")
            if self.log and self.low <= 0:
                raise ValueError(f"{self.name}: on a logarithmic scale low must be above 0 (it is {self.low:g})")
        return self

    @property
    def range(self) -> Range | None:
        """The range that is given here, if one is."""
        if self.choices is not None:
            return Range(choices=self.choices)
        return None if self.low is None or self.high is None else Range(self.low, self.high, self.log)


class Tune(CanonicalModel, frozen=True):
    """How every method is tuned: ``trials`` configurations each, the defaults among them, judged on validation.

    They are proposed in generations of ``generation``: within one, nothing depends on what ends first, so the number
    of workers changes nothing. With ``prune`` only the better half of a generation goes on after a quarter of the
    epochs, and the best quarter after half of them.

    Validation is balanced, as the test set is: each class counts by as many images, and the rarest by far more than a
    long tail would spare for it. With ``val: natural`` each has its share of the training images, at least one: what
    whoever has the tail and nothing else can hold out, at the price of rare classes that are judged by a few images.
    """

    later: ClassVar[frozenset[str]] = frozenset({"val"})

    trials: int = Field(ge=1)
    parameters: tuple[Searched, ...] = (Searched(name="rho"), Searched(name="epsilon"), Searched(name="lambda"))
    metric: str = "val/balanced_accuracy"
    seeds: int = Field(default=1, ge=1)  # trainings of each configuration; their mean is its value
    prune: bool = True
    training: dict[str, Any] = {}  # what differs from the routine of the report
    sampler: Literal["tpe", "random", "qmc", "gp"] = "tpe"
    generation: int = Field(default=4, ge=2)
    val_per_class: int | None = Field(default=None, ge=1)  # None is a tenth of the smallest class of the pool
    val: Literal["natural"] | None = omitted_at(None)

    @field_validator("parameters", mode="before")
    @classmethod
    def _listed(cls, raw: Any) -> Any:
        return [raw] if isinstance(raw, (str, Mapping)) else raw

    @field_validator("parameters")
    @classmethod
    def _some(cls, found: tuple[Searched, ...]) -> tuple[Searched, ...]:
        if not found:
            raise ValueError("name at least one, or all")
        return found

    def stops_early(self, learners: Iterable[str]) -> bool:
        """Whether any of these learners has trials that are stopped before their last epoch: an estimator's has one."""
        return self.prune and any(learner != "estimator" for learner in learners)

    def check_generations(self, learners: Iterable[str]) -> None:
        """ValueError where trials are stopped early and the last generation is smaller: it would be halved otherwise
        than the others, and otherwise once ``trials`` rises."""
        if self.stops_early(learners) and (short := self.trials % self.generation):
            near = (self.trials - short, self.trials - short + self.generation)
            words = " or ".join(str(n) for n in near if n)
            raise ValueError(f"tune: with prune, trials are compared in generations of {self.generation}: take {words}")
