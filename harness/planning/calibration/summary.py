"""What a calibration measured, in words: times, memory, and what other resources or another precision would gain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ...spec.labels import learner_label, method_label, network_label
from ...spec.schema import Spec, Trial
from ...text import money, table
from ..dependencies import Dependencies
from ..plan import Plan
from .estimates import (
    GIB,
    MARGIN,
    Compilation,
    Estimate,
    MemoryFit,
    bfloat16_over_float32,
    calibrate,
    compilations,
    kind,
    total,
)
from .sharing import Throughput, best, measured_together, mps_runs


def calibrated(plan: Plan, facts: list[dict[str, Any]]) -> str:
    """What the plan will take, measured now; ``facts``, those of ``summary.py``, get ``estimated_seconds``."""
    spec, needed = plan.spec, plan.dependencies
    estimates = calibrate(spec, needed)
    for fact, seconds in zip(facts, seconds_of(estimates, needed.trials), strict=True):
        fact["estimated_seconds"] = seconds
    ratios = bfloat16_over_float32(spec, needed.trials)
    before = _tuning_hours(plan, estimates)
    searches = f"; the searches before it about {before:.2f} more" if spec.tune else ""
    whole = sum(seconds_of(estimates, needed.trials)) / 3600 + before
    hours = f"{estimate_table(estimates, needed)}{searches}{money(whole, spec.resources.price)}"
    words = [precision_words(ratios), compilation_words(compilations(spec, estimates))]
    quicker = "".join(f"\n\n{each}" for each in words if each)
    return f"\n\n{hours}\n{memory_words(spec, estimates)}{_sharing(spec, estimates, needed)}{quicker}"


def memory_words(spec: Spec, estimates: Sequence[Estimate]) -> str:
    """What ``resources`` may ask for, by the worker that needs most."""
    most = max(estimates, key=lambda e: e.held)
    seeds = f", {len(most.trial.fused)} seeds as one," if most.trial.fused else ""
    needs = f"{learner_label(most.trial)}{seeds} needs {most.held / GIB:.1f} GiB"
    if not spec.resources.gpu:
        return f"{needs} of the machine's memory: resources: {{memory: {most.held * MARGIN / GIB:.1f}}} sets it aside"
    fit = MemoryFit(most.held, total(torch.device("cuda")))
    if fit.trials < 1:
        return f"{needs} of this GPU, which has {fit.total / GIB:.1f}: a smaller batch_size needs less"
    return f"{needs} of this GPU's {fit.total / GIB:.1f}: resources: {{gpu: {fit.fraction:g}}} puts {fit.trials} on it"


def _sharing(spec: Spec, estimates: Sequence[Estimate], needed: Dependencies) -> str:
    """What several trials at a time come to on a GPU, of the kind that takes most of the plan's time; nothing where
    there is no GPU, or no two fit on it, or that kind's seeds are trained as one, which is not measured."""
    numbers = Counter(map(kind, needed.trials))
    longest = max(estimates, key=lambda e: e.whole * numbers[kind(e.trial)]).trial
    if not spec.resources.gpu or longest.training.learner != "images" or longest.fused:
        return ""
    device = torch.device("cuda")
    fit = MemoryFit(max(e.held for e in estimates), total(device))
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
        f"steps a second of {learner_label(trial)}, all trials on the GPU together: {rates}; "
        f"{proposed} (NVIDIA's MPS {how})"
    )


def _tuning_hours(plan: Plan, estimates: Sequence[Estimate]) -> float:
    """What the searches take beside: their epochs, each as long as one of the row's own trial."""
    searches = list(plan.searches.values())
    seconds = seconds_of(estimates, [search.experiment.trial(plan.spec.seeds[0]) for search in searches])
    return sum(s * search.planned_trainings for s, search in zip(seconds, searches, strict=True)) / 3600


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
    """What ``training: {precision: ...}`` would gain, for each network; nothing where there is none."""
    if not ratios:
        return ""
    lines = [f"{name}: a step in bfloat16 takes {ratio:.2f} of float32's time here" for name, ratio in ratios.items()]
    return "\n".join([*lines, "training.precision chooses; it is part of a trial's key, since it changes the numbers"])


def compilation_words(found: Sequence[Compilation]) -> str:
    """What ``training: {compile: true}`` would gain, for each network that was measured; nothing where none was."""
    told = [
        (each.network, f"a compiled step takes {each.ratio:.2f} of the time here; the first takes {each.start:.0f} s")
        if not each.fault
        else (each.network, f"torch.compile does not work here: {each.fault}")
        for each in found
    ]
    lines = [f"{network}: {words}" for network, words in told]
    how = "training: {compile: true} has networks compiled; it is part of a trial's key, since it changes the numbers"
    return "\n".join([*lines, how]) if lines else ""
