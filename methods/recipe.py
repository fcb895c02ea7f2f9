"""Recipe: a method, as one part in each of a few slots; and the registry of the methods that have a name.

A recipe of only ``None`` is ERM. ``a | b`` joins two recipes; ``recipe("A + B")`` joins two registered ones.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import entry_points
from typing import Any, ClassVar

import torch
from torch import nn


class MethodError(ValueError):
    """A method that is unknown, contradicts itself or got a wrong value; the message is written for the user."""


@dataclass(frozen=True)
class Range:
    """Where a hyperparameter may be searched: an interval (``log`` for a logarithmic scale) or a set of choices."""

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    def __contains__(self, value: object) -> bool:
        if self.choices:
            return value in self.choices
        return self.low <= value <= self.high  # type: ignore[operator]

    def __str__(self) -> str:
        if self.choices:
            return "{" + ", ".join(map(str, self.choices)) + "}"
        return f"[{self.low}, {self.high}]" + (" log" if self.log else "")


def hyper(default: Any, source: str, search: Range | None = None) -> Any:
    """A part's hyperparameter: its default, where the default comes from, and its search range where it is tunable."""
    return field(default=default, metadata={"source": source, "search": search})


@dataclass
class Scene:
    """All that a part may know when it is built.

    ``counts`` are the training images of each class; ``epochs`` the length of training; ``model`` the network
    (features and, once the head is built, ``model.head``). ``generator(purpose)`` gives a random generator that is
    restarted at each epoch from the trial's seed, so parts draw the same numbers after a resume.
    ``pretrained(method)`` gives the frozen network of another method's trial on the same data and seed.
    """

    counts: tuple[int, ...]
    epochs: int
    model: nn.Module
    device: torch.device
    generator: Callable[[str], torch.Generator]
    pretrained: Callable[[str], nn.Module]

    @property
    def classes(self) -> int:
        return len(self.counts)

    def tensor(self, values: Iterable[float]) -> torch.Tensor:
        return torch.tensor(list(values), dtype=torch.float64).to(torch.get_default_dtype()).to(self.device)


@dataclass(frozen=True)
class Part:
    """What fills one slot of a recipe. Its fields are its hyperparameters, declared with :func:`hyper`.

    ``build(scene)`` returns the callable that the slot asks for (see :class:`Recipe`). ``neutral`` names values
    under which the part leaves ERM's weights as they are, bit for bit; None where there are none.
    """

    neutral: ClassVar[Mapping[str, Any] | None] = None

    def build(self, scene: Scene) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define build(scene)")

    @classmethod
    def hyperparameters(cls) -> dict[str, dataclasses.Field]:
        return {f.name: f for f in fields(cls)}


@dataclass(frozen=True)
class Recipe:
    """One part, or None, in each slot. What ``build(scene)`` of each must return:

    ========= =============================================================================================
    head      a module: features (B, F) -> logits (B, C)
    loss      (logits (B, C), y (B,), epsilon (B,)) -> the loss of each sample (B,)
    smoothing the label-smoothing epsilon of each class (C,)
    weights   epoch -> ClassWeights: the weight of each class and what the weighted sum is divided by
    sampler   (labels (N,), epoch) -> the epoch's indices (N,), a CPU tensor
    mixer     (x (B, ...) pixels in [0, 1], y (B,), epoch) -> Mixed
    extra     (features of view 1, of view 2) -> scalar loss that is added
    step      (objective, y, optimizer) -> loss; runs backward and optimizer.step()
    ========= =============================================================================================
    """

    head: Part | None = None
    loss: Part | None = None
    smoothing: Part | None = None
    weights: Part | None = None
    sampler: Part | None = None
    mixer: Part | None = None
    extra: Part | None = None
    step: Part | None = None

    def parts(self) -> dict[str, Part]:
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def __or__(self, other: Recipe) -> Recipe:
        """Join two recipes; MethodError where two different parts claim one slot."""
        ours, theirs = self.parts(), other.parts()
        for slot in ours.keys() & theirs.keys():
            if ours[slot] != theirs[slot]:
                raise MethodError(
                    f"{type(ours[slot]).__name__} and {type(theirs[slot]).__name__} both claim the slot {slot!r}: "
                    "a recipe holds one part in each slot"
                )
        return Recipe(**(ours | theirs))

    def values(self) -> dict[str, Any]:
        """Every hyperparameter under its dotted name, such as ``loss.gamma``."""
        return {
            f"{slot}.{name}": getattr(part, name)
            for slot, part in self.parts().items()
            for name in part.hyperparameters()
        }

    def search(self) -> dict[str, Range]:
        """The search range of each tunable hyperparameter under its dotted name."""
        return {
            f"{slot}.{name}": f.metadata["search"]
            for slot, part in self.parts().items()
            for name, f in part.hyperparameters().items()
            if f.metadata.get("search") is not None
        }

    def tuned(self, values: Mapping[str, Any]) -> Recipe:
        """The same recipe with other values; MethodError names an unknown one and the nearest right word."""
        known = self.values()
        changed: dict[str, dict[str, Any]] = {}
        for dotted, value in values.items():
            if dotted not in known:
                raise MethodError(f"unknown value {dotted!r}" + nearest(dotted, known))
            slot, name = dotted.split(".", 1)
            changed.setdefault(slot, {})[name] = value
        parts = self.parts()
        for slot, fresh in changed.items():
            try:
                parts[slot] = dataclasses.replace(parts[slot], **fresh)
            except (TypeError, ValueError) as error:
                raise MethodError(f"{slot}: {error}") from error
        return Recipe(**parts)


@dataclass(frozen=True)
class Entry:
    """A registered method: its recipe, one line about it, where it comes from, and its cost of a step in ERM-steps."""

    name: str
    recipe: Recipe
    description: str
    source: str
    cost: float


_registry: dict[str, Entry] = {}


def register(name: str, made: Recipe, *, description: str = "", source: str = "", cost: float = 1.0) -> Recipe:
    """Give a recipe a name. ``cost`` is the cost of a training step over ERM's (2.0 for two passes)."""
    if name in _registry:
        raise MethodError(f"a method named {name!r} is already registered")
    if "+" in name and all(term.strip() in _registry for term in name.split("+")):
        raise MethodError(f"{name!r} is a sum of registered methods and needs no entry of its own")
    _registry[name] = Entry(name, made, description, source, cost)
    return made


def registry() -> dict[str, Entry]:
    """Every method by name: ours, and those installed under the entry point ``tailboard.methods``."""
    from . import table5  # noqa: F401  (importing it registers the paper's rows)

    for entry in entry_points(group="tailboard.methods"):
        entry.load()
    return dict(_registry)


def recipe(name: str) -> Recipe:
    """The recipe of a registered method, or of a sum of them: ``recipe("SAM-A + M2m")``.

    MethodError names an unknown one and the nearest right word.
    """
    known = registry()
    if name in known:
        return known[name].recipe
    total = Recipe()
    for term in (part.strip() for part in name.split("+")):
        if term not in known:
            raise MethodError(f"unknown method {term!r}" + nearest(term, known))
        total = total | known[term].recipe
    return total


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a message: the nearest known word, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5) or difflib.get_close_matches(
        word.lower(), [n.lower() for n in names], n=1, cutoff=0.4
    )
    if close:
        right = next(n for n in names if n.lower() == close[0].lower())
        return f"; did you mean {right!r}?"
    return f"; known: {', '.join(names) or 'none'}"
