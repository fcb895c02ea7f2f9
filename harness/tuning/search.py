"""The search for one row's values: generation by generation, on validation images only, with seeds that no report uses.

A search is a flow (see ``scheduling/queue.py``) and keeps nothing of its own: what was proposed is Optuna's to
remember, what came of it the store's. Killed anywhere, it comes to the same decisions from the same files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ...methods.names import nearest
from ..metrics.validation import METRICS, measured
from ..planning.dependencies import needed
from ..registry.datasets import dataset, long_tail
from ..registry.methods import recipe_of
from ..scheduling.queue import Flow, Job
from ..spec.labels import class_groups, method_label, setting_label
from ..spec.parser import SpecError
from ..spec.schema import PROTOCOL, Cell, Spec, Training, Trial
from ..spec.tune import Tune, Value
from ..storage.record import Record
from ..storage.store import Store
from ..training.cost import work
from .configuration import Configuration
from .halving import ahead, rungs
from .optuna_study import Study
from .space import Space, canonical, spaces

FIRST_SEED = 1000  # of the tuning seeds; those of the report are passed over


@dataclass(frozen=True)
class Search:
    """What is searched of one row: ``space`` holds its dimensions, ``tune`` how; ``starts_from`` names the methods
    whose trained networks its trials start from."""

    cell: Cell
    space: Space
    tune: Tune
    spec: Spec
    starts_from: tuple[str, ...] = ()

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of its trials: never one of the report's."""
        free = (seed for seed in range(FIRST_SEED, FIRST_SEED + len(self.spec.seeds) + self.tune.seeds))
        return [seed for seed in free if seed not in self.spec.seeds][: self.tune.seeds]

    @cached_property
    def base(self) -> Training:
        """The training routine that all rows of a setting share while they are tuned: the report's or a cheaper one."""
        return Training.model_validate(self.cell.training.model_dump() | self.tune.training)

    @cached_property
    def tried(self) -> Cell:
        """The row as it is tuned: what ``tune`` says of the routine goes before the row's own, for equal budgets."""
        entrant = self.cell.entrant
        own = {name: value for name, value in entrant.training.items() if name not in self.tune.training}
        return self.cell.model_copy(update={"entrant": entrant.model_copy(update={"training": own})})

    @cached_property
    def routine(self) -> Training:
        """The training routine of its trials, with what is the row's own."""
        return self.tried.trial(0, base=self.base).training

    @cached_property
    def val_per_class(self) -> int:
        """The validation images of each class, cut from the pool before the long tail is."""
        return self.tune.val_per_class or max(1, min(dataset(self.cell.data.name).available) // 10)

    @cached_property
    def identity(self) -> str:
        """The same for searches that propose the same: how many trials they may take is not in it."""
        groups = self.tune.metric in ("val/few", "val/med", "val/many")
        words = [
            f"protocol {PROTOCOL}",
            self.tune.model_copy(update={"trials": 1}).canonical,
            self.cell.canonical,
            self.spec.shots.canonical if groups else "",
            str(self.seeds),
            str(self.val_per_class),
            canonical(self.space),
        ]
        return hashlib.sha256("\n".join(words).encode()).hexdigest()

    def final(self, found: Configuration, seed: int) -> Trial:
        """The reporting trial of a seed at the values found."""
        return self.cell.trial(seed, self.changed(found))

    def changed(self, found: Configuration) -> dict[str, Value]:
        """The values that are not the row's own: those are not said again."""
        return {n: v for n, v in found.values.items() if v != self.space[n].default}

    @property
    def seed(self) -> int:
        """What its sampler draws from."""
        return int(self.identity[:8], 16)

    @property
    def name(self) -> str:
        """The name of its study in Optuna's storage."""
        trial = self.cell.trial(0)
        where = f"{trial.data.name}, {setting_label(trial.data)}, {trial.network}, {self.routine.epochs} epochs"
        return f"{method_label(trial)}, {where} [{self.identity[:12]}]"

    def trials(self, found: Configuration) -> list[Trial]:
        """The trainings of a configuration, one for each seed."""
        words = {"base": self.base, "stage": "tune", "val_per_class": self.val_per_class}
        return [self.tried.trial(seed, self.changed(found), **words) for seed in self.seeds]

    def generators(self) -> list[Trial]:
        """The trials whose networks all of its trials start from."""
        return [needed(trial, name) for trial in self.first() for name in self.starts_from]

    def first(self) -> list[Trial]:
        """The trials of its first configuration, the defaults."""
        return self.trials(Configuration(0, {name: dimension.default for name, dimension in self.space.items()}))


def searches(spec: Spec) -> dict[str, Search]:
    """The search of each row that has one, by the row's canonical text. SpecError where ``tune`` asks for what is not
    there: a parameter, a metric, a group without classes."""
    if spec.tune is None:
        return {}
    if spec.tune.metric not in METRICS:
        known = nearest(spec.tune.metric, METRICS)
        raise SpecError(f"tune.metric: no trial reports {spec.tune.metric!r}{known}; there are {', '.join(METRICS)}")
    found = [
        Search(cell, space, spec.tune, spec, tuple(recipe_of(cell.trial(0), spec.plugins).needs()))
        for cell, space in spaces(spec)
        if space
    ]
    for search in found:
        _check_validation(search)
        _check_groups(search)
    return {search.cell.canonical: search for search in found}


def _check_validation(search: Search) -> None:
    smallest = min(dataset(search.cell.data.name).available)
    if search.val_per_class >= smallest:
        raise SpecError(
            f"tune.val_per_class: {search.val_per_class} leaves nothing to train on: {search.cell.data.name} has "
            f"{smallest} images in its smallest class"
        )


def _check_groups(search: Search) -> None:
    group = search.tune.metric.removeprefix("val/")
    counts = long_tail(search.cell.data, search.val_per_class)
    if group in ("few", "med", "many") and group not in class_groups(counts, search.spec.shots):
        where = f"{search.cell.data.name}, {setting_label(search.cell.data)}"
        raise SpecError(f"tune.metric: no trial reports {search.tune.metric!r}: {where} has no class in {group!r}")


def searching(
    search: Search, study: Study, store: Store, kept: Mapping[str, Search | None], ended: Callable[[Trial], None]
) -> Flow:
    """The flow of a whole search. Trials of the keys ``kept`` are trained to their end for others that start from
    them, each beside the search that judges it too, if one does; ``ended`` hears of each other trial that was stopped
    early."""
    generators = search.generators()
    yield [
        Job(t, until, keep=until == t.training.epochs, ahead=ahead(search, 0) + work(t, {}))
        for t in generators
        for until in _rests(t, kept.get(t.key))
    ]
    ready = all(store.outcome(trial.key).status == "complete" for trial in generators)
    size = search.tune.generation
    for start in range(0, search.tune.trials, size):
        most = min(size, search.tune.trials - start)
        found = study.generation(search.space, start, most, search.tune.sampler, search.seed)
        if ready and any(c.state == "running" for c in found):
            yield from _generation(search, study, found, store, kept, ended, ahead(search, start))
        for configuration in found if not ready else ():
            why = "the trial whose network it starts from did not end well"
            study.tell(replace(configuration, state="failed", reason=why), {})


def _rests(trial: Trial, judge: Search | None) -> list[int]:
    """Where a trial that others start from is scored: also where a search judges it, so that it is trained once."""
    if judge is None:
        return [trial.training.epochs]
    return [until for until, _ in rungs(judge.tune.generation, trial.training.epochs, judge.tune.prune)]


def _generation(
    search: Search,
    study: Study,
    found: Sequence[Configuration],
    store: Store,
    kept: Mapping[str, Search | None],
    ended: Callable[[Trial], None],
    ahead: float,
) -> Flow:
    """Train one generation, rung by rung, and tell Optuna in the order of the numbers."""
    values: dict[int, dict[int, float]] = {c.number: {} for c in found}
    alive, outcomes = list(found), {}
    for until, keep in rungs(len(found), search.routine.epochs, search.tune.prune):
        yield [Job(trial, until, ahead=ahead) for c in alive for trial in search.trials(c)]
        reached = [judged(search, c, until, store) for c in alive]
        for c in reached:
            if c.value is not None:
                values[c.number][until] = c.value
        going = sorted((c for c in reached if c.state == "pruned"), key=lambda c: (-(c.value or 0), c.number))[:keep]
        ending = [c for c in reached if c not in going]
        for c in ending:
            _stop([trial for trial in search.trials(c) if trial.key not in kept], until, store, ended)
        outcomes |= {c.number: c for c in ending}
        alive = sorted(going, key=lambda c: c.number)
    for number in sorted(outcomes):
        study.tell(outcomes[number], values[number])


def judged(search: Search, found: Configuration, until: int, store: Store) -> Configuration:
    """What a configuration has come to after so many epochs: the mean over its seeds, or failed with the reason."""
    records = [_after(trial, until, store) for trial in search.trials(found)]
    about = {
        "epochs": sum(record.epochs for record in records),
        "seconds": sum(record.train_seconds for record in records),
        "keys": tuple(record.key for record in records),
    }
    bad = [record for record in records if record.status in ("failed", "diverged")]
    if bad:
        return replace(found, state="failed", reason=f"{bad[0].status}: {bad[0].reason}", **about)
    value = sum(measured(search.tune.metric, record, search.spec.shots) for record in records) / len(records)
    state = "complete" if until == search.routine.epochs else "pruned"
    return replace(found, state=state, value=value, **about)


def _after(trial: Trial, until: int, store: Store) -> Record:
    """The rung where there is one, since the trial may have gone on; else the record of one that ended before it."""
    job = Job(trial, until)
    return (
        store.record(trial.key) if job.whole or not store.has(f"rungs/{job.id}.json") else store.rung(trial.key, until)
    )


def _stop(trials: Iterable[Trial], until: int, store: Store, ended: Callable[[Trial], None]) -> None:
    """The trials of a configuration that does not go on: each ends as it is."""
    for trial in trials:
        if not store.has(f"records/{trial.key}.json"):
            store.stop(trial.key, until)
            ended(trial)
        else:  # it broke, or another search had it trained to its end, and it rested here once more
            store.remove(f"checkpoints/{trial.key}.pt")
