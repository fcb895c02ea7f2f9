"""A plan in words: its trials, what they start from, what they cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import ceil
from typing import Any

import torch

from ..registry.datasets import long_tail
from ..registry.methods import recipe_of
from ..spec.labels import method_label, network_label, setting_label
from ..spec.schema import Spec, Trial
from ..text import money, table
from ..training.cost import relative_cost
from ..training.notes import behind
from ..training.schedule import half_lives, steps_per_epoch
from ..tuning.search import Search
from .calibration import GIB, MARGIN, Estimate, MemoryFit, bfloat16_over_float32, calibrate, kind, total
from .dependencies import Dependencies, resolve_dependencies
from .plan import Plan
from .sharing import Throughput, best, measured_together, mps_runs


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
    first = {methods[key]: [methods[start] for start in starts] for key, starts in needed.of.items()}
    kinds = Counter(
        (t.data.title, setting_label(t.data), method_label(t), network_label(t), t.training.epochs) for t in trials
    )
    names = ("data", "long tail", "method", "network", "epochs")
    lines = [
        dict(zip(names, map(str, kind), strict=True)) | {"trials": n, "starts from": ", ".join(first.get(kind[2], ()))}
        for kind, n in kinds.items()
    ]
    foreseen = "".join(f"\nnot tried: {what}: {why}" for what, why in plan.not_tried.items())
    foreseen += "".join(f"\n{line}" for line in warnings(plan))
    extra = len(needed.trials) - len(trials)
    also = f", and {extra} that others start from" if extra else ""
    erm = sum(relative_cost(trial, spec.plugins) for trial in needed.trials)
    share = f"each with cpu {spec.resources.cpu:g}, gpu {spec.resources.gpu:g}"
    total = f"{len(trials)} trials: {_axes(trials)}{also}; {share}\nabout {erm:.0f} trials of ERM in cost"
    return f"{table(lines)}\n\n{total}{foreseen}"


def warnings(plan: Plan) -> list[str]:
    """What is known beforehand to keep a row from being what its name says: a part that will not act, or weights that
    are averaged over too few half-lives after one began to."""
    rows = {(method_label(t), t.data.canonical, t.training.canonical): t for t in plan.trials}
    return list(dict.fromkeys(line for trial in rows.values() for line in _warnings(trial, plan.spec.plugins)))


def _warnings(trial: Trial, plugins: Mapping[str, str]) -> Iterator[str]:
    counts, training, made = long_tail(trial.data, trial.val_per_class), trial.training, recipe_of(trial, plugins)
    steps, judged = steps_per_epoch(sum(counts), training), (trial.base or training).label_smoothing
    begins = [(part, ceil(getattr(part, "start", 0.0) * training.epochs)) for part in made.parts().values()]
    found = [
        part.condition if part.condition and first >= training.epochs else part.foreseen(counts, judged)
        for part, first in begins
    ]
    begun = max((first for _, first in begins if first < training.epochs), default=0)
    if training.ema and begun:
        found += behind(half_lives(begun * steps, training.epochs * steps, training.ema))
    yield from (f"{method_label(trial)}: {word}" for word in found if word)


def tuning_table(plan: Plan) -> str:
    """A line for each search: what it varies, and the epochs that it trains."""
    searches = plan.searches.values()
    lines = [
        {
            "search": search.name.rpartition(" [")[0],
            "trials": search.tune.trials,
            "epochs": search.planned_epochs,
            "parameters": ", ".join(f"{name} {dimension.range}" for name, dimension in search.space.items()),
        }
        for search in searches
    ]
    erm = sum(
        relative_cost(search.experiment.trial(0), plan.spec.plugins)
        * search.planned_epochs
        / search.experiment.trial(0).training.epochs
        for search in searches
    )
    return (
        f"\n\nbefore them, on validation images, with seeds that no row uses:\n\n{table(lines)}\n\n"
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


def calibrated(plan: Plan, facts: list[dict[str, Any]]) -> str:
    """What the plan will take, measured now; ``facts`` (see :func:`trial_facts`) get ``estimated_seconds``."""
    spec, needed = plan.spec, plan.dependencies
    estimates = calibrate(spec, needed)
    for fact, seconds in zip(facts, seconds_of(estimates, needed.trials), strict=True):
        fact["estimated_seconds"] = seconds
    ratios = bfloat16_over_float32(spec, needed.trials)
    before = _tuning_hours(plan, estimates)
    searches = f"; the searches before it about {before:.2f} more" if spec.tune else ""
    whole = sum(seconds_of(estimates, needed.trials)) / 3600 + before
    hours = f"{estimate_table(estimates, needed)}{searches}{money(whole, spec.resources.price)}"
    precision = f"\n\n{precision_words(ratios)}" if ratios else ""
    return f"\n\n{hours}\n{memory_words(spec, estimates)}{_sharing(spec, estimates, needed)}{precision}"


def memory_words(spec: Spec, estimates: Sequence[Estimate]) -> str:
    """What ``resources`` may ask for, by the trial that needs most."""
    most = max(estimates, key=lambda e: e.memory)
    needs = f"{method_label(most.trial)} on {network_label(most.trial)} needs {most.memory / GIB:.1f} GiB"
    if not spec.resources.gpu:
        return f"{needs} of the machine's memory: resources: {{memory: {most.memory * MARGIN / GIB:.1f}}} sets it aside"
    fit = MemoryFit(most.memory, total(torch.device("cuda")))
    if fit.trials < 1:
        return f"{needs} of this GPU, which has {fit.total / GIB:.1f}: a smaller batch_size needs less"
    return f"{needs} of this GPU's {fit.total / GIB:.1f}: resources: {{gpu: {fit.fraction:g}}} puts {fit.trials} on it"


def _sharing(spec: Spec, estimates: Sequence[Estimate], needed: Dependencies) -> str:
    """What several trials at a time come to on a GPU, of the kind that takes most of the plan's time; nothing where
    there is no GPU, or no two fit on it."""
    numbers = Counter(map(kind, needed.trials))
    longest = max(estimates, key=lambda e: e.whole * numbers[kind(e.trial)]).trial
    if not spec.resources.gpu or longest.training.learner != "images":
        return ""
    device = torch.device("cuda")
    fit = MemoryFit(max(e.memory for e in estimates), total(device))
    measured = measured_together(longest, device, spec.plugins, fit.trials)
    return f"\n{sharing_words(longest, measured, mps_runs())}" if len(measured) > 1 else ""


def sharing_words(trial: Trial, measured: Sequence[Throughput], mps: bool) -> str:
    """The steps a second at each number of trials at a time, and what ``resources`` may ask for.

    Args:
        trial: What was trained.
        measured: At least one.
        mps: Whether NVIDIA's MPS runs.
    """
    rates = ", ".join(f"{each.steps:.1f} with {each.trials}" for each in measured)
    proposed = f"resources: {{gpu: {1 / best(measured).trials:g}}} trains most in an hour"
    how = "runs" if mps else "does not run here; docs/cluster.md says when it helps"
    return (
        f"steps a second of {method_label(trial)} on {network_label(trial)}, all trials on the GPU together: {rates}; "
        f"{proposed} (NVIDIA's MPS {how})"
    )


def _tuning_hours(plan: Plan, estimates: Sequence[Estimate]) -> float:
    """What the searches take beside: their epochs, each as long as one of the row's own trial."""
    of_kind = {kind(e.trial): e.whole for e in estimates}
    seconds = sum(
        of_kind[kind(search.experiment.trial(plan.spec.seeds[0]))]
        * search.planned_epochs
        / search.experiment.trial(0).training.epochs
        for search in plan.searches.values()
    )
    return seconds / 3600


def seconds_of(estimates: Sequence[Estimate], trials: Sequence[Trial]) -> list[float]:
    """The estimated seconds of each trial, from the estimate of its kind."""
    of_kind = {kind(e.trial): e.whole for e in estimates}
    return [of_kind[kind(trial)] for trial in trials]


def estimate_table(estimates: Sequence[Estimate], needed: Dependencies) -> str:
    """Seconds of a step and of a trial for each kind of trial, and hours of the whole plan."""
    lines = [
        {
            "data": e.trial.data.title,
            "method": method_label(e.trial),
            "network": network_label(e.trial),
            "precision": e.trial.training.precision,
            "ms a step": f"{1000 * e.step:.1f}",
            "minutes a trial": f"{e.whole / 60:.1f}",
            "GiB at most": f"{e.memory / GIB:.1f}",
        }
        for e in estimates
    ]
    seconds = sum(seconds_of(estimates, needed.trials))
    return (
        f"{table(lines)}\n\nabout {seconds / 3600:.2f} device-hours on a machine like this one, measured alone on "
        f"it with {estimates[0].trial.threads} thread(s) a trial"
    )


def precision_words(ratios: Mapping[str, float]) -> str:
    """What ``training: {precision: ...}`` would gain, for each network."""
    lines = [f"{name}: a step in bfloat16 takes {ratio:.2f} of float32's time here" for name, ratio in ratios.items()]
    return "\n".join([*lines, "training.precision chooses; it is part of a trial's key, since it changes the numbers"])
