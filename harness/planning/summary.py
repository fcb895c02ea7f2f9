"""A plan in words: its trials, what they start from, what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any

from ...leaderboard.shown_setting import shown_setting
from ...methods.recipe import Recipe
from ..registry.datasets import dataset_of, long_tail
from ..registry.methods import recipe_of
from ..spec.labels import examples_of, method_label, network_label, setting_label
from ..spec.schema import Trial
from ..text import table
from ..training.cost import relative_cost
from ..training.notes import behind
from ..training.schedule import half_lives, steps_per_epoch
from ..tuning.search import Search
from . import fused_seeds
from .dependencies import Dependencies, resolve_dependencies
from .plan import Plan

STARTS = {"sampler.start", "step.start"}  # from which fraction of training on each acts


def trial_facts(needed: Dependencies) -> list[dict[str, Any]]:
    """Each trial with its key, and the keys of the trials whose networks it starts from."""
    return [
        {"key": trial.key, "starts_from": list(needed.of.get(trial.key, ()))} | trial.model_dump(mode="json")
        for trial in needed.trials
    ]


def plan_table(plan: Plan) -> str:
    """One line for each kind of trial, the number of trials along each axis, and the cost in trials of ERM."""
    trials, needed, spec = plan.trials, plan.dependencies, plan.spec
    methods = {trial.key: method_label(trial) for trial in needed.trials}
    first = {methods[key]: dict.fromkeys(methods[start] for start in starts) for key, starts in needed.of.items()}
    kinds = Counter(
        (t.data.title, shown_setting(setting_label(t.data)), method_label(t), network_label(t), _epochs(t))
        for t in trials
    )
    names = ("data", "long tail", "method", "network", "epochs")
    lines = [
        dict(zip(names, kind, strict=True)) | {"trials": n, "starts from": ", ".join(first.get(kind[2], ()))}
        for kind, n in kinds.items()
    ]
    lines = _without_empty(lines, "epochs")
    foreseen = "".join(f"\n{line}" for line in _sizes(trials))
    foreseen += "".join(f"\nnot tried: {what}: {why}" for what, why in plan.not_tried.items())
    foreseen += "".join(f"\n{line}" for line in (*warnings(plan), *fused_seeds.remarks(plan)))
    extra = len(needed.trials) - len(trials)
    also = f", and {extra} that others start from" if extra else ""
    erm = sum(relative_cost(trial, spec.plugins) for trial in needed.trials)
    share = f"each with cpu {spec.resources.cpu:g}, gpu {spec.resources.gpu:g}"
    total = f"{len(trials)} trials: {_axes(trials)}{also}; {share}\nabout {erm:.0f} trials of ERM in cost"
    return f"{table(lines)}\n\n{total}{foreseen}"


def _sizes(trials: Sequence[Trial]) -> list[str]:
    """How many numbers each of several networks on images learns, one line for each data set; none of a single one."""
    known: dict[str, dict[str, tuple[int, int]]] = {}
    for trial in trials:
        networks, about = known.setdefault(trial.data.title, {}), dataset_of(trial.data)
        if trial.training.learner == "images":
            networks[trial.network] = about.shape[0], len(about.classes)
    several = {data: networks for data, networks in known.items() if len(networks) > 1}
    if not several:
        return []
    from ..registry.networks import parameters

    lines = []
    for data, networks in several.items():
        sizes = sorted(((name, parameters(name, *of)) for name, of in networks.items()), key=lambda named: named[1])
        lines.append(f"parameters on {data}: {', '.join(f'{name} {size:,}' for name, size in sizes)}")
    return lines


def _epochs(trial: Trial) -> str:
    """An estimator has none."""
    return "" if trial.training.learner == "estimator" else str(trial.training.epochs)


def _without_empty(lines: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """The lines without those of these columns that are empty in each."""
    empty = {name for name in names if not any(line[name] for line in lines)}
    return [{name: value for name, value in line.items() if name not in empty} for line in lines]


def warnings(plan: Plan) -> list[str]:
    """What is known beforehand to keep a row from being what its name says: a part that will not act, weights that are
    averaged over too few half-lives after one began to, or a new head and balanced draws that do not begin together."""
    rows = {(method_label(t), t.data.canonical, t.training.canonical): t for t in plan.trials}
    lines = [line for trial in rows.values() for line in _warnings(trial, plan.spec.plugins)]
    for search in plan.searches.values():
        trial = search.experiment.trial(0)
        if search.space.keys() >= STARTS and _starts_with_sampler(recipe_of(trial, plan.spec.plugins)):
            lines.append(
                f"{method_label(trial)}: {' and '.join(sorted(STARTS))} are searched apart, and its new head is meant "
                "to begin with its balanced draws: fix both in its values"
            )
    return list(dict.fromkeys(lines))


def _starts_with_sampler(recipe: Recipe) -> bool:
    return recipe.step is not None and recipe.sampler is not None and recipe.step.starts_with_sampler


def _warnings(trial: Trial, plugins: Mapping[str, str]) -> Iterator[str]:
    counts, training, recipe = long_tail(trial.data, trial.val_per_class), trial.training, recipe_of(trial, plugins)
    steps, judged = steps_per_epoch(sum(counts), training), (trial.base or training).label_smoothing
    begins = [(part, ceil(getattr(part, "start", 0.0) * training.epochs)) for part in recipe.parts().values()]
    remarks = [
        part.condition if part.condition and first >= training.epochs else part.foreseen(counts, judged)
        for part, first in begins
    ]
    starts = {first for part, first in begins if part in (recipe.step, recipe.sampler)}
    if _starts_with_sampler(recipe) and len(starts) > 1:
        epochs = f"{min(starts)} and {max(starts)}"
        remarks.append(f"its new head and its balanced draws begin in different epochs, {epochs}")
    begun = max((first for _, first in begins if first < training.epochs), default=0)
    if training.ema and begun:
        remarks += behind(half_lives(begun * steps, training.epochs * steps, training.ema))
    yield from (f"{method_label(trial)}: {word}" for word in remarks if word)


def tuning_table(plan: Plan) -> str:
    """A line for each search: what it varies, and the epochs that it trains."""
    searches = plan.searches.values()
    lines = [
        {
            "search": search.label,
            "trials": search.tune.trials,
            "epochs": "" if search.of_fits else search.planned_epochs,
            "fits": search.planned_epochs if search.of_fits else "",
            "parameters": ", ".join(f"{name} {dimension.range}" for name, dimension in search.space.items()),
        }
        for search in searches
    ]
    lines = _without_empty(lines, "epochs", "fits")
    plugins = plan.spec.plugins
    erm = sum(relative_cost(s.experiment.trial(0), plugins) * s.planned_trainings for s in searches)
    return (
        f"\n\nbefore them, on validation {examples_of([plan.spec])}, with seeds that no row uses:\n\n{table(lines)}\n\n"
        f"about {erm:.0f} trials of ERM more; the trials above are then run at the values found{_early(searches)}"
    )


def _early(searches: Iterable[Search]) -> str:
    """A warning where the first trials are stopped before their learning rate has risen: they are judged by little."""
    early = {
        f"a quarter of {search.routine.epochs} epochs is inside the {search.routine.warmup_epochs:g} of warm-up"
        for search in searches
        if search.tune.prune and search.routine.epochs // 4 < search.routine.warmup_epochs
    }
    return "".join(f"\n{what}: tune.prune stops trials by what little they show there" for what in sorted(early))


def tuning_facts(plan: Plan) -> list[dict[str, Any]]:
    """The first trials of each search, at its default values, and those that they start from; what follows depends on
    what they come to."""
    return trial_facts(resolve_dependencies(plan.default_trials, plan.spec.plugins))


def _axes(trials: Sequence[Trial]) -> str:
    axes = {
        "data": len({t.data.canonical for t in trials}),
        "methods": len({method_label(t) for t in trials}),
        "networks": len({network_label(t) for t in trials}),
        "trainings": len({t.training.canonical for t in trials}),
        "seeds": len({t.seed for t in trials}),
    }
    return " x ".join(f"{n} {name}" for name, n in axes.items())
