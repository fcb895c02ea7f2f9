"""What of a method is searched: the declared ranges of its parts, under dotted names, as the spec's ``tune`` asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from ...methods.names import nearest
from ...methods.part import MethodError
from ...methods.range import Range
from ..errors import NetworkError, SpecError, first_fault
from ..registry.estimators import learner_of
from ..registry.methods import recipe_of
from ..spec.schema import Experiment, Searched, Spec, Training, Tune, experiments
from .dimension import Dimension, Space

ROUTINE = {  # what the training routine adds, where a spec names it
    "training.lr": Range(0.01, 0.3, log=True),
    "training.weight_decay": Range(1e-4, 5e-3, log=True),
    "training.batch_size": Range(choices=(32, 64, 128, 256)),
    "training.label_smoothing": Range(0.0, 0.3),
    "training.cutmix": Range(choices=(0.0, 0.5, 1.0)),
}


def spaces(spec: Spec) -> list[tuple[Experiment, Space]]:
    """Each row with its space, which may be empty. SpecError where a parameter is searched in no row at all."""
    if spec.tune is None:
        return [(experiment, {}) for experiment in experiments(spec)]
    searched_spaces = [(experiment, space(experiment, spec.tune, spec.plugins)) for experiment in experiments(spec)]
    reached = {name for _, searched in searched_spaces for name in searched}
    for parameter in spec.tune.parameters:
        if not any(_means(parameter.name, name) for name in reached):
            raise SpecError(_unknown(parameter, spec))
    return searched_spaces


def space(experiment: Experiment, tune: Tune, plugins: Mapping[str, str]) -> Space:
    """What is searched of one row: what ``tune`` names, its parts declare, and its own ``values`` leave open.

    Args:
        experiment: The row.
        tune: The spec's block.
        plugins: The texts of plugin files, by their hashes.

    Returns:
        The dimensions, by the names of the values.

    Raises:
        SpecError: where the value to start from is outside the range, or a range is missing.
    """
    start = experiment.trial(0)
    recipe = recipe_of(start, plugins)
    defaults = recipe.values() | {f"training.{name}": value for name, value in start.training.model_dump().items()}
    declared: dict[str, Range] = dict(recipe.search()) | ROUTINE
    if learner := learner_of(start):
        defaults |= {f"network.{name}": getattr(learner, f.name) for name, f in learner.hyperparameters().items()}
        declared |= {f"network.{name}": f.metadata["search"] for name, f in learner.hyperparameters().items()
                     if f.metadata.get("search")}  # fmt: skip
    open_ = {name: value for name, value in defaults.items() if name not in _fixed(experiment, tune)}
    dimensions = {}
    # What names a range of its own comes last, after the same word without one and after "all".
    for parameter in sorted(
        tune.parameters, key=lambda parameter: (parameter.name != "all", parameter.range is not None)
    ):
        for name in (name for name in open_ if _means(parameter.name, name)):
            searched = parameter.range or declared.get(name)
            if searched is None and parameter.name == "all":
                continue
            dimensions[name] = Dimension(_checked(searched, name, open_[name], experiment), open_[name])
            _check_values(dimensions[name], name, experiment, plugins)
    return dimensions


def _check_values(dimension: Dimension, name: str, experiment: Experiment, plugins: Mapping[str, str]) -> None:
    """SpecError where the method or the routine refuses an end or a choice of a range: now, not in mid-search."""
    ends = dimension.range
    whole = isinstance(dimension.default, int) and not isinstance(dimension.default, bool) and not ends.choices
    if whole and not (ends.low == int(ends.low) and ends.high == int(ends.high)):
        raise SpecError(f"tune.parameters: {name} is a whole number, and so must its range be, not {ends}")
    for value in ends.choices or (ends.low, ends.high):
        try:
            trial = experiment.trial(0, {name: int(value) if whole else value})
            recipe_of(trial, plugins)
            learner_of(trial)
        except (MethodError, NetworkError, ValidationError) as error:
            why = first_fault(error) if isinstance(error, ValidationError) else error
            raise SpecError(
                f"tune.parameters: {name} of {experiment.entrant.name} cannot be {value!r}: {why}"
            ) from error


def _fixed(experiment: Experiment, tune: Tune) -> set[str]:
    """What the row's own words settle, and what decides how much a trial costs: budgets are equal. An estimator is
    fitted once, so that nothing of a method starts later."""
    once = experiment.training.learner == "estimator"
    return {
        "training.epochs",
        "training.precision",
        "training.kind",
        *(f"network.{name}" for name in experiment.network_values or {}),
        *(("sampler.start", "weights.start") if once else ()),
        *experiment.entrant.values,
        *(f"training.{name}" for name in (*experiment.entrant.training, *tune.training)),
    }


def _means(word: str, name: str) -> bool:
    """Whether a word of ``tune.parameters`` stands for a dotted name."""
    slot, _, bare = name.partition(".")
    return word in (name, bare) or (word == "all" and slot != "training")


def _checked(searched: Range | None, name: str, default: Any, experiment: Experiment) -> Range:
    method = experiment.entrant.name
    if searched is None:
        raise SpecError(f"tune.parameters: {name} of {method} declares no range; give low and high, or choices")
    number = isinstance(default, (int, float)) and not isinstance(default, bool)
    if not searched.choices and not number:
        raise SpecError(f"tune.parameters: {name} of {method} is {default!r}, no number: give choices")
    if number and any(isinstance(choice, bool) for choice in searched.choices):
        raise SpecError(f"tune.parameters: {name} of {method} is a number, and its choices must be numbers: {searched}")
    if default not in searched:
        raise SpecError(
            f"tune.parameters: {name} of {method} starts at {default!r}, which is outside {searched}; the first trial "
            "of each method is its default values, so widen the range"
        )
    return searched


def _unknown(parameter: Searched, spec: Spec) -> str:
    names = _all_names(spec)
    if parameter.name in ("epochs", "training.epochs", "precision", "training.precision"):
        return (
            f"tune.parameters: {parameter.name!r} decides what a trial costs, and budgets are equal: it is not searched"
        )
    if parameter.name == "all" or any(_means(parameter.name, name) for name in names):
        return (
            f"tune.parameters: {parameter.name!r}: no method of this spec leaves it open to search; values or "
            "tune.training fix it, or it declares no range"
        )
    words = [*names, *(name.partition(".")[2] for name in names), "all"]
    return f"tune.parameters: no method of this spec has {parameter.name!r}" + nearest(parameter.name, words)


def _all_names(spec: Spec) -> Sequence[str]:
    names: dict[str, None] = {}
    for trial in (experiment.trial(0) for experiment in experiments(spec)):
        names |= dict.fromkeys(recipe_of(trial, spec.plugins).values())
        learner = learner_of(trial)
        names |= dict.fromkeys(f"network.{name}" for name in (learner.hyperparameters() if learner else ()))
    return [*names, *(f"training.{name}" for name in Training.model_fields)]
