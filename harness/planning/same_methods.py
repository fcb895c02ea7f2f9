"""Entries of a spec that are one method in other words, such as the same parts in another order, or a value that equals
its default. Their trainings would be the same bits under several keys, and each a row that others are compared with."""

from __future__ import annotations

from typing import Any

from ..registry.methods import recipe_of
from ..spec.labels import method_label
from ..spec.schema import Experiment, MethodEntry, Spec
from ..spec.training import AnyTraining, name_of


def distinct_methods(spec: Spec) -> tuple[Spec, list[str]]:
    """The spec with each method once, under the words that come first: keys that exist stay.

    Args:
        spec: What is asked for.

    Returns:
        The spec, and a sentence for each entry that was left out.

    Raises:
        MethodError: where there is no such method or value.
    """
    first: dict[Any, MethodEntry] = {}
    left_out = []
    for entry in spec.methods:
        kept = first.setdefault(_identity(entry, spec), entry)
        if kept is not entry and kept != entry:
            left_out.append(
                f"{_label(entry, spec)} is the same method as {_label(kept, spec)}: it is trained and shown once"
            )
    if len(first) == len(spec.methods):
        return spec, []
    return spec.model_copy(update={"methods": tuple(first.values())}), left_out


def _identity(entry: MethodEntry, spec: Spec) -> tuple[Any, ...]:
    """What decides a method's numbers: its parts with their values, and the routines that train it. Where methods are
    tuned, also what its words fix, since that is not searched."""
    trials = [experiment_of(entry, spec, routine).trial(0) for routine in spec.trainings]
    recipe = recipe_of(trials[0], spec.plugins)
    fixed = (frozenset(entry.values), frozenset(entry.training)) if spec.tune else ()
    routines = tuple((trial.training.canonical, trial.base and trial.base.canonical) for trial in trials)
    try:
        hash(recipe)
    except TypeError:  # a part of a plugin with a list in it is like no other
        return entry.plugin, entry.canonical
    return entry.plugin, recipe, routines, fixed


def experiment_of(entry: MethodEntry, spec: Spec, routine: AnyTraining | None = None) -> Experiment:
    """The method on the first data and network of the spec.

    Args:
        entry: The method.
        spec: Whose data and network.
        routine: Under which it is trained; the spec's first if None.
    """
    network, training = name_of(spec.networks[0]), routine or spec.trainings[0]
    return Experiment(data=spec.data[0], network=network, training=training, entrant=entry, threads=1)


def _label(entry: MethodEntry, spec: Spec) -> str:
    return method_label(experiment_of(entry, spec).trial(0))
