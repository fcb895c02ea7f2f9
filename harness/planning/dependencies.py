"""The trials that a plan's trials start from, as M2m starts from the ERM trial of its seed and data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..registry.methods import recipe_of
from ..spec.schema import Trial, prerequisites
from ..storage.store import Store
from ..training.job import Job, fused_trials, is_done


@dataclass(frozen=True)
class Dependencies:
    """``trials``: a plan's, and those that they need and the plan does not list. ``of``: the keys that each needs."""

    trials: tuple[Trial, ...]
    of: Mapping[str, tuple[str, ...]]

    @property
    def prerequisite_keys(self) -> frozenset[str]:
        """The trials whose weights are stored, since others start from them."""
        return frozenset(key for keys in self.of.values() for key in keys)

    def missing(self, store: Store) -> list[Trial]:
        """The trials that are still to be trained: also those whose weights are not there, while one that is not
        finished starts from them."""
        finished = store.finished()
        wanted = {key for trial, keys in self.of.items() if trial not in finished for key in keys}
        return [
            trial
            for trial in self.trials
            if trial.key not in finished
            or (trial.key in wanted and not is_done(Job.of(trial, keep_weights=True), store))
        ]


def resolve_dependencies(trials: Sequence[Trial], plugins: Mapping[str, str]) -> Dependencies:
    """What must run for a plan.

    Args:
        trials: The plan's.
        plugins: The texts of plugin files, by their hashes.

    Returns:
        Every trial, the needed ones first.

    Raises:
        MethodError: as :func:`recipe_of`.
    """
    resolved: dict[str, Trial] = {}
    of: dict[str, tuple[str, ...]] = {}

    def add(trial: Trial) -> None:
        if trial.key not in resolved:
            needs = recipe_of(trial, plugins).needs()
            inner = [start for each in fused_trials(trial) for start in prerequisites(each, needs)]
            for start in inner:
                add(start)
            resolved[trial.key] = trial
            of.update({trial.key: tuple(start.key for start in inner)} if inner else {})

    for trial in trials:
        add(trial)
    return Dependencies(tuple(resolved.values()), of)
