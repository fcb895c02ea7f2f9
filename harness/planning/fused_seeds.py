"""Which seeds of a spec are trained as one, and why others are not."""

from __future__ import annotations

from collections.abc import Sequence

from ..registry.methods import recipe_of
from ..spec.fused_seeds import MOST_FUSED, obstacle
from ..spec.labels import learner_label, method_label
from ..spec.schema import MethodEntry, Spec, Trial
from .plan import Plan
from .same_methods import experiment_of


def with_fused_seeds(spec: Spec) -> Spec:
    """The spec with the seeds that each of its methods fuses: a report of it then needs to run no plugin to know them.

    Args:
        spec: What is asked for.

    Raises:
        MethodError: where there is no such method or value.
    """
    if not spec.resources.fuse_seeds and not any(entry.fused for entry in spec.methods):
        return spec
    seeds = tuple(sorted(spec.seeds))

    def marked(entry: MethodEntry) -> MethodEntry:
        fused = spec.resources.fuse_seeds and not _obstacle(experiment_of(entry, spec).trial(0), spec)
        return entry.model_copy(update={"fused": seeds if fused else None})

    bare = spec.model_copy(update={"methods": tuple(e.model_copy(update={"fused": None}) for e in spec.methods)})
    return bare.model_copy(update={"methods": tuple(map(marked, bare.methods))})


def remarks(plan: Plan) -> list[str]:
    """What ``resources.fuse_seeds`` does to the trials of a plan, a line for each kind; nothing where it is not asked
    for."""
    spec = plan.spec
    if not spec.resources.fuse_seeds:
        return []
    fused = dict.fromkeys(method_label(trial) for trial in plan.trials if trial.fused)
    why = {f"not fused: {learner_label(t)}: {_why(t, spec)}": None for t in plan.trials if not t.fused}
    lines = [f"fused seeds: {_seeds(spec.seeds)} of each row are trained as one: {', '.join(fused)}"] if fused else []
    lines += why
    if fused and plan.prerequisites:
        lines.append("not fused: the networks that others start from: each is the trial that another spec would share")
    if fused and spec.tune:
        lines.append("not fused: the trials of searches: each is stopped or goes on by itself")
    if fused and not spec.resources.gpu:
        lines.append(
            "resources.fuse_seeds: fused seeds gain nothing on a CPU; it is for networks that leave a GPU idle"
        )
    elif fused:
        lines.append(f"resources.fuse_seeds: a worker holds {len(spec.seeds)} networks; ask for a gpu that holds them")
    return lines


def _seeds(seeds: Sequence[int]) -> str:
    return f"seeds {', '.join(map(str, sorted(seeds)))}"


def _why(trial: Trial, spec: Spec) -> str:
    return obstacle(trial.network, trial.training) or _obstacle(trial, spec)


def _obstacle(trial: Trial, spec: Spec) -> str:
    """Why a method's seeds are not fused on any network; empty where they are."""
    if not 2 <= len(spec.seeds) <= MOST_FUSED:
        return f"2 to {MOST_FUSED} seeds can be, and the spec has {len(spec.seeds)}"
    parts = recipe_of(trial, spec.plugins).not_fusable()
    names = [f"{type(part).__name__} (slot {slot})" for slot, part in parts.items()]
    return f"{', '.join(names)} does not declare that it serves several seeds at once" if names else ""
