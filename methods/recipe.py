"""Recipe: a method, as one part in each of a few slots; and the registry of the methods that have a name.

A recipe of only ``None`` is ERM. ``a | b`` joins two recipes; ``recipe("A + B")`` joins two registered ones.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any

from .names import nearest
from .need import Need
from .part import ClassWeights, MethodError, Mixed, Part, Scene, hyper
from .range import Range

__all__ = [
    "ClassWeights", "Entry", "MethodError", "Mixed", "Need", "Part", "Range", "Recipe", "Scene", "hyper", "recipe",
    "register", "registrations", "registry",
]  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """One part, or None, in each slot. What ``build(scene)`` of the slot's part must return:

    ========= =============================================================================================
    head      a module: features (B, F) -> logits (B, C), given F as ``scene.model.width``
    loss      (logits (B, C), y (B,), epsilon (B,)) -> the loss of each sample (B,); it leaves these as they are
    smoothing the label-smoothing epsilon of each class (C,)
    weights   epoch -> ClassWeights
    sampler   (labels (N,), epoch) -> the indices (N,) of that epoch, both on the CPU; where it changes how often
              classes are drawn, its method ``frequencies(epoch)`` says how often, in proportion (C,)
    mixer     (x (B, ...) pixels in [0, 1], y (B,), epoch) -> Mixed
    extra     (features of one view, of another) -> a scalar that is added to the loss; may be a module. Its attribute
              ``supervised_weight`` multiplies the rest of the loss; with ``views = 2`` the training batch is itself
              the first view (by default it is a third rendering of the images)
    step      (objective, y, optimizer) -> the loss; runs backward and ``optimizer.step()``
    finish    logits (N, C) -> logits: once, when the trained network is scored
    rows      of a table, once before training: (x (N, F) encoded, y (N,)) -> the rows (M, F) and labels (M,) to learn
    estimator of a table: the estimator that is fitted, whichever the spec names (scikit-learn's contract)
    ========= =============================================================================================

    ``objective(emphasis=None)`` runs the forward pass of the batch and returns its scalar loss; with ``emphasis``
    (a ClassWeights) the samples are weighted by their class on top of the recipe's own weights.
    ``objective.each(a, b)`` returns the losses under several emphases from one forward pass. A callable with a method
    ``notes()`` adds its numbers, by name, to the line that the history holds of each epoch.
    """

    head: Part | None = None
    loss: Part | None = None
    smoothing: Part | None = None
    weights: Part | None = None
    sampler: Part | None = None
    mixer: Part | None = None
    extra: Part | None = None
    step: Part | None = None
    finish: Part | None = None
    rows: Part | None = None
    estimator: Part | None = None

    def __post_init__(self) -> None:
        """MethodError where a slot holds what is no part, or one whose hyperparameters would not be found."""
        for slot, part in self.parts().items():
            _check_part(slot, part)

    def parts(self) -> dict[str, Part]:
        """The slots that are filled."""
        return {f.name: part for f in fields(self) if (part := getattr(self, f.name)) is not None}

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

    def needs(self) -> tuple[Need, ...]:
        """The trained networks that this method starts from."""
        return tuple(dict.fromkeys(need for part in self.parts().values() for need in part.starts_from()))

    def values(self) -> dict[str, Any]:
        """Every hyperparameter under its dotted name, such as ``loss.gamma``."""
        return {
            f"{slot}.{name}": getattr(part, f.name)
            for slot, part in self.parts().items()
            for name, f in part.hyperparameters().items()
        }

    def not_fusable(self) -> dict[str, Part]:
        """The parts, by their slots, that do not declare that they serve several seeds at once (see ``Part.fusable``);
        what a class inherits is no declaration, since it may act otherwise."""
        return {slot: part for slot, part in self.parts().items() if not vars(type(part)).get("fusable", False)}

    def later(self) -> frozenset[str]:
        """The dotted names of hyperparameters that older records do not name (see ``Part.later``)."""
        return frozenset(f"{slot}.{name}" for slot, part in self.parts().items() for name in part.later)

    def search(self) -> dict[str, Range]:
        """The search range of each tunable hyperparameter under its dotted name."""
        return {
            f"{slot}.{name}": f.metadata["search"]
            for slot, part in self.parts().items()
            for name, f in part.hyperparameters().items()
            if f.metadata.get("search")
        }

    def tuned(self, values: Mapping[str, Any]) -> Recipe:
        """The same recipe with other values; MethodError names an unknown one and the nearest right word."""
        changed: dict[str, dict[str, Any]] = {}
        for dotted, value in values.items():
            if dotted not in self.values():
                raise MethodError(f"unknown value {dotted!r}" + nearest(dotted, self.values()))
            slot, name = dotted.split(".", 1)
            changed.setdefault(slot, {})[name] = value
        parts = self.parts()
        for slot, fresh in changed.items():
            parts[slot] = with_values(parts[slot], fresh)
        return Recipe(**parts)


RESERVED = frozenset(name for name in vars(Part) if not name.startswith("_")) - {"smoothing"}


def _check_part(slot: str, part: Any) -> None:
    if isinstance(part, type) and issubclass(part, Part):
        raise MethodError(f"{slot}: {part.__name__} is a class, and a part of it is expected: {part.__name__}()")
    if not isinstance(part, Part):
        raise MethodError(f"{slot}: a Part is expected, whose build(scene) returns what the slot calls, not {part!r}")
    kind = type(part).__name__
    own = [pair for each in type(part).__mro__ for pair in vars(each).items()]
    if bare := [name for name, value in own if isinstance(value, dataclasses.Field)]:
        raise MethodError(f"{slot}: {kind}.{bare[0]} is no value yet: write @dataclass(frozen=True) above the class")
    for each in (f for f in fields(part) if f.name in RESERVED):
        if "source" in each.metadata:
            what, advice = f"a hyperparameter of {kind} cannot be called {each.name!r}", "call it otherwise"
        else:
            what, advice = f"{kind}.{each.name} is no hyperparameter", f"write {each.name} = ... without a type"
        raise MethodError(f"{slot}: {what}, since a part says that of itself; {advice}")


def with_values(part: Part, fresh: Mapping[str, Any]) -> Part:
    """The part with other hyperparameters, by the names that users write. MethodError for a value of another kind, or
    one that breaks the part's rules."""
    known = part.hyperparameters()
    for name, value in fresh.items():
        search = known[name].metadata.get("search")
        _check_type(type(part).__name__, name, (known[name].default, *(search.choices if search else ())), value)
    try:
        return dataclasses.replace(part, **{known[name].name: value for name, value in fresh.items()})
    except TypeError as error:
        raise MethodError(f"{type(part).__name__} cannot take {dict(fresh)}: {error}") from error


def _check_type(part: str, name: str, known: Sequence[Any], value: Any) -> None:
    """A number stands for a number, a whole one for a whole one, a word for a word; else MethodError. ``known`` are the
    default and the choices, of which some may be words and some numbers."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    right = {
        bool: isinstance(value, bool),
        int: number and value == int(value) if number and math.isfinite(value) else False,
        float: number,
        str: isinstance(value, str),
    }
    kinds = {type(each): None for each in known}
    if not any(right.get(kind, True) for kind in kinds):
        words = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
        raise MethodError(f"{part}: {name} must be {' or '.join(words[kind] for kind in kinds)}, not {value!r}")


@dataclass(frozen=True)
class Entry:
    """A registered method: its recipe, a line about it, its source, and its cost of a step in ERM-steps."""

    name: str
    recipe: Recipe
    description: str
    source: str
    cost: float


registered: dict[str, Entry] = {}


def register(name: str, made: Recipe, *, description: str = "", source: str = "", cost: float = 1.0) -> Recipe:
    """Give a recipe a name, and return it. ``cost`` is the cost of a training step over ERM's (2.0 for two passes).

    MethodError where the name is taken, or cannot be one.

    Args:
        name: What specs call it.
        made: The recipe.
        description: One sentence for lists and pages.
        source: The paper.
        cost: The cost of a training step over ERM's.
    """
    if not isinstance(name, str) or not isinstance(made, Recipe):
        raise MethodError(f"register takes a name and a Recipe, not {name!r} and {made!r}")
    if not name or name != name.strip():
        raise MethodError(f"register takes a name that neither is empty nor has blanks around it, not {name!r}")
    if name in registered:
        raise MethodError(f"a method named {name!r} is already registered")
    if not isinstance(cost, (int, float)) or not 0 < cost < math.inf:
        raise MethodError(f"{name}: cost is a step's over one of ERM's, a number above 0 such as 2.0, not {cost!r}")
    if wrong := [word for word in (description, source) if not isinstance(word, str)]:
        raise MethodError(f"{name}: description and source are texts, not {wrong[0]!r}")
    registered[name] = Entry(name, made, description, source, cost)
    return made


@contextmanager
def registrations() -> Iterator[dict[str, Entry]]:
    """What is registered inside is collected there and nowhere else: two versions of a plugin do not collide."""
    before, collected = dict(registered), {}
    try:
        yield collected
    finally:
        collected.update({name: entry for name, entry in registered.items() if name not in before})
        registered.clear()
        registered.update(before)


# Plugins import these from here, also those inside published bundles. They are in registry.py, which imports this file.


def registry() -> dict[str, Entry]:
    """Every method by name."""
    return import_module(".registry", __package__).registry()


def recipe(name: str, plugin: Mapping[str, Entry] | None = None) -> Recipe:
    """The recipe of a registered method, or of a sum of them: ``recipe("SAM-A + M2m")``."""
    return import_module(".registry", __package__).recipe(name, plugin)
