"""The search for one row's values: its space, seeds and trials, and how many epochs successive halving spends on it.

Searches are scored on validation images only, with seeds that no report uses.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from ...methods.need import Need
from ..errors import SpecError
from ..metrics import validation
from ..registry.datasets import dataset_of, long_tail
from ..registry.limits import why_not_tried
from ..spec.labels import method_label, network_label, setting_label
from ..spec.schema import Experiment, Spec, Trial, Tune, Value, prerequisites
from ..spec.training import AnyTraining
from .configuration import Configuration
from .dimension import Space, canonical

FIRST_SEED = 1000  # of the tuning seeds; those of the report are passed over


@dataclass(frozen=True)
class Search:
    """What is searched of one row: ``space`` holds its dimensions, ``tune`` how; ``starts_from`` are the
    trained networks that its trials start from."""

    experiment: Experiment
    space: Space
    tune: Tune
    spec: Spec
    starts_from: tuple[Need, ...] = ()

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of its trials: never one of the report's."""
        free = (seed for seed in range(FIRST_SEED, FIRST_SEED + len(self.spec.seeds) + self.tune.seeds))
        return [seed for seed in free if seed not in self.spec.seeds][: self.tune.seeds]

    @cached_property
    def base_training(self) -> AnyTraining:
        """The training routine that all rows of a setting share while they are tuned: the report's or a cheaper one."""
        return self.experiment.training.changed(self.tune.training)

    @cached_property
    def tuning_experiment(self) -> Experiment:
        """The row as it is tuned: what ``tune`` says of the routine goes before the row's own, for equal budgets."""
        entrant = self.experiment.entrant
        own = {name: value for name, value in entrant.training.items() if name not in self.tune.training}
        return self.experiment.model_copy(update={"entrant": entrant.model_copy(update={"training": own})})

    @cached_property
    def routine(self) -> AnyTraining:
        """The training routine of its trials, with what is the row's own."""
        return self.tuning_experiment.trial(0, base=self.base_training).training

    @cached_property
    def val_per_class(self) -> int:
        """The validation images of each class, cut from the pool before the long tail is."""
        return self.tune.val_per_class or max(1, min(dataset_of(self.experiment.data).available) // 10)

    @cached_property
    def identity(self) -> str:
        """The same for searches that propose the same: how many trials they may take is not in it."""
        groups = validation.group_of(self.tune.metric) != "all"
        words = [
            f"protocol {self.spec.protocol}",
            self.tune.model_copy(update={"trials": 1}).canonical,
            self.experiment.canonical,
            self.spec.shots.canonical if groups else "",
            str(self.seeds),
            str(self.val_per_class),
            canonical(self.space),
        ]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()

    def reporting_trial(self, found: Configuration, seed: int) -> Trial:
        """The reporting trial of a seed at the values found."""
        return self.experiment.trial(seed, self.changed_values(found))

    def changed_values(self, found: Configuration) -> dict[str, Value]:
        """The values that are not the row's own: those are not said again."""
        return {n: v for n, v in found.values.items() if v != self.space[n].default}

    @property
    def seed(self) -> int:
        """What its sampler draws from."""
        return int(self.identity[:8], 16)

    @property
    def name(self) -> str:
        """The name of its study in Optuna's storage; of an estimator's too it says how many epochs, by which stores
        that exist are read."""
        return f"{self._words}, {self.routine.epochs} epochs [{self.identity[:12]}]"

    @property
    def label(self) -> str:
        """The search in words: its row, and the epochs of a network's."""
        return self._words if self.of_fits else f"{self._words}, {self.routine.epochs} epochs"

    @property
    def of_fits(self) -> bool:
        """Whether it fits an estimator, which has no epochs."""
        return self.routine.learner == "estimator"

    @property
    def _words(self) -> str:
        trial = self.experiment.trial(0)
        return f"{method_label(trial)}, {trial.data.title}, {setting_label(trial.data)}, {network_label(trial)}"

    @property
    def planned_epochs(self) -> int:
        """The epochs that it trains where no trial fails."""
        total = 0
        for start in range(0, self.tune.trials, self.tune.generation):
            alive, before = min(self.tune.generation, self.tune.trials - start), 0
            for until, keep in rungs(alive, self.routine.epochs, self.tune.prune):
                total += alive * (until - before) * len(self.seeds)
                alive, before = min(alive, keep), until
        return total

    @property
    def planned_trainings(self) -> float:
        """How many trainings of the report take as many epochs."""
        return self.planned_epochs / self.experiment.trial(0).training.epochs

    def trials(self, found: Configuration) -> list[Trial]:
        """The trainings of a configuration, one for each seed."""
        words = {"base": self.base_training, "stage": "tune", "val_per_class": self.val_per_class, "val": self.tune.val}
        return [self.tuning_experiment.trial(seed, self.changed_values(found), **words) for seed in self.seeds]

    def prerequisites(self) -> list[Trial]:
        """The trials whose networks all of its trials start from."""
        return [start for trial in self.default_trials() for start in prerequisites(trial, self.starts_from)]

    def default_trials(self) -> list[Trial]:
        """The trials of its first configuration, the defaults."""
        return self.trials(Configuration(0, {name: dimension.default for name, dimension in self.space.items()}))


def searches(spec: Spec) -> dict[str, Search]:
    """The search of each row that has one, by the row's canonical text. SpecError where ``tune`` asks for what is not
    there: a parameter, a metric, a group without classes."""
    from ..registry.methods import recipe_of
    from .space import spaces

    if spec.tune is None:
        return {}
    validation.check_name(spec.tune.metric)
    planned = [
        Search(experiment, space, spec.tune, spec, recipe_of(experiment.trial(0), spec.plugins).needs())
        for experiment, space in spaces(spec)
        if space and not why_not_tried(experiment.trial(0))
    ]
    for search in planned:
        _check_validation(search)
        counts = long_tail(search.experiment.data, search.val_per_class)
        validation.check(spec.tune.metric, search.experiment.data, counts, spec.shots)
    return {search.experiment.canonical: search for search in planned}


def _check_validation(search: Search) -> None:
    smallest = min(dataset_of(search.experiment.data).available)
    if search.val_per_class >= smallest:
        raise SpecError(
            f"tune.val_per_class: {search.val_per_class} leaves nothing to train on: {search.experiment.data.name} has "
            f"{smallest} images in its smallest class"
        )


def rungs(size: int, epochs: int, prune: bool) -> list[tuple[int, int]]:
    """Successive halving. Four configurations cost what two cost without it: a quarter of the epochs each, another for
    two, the rest for one.

    Args:
        size: How many configurations begin.
        epochs: Of a whole training.
        prune: Whether any is stopped early.

    Returns:
        After so many epochs, so many go on; none after the last.
    """
    halvings = [(epochs // 4, max(1, size // 2)), (epochs // 2, max(1, size // 4))] if prune else []
    return [(until, keep) for until, keep in halvings if until] + [(epochs, 0)]


def work_ahead(search: Search, start: int) -> float:
    """The work that can only be done one after the other from trial ``start`` on: a trial of each generation that is
    left, and one of the report."""
    from ..training.cost import estimate_flops

    (first, *_), plugins = search.default_trials(), search.spec.plugins
    left = -(-(search.tune.trials - start) // search.tune.generation)
    return left * estimate_flops(first, plugins) + estimate_flops(
        search.experiment.trial(search.spec.seeds[0]), plugins
    )
