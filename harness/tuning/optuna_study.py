"""What Optuna proposes and remembers: the only file that imports optuna.

A generation's proposals are a function of the study's seed and of the generations before it, never of what ends first
in its own; so any number of workers, and any kill, leads to the same trials. Each proposal is in Optuna's storage
before it is trained.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from pydantic import FiniteFloat, TypeAdapter, ValidationError

from ..errors import StoreError, first_fault
from ..spec.schema import Value
from ..storage import paths
from ..storage.sqlite import address, local_copy, make_whole
from ..storage.store import Store
from .configuration import Configuration, State
from .dimension import Dimension, Space

InMemory = optuna.storages.InMemoryStorage

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

STATES: dict[TrialState, State] = {
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
STATE_OF_OPTUNA = ("epochs", "seconds", "reason", "keys")  # of a configuration, beside what Optuna has a place for
OPTUNAS = {ours: theirs for theirs, ours in STATES.items()}
STARTUP = 4  # the first configurations of a search, which no model proposes


class Study:
    """One search, as Optuna's storage holds it."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study

    def _trials(self) -> list[FrozenTrial]:
        """By number. StoreError where a word or a number in the file is none that we wrote."""
        try:
            trials = self._study.get_trials(deepcopy=False)
            for number, trial in enumerate(trials):
                _check(trial, number)
        except Exception as error:
            raise _unreadable(paths.STUDIES, error) from error
        return trials

    def configurations(self) -> list[Configuration]:
        """All so far, by number."""
        return [_read(trial) for trial in self._trials()]

    def intermediate_values(self) -> list[dict[int, float]]:
        """By number, the value of each configuration after each number of epochs at which it was judged."""
        return [dict(trial.intermediate_values) for trial in self._trials()]

    def add(self, space: Space, configuration: Configuration, at: Mapping[int, float]) -> None:
        """Add the next configuration, as another storage has it.

        Args:
            space: What is searched.
            configuration: The configuration.
            at: Its values after numbers of epochs.

        Raises:
            ValueError: where it does not fit the space, or itself.
        """
        about = {
            "user_attrs": {name: getattr(configuration, name) for name in STATE_OF_OPTUNA},
            "intermediate_values": dict(at),
        }
        self._study.add_trial(
            _trial(space, configuration.values, OPTUNAS[configuration.state], value=configuration.value, **about)
        )

    @property
    def exhausted(self) -> bool:
        """Whether its space holds nothing that was not proposed."""
        return bool(self._study.user_attrs.get("exhausted"))

    @exhausted.setter
    def exhausted(self, found: bool) -> None:
        self._study.set_user_attr("exhausted", found)

    def generation(self, space: Space, start: int, size: int, sampler: str, seed: int) -> list[Configuration]:
        """A generation of configurations, proposed now where they are not there yet.

        Args:
            space: What is searched.
            start: The number of the first.
            size: How many.
            sampler: Optuna's, by our name.
            seed: Of the sampler.

        Returns:
            They; fewer where the space holds no more that are new.
        """
        trials = self._trials()
        if start <= len(trials) < start + size:  # with fewer than ``start`` the space was used up before
            proposed = propose(space, trials[:start], size, sampler, seed)
            for values in proposed[len(trials) - start :]:
                self._study.add_trial(_trial(space, values, TrialState.RUNNING))
            if len(proposed) < size:
                self.exhausted = True
        return self.configurations()[start : start + size]

    def tell(self, configuration: Configuration, at: Mapping[int, float]) -> None:
        """What came of a configuration; ``at`` is its value after each number of epochs at which it was judged."""
        trial = self._trials()[configuration.number]
        if trial.state != TrialState.RUNNING:
            return
        live = optuna.trial.Trial(self._study, trial._trial_id)
        for name in STATE_OF_OPTUNA:
            live.set_user_attr(name, getattr(configuration, name))
        for epoch in sorted(at.keys() - trial.intermediate_values.keys()):  # a driver killed here left some
            live.report(at[epoch], epoch)
        value = configuration.value if configuration.state == "complete" else None
        self._study.tell(configuration.number, value, OPTUNAS[configuration.state], skip_if_finished=True)

    def importance(self, most: int) -> dict[str, float]:
        """The share of each hyperparameter in what moved the metric, by PED-ANOVA over the first ``most`` trials; empty
        with fewer than four judged.

        Where some were stopped early, all are compared by what they had come to when the first of them were.
        """
        ended = [trial for trial in self._trials()[:most] if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        judged = [trial for trial in ended if trial.value is not None]
        if len(judged) < 4:
            return {}
        alike = optuna.create_study(direction="maximize")
        for trial in judged:
            value = (
                trial.intermediate_values[min(trial.intermediate_values)] if trial.intermediate_values else trial.value
            )
            alike.add_trial(create_trial(value=value, params=trial.params, distributions=trial.distributions))
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        with warnings.catch_warnings(action="ignore"):  # of few trials: the table says so itself
            return optuna.importance.get_param_importances(alike, evaluator=evaluator)


def create_study(storage: optuna.storages.BaseStorage, name: str) -> Study:
    """A study by its name, made now where there is none. StoreError where the one that is there cannot be read."""
    try:
        return Study(optuna.create_study(storage=storage, study_name=name, direction="maximize", load_if_exists=True))
    except Exception as error:
        raise _unreadable(paths.STUDIES, error) from error


def read_study(storage: optuna.storages.BaseStorage, name: str) -> Study | None:
    """A study that is there already; None where there is none. StoreError where it cannot be read."""
    try:
        there = name in optuna.get_all_study_names(storage)
        return Study(optuna.load_study(storage=storage, study_name=name)) if there else None
    except Exception as error:
        raise _unreadable(paths.STUDIES, error) from error


@contextmanager
def open_storage(store: Store, write: bool = True) -> Iterator[optuna.storages.BaseStorage]:
    """Optuna's SQLite storage in a store: a copy, which is written back now and then and at the end. A driver that is
    killed before proposes the same again, and finds what it had trained.

    Args:
        store: Where it is kept.
        write: Whether it is written back.

    Returns:
        A context with the storage.

    Raises:
        StoreError: where the file is damaged, or no run of ours can have made it.
    """
    with local_copy(store, paths.STUDIES, write) as path:
        opened = _open(path, f"{store}/{paths.STUDIES}")
        try:
            yield opened
        finally:
            opened.engine.dispose()


def _open(path: Path, name: str) -> optuna.storages.RDBStorage:
    def make(part: Path) -> None:
        optuna.storages.RDBStorage(address(part)).engine.dispose()

    try:
        make_whole(path, make)
        return optuna.storages.RDBStorage(address(path))
    except Exception as error:  # not SQLite's, of another version of Optuna, or whatever a stranger's words lead to
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> StoreError:
    reason = first_fault(error) if isinstance(error, ValidationError) else f"{error}\n".splitlines()[0]
    reason = reason or type(error).__name__
    return StoreError(f"{name} cannot be read: {reason}; moved away, the next run finds it all again")


def propose(space: Space, earlier: Sequence[FrozenTrial], size: int, sampler: str, seed: int) -> list[dict[str, Value]]:
    """Configurations that were not there before, the defaults first; a function of its arguments.

    Args:
        space: What is searched.
        earlier: Those that were there before.
        size: How many.
        sampler: Optuna's, by our name.
        seed: Of the sampler.

    Returns:
        They; fewer where the space holds no more.
    """
    study = optuna.create_study(direction="maximize", sampler=_configuration_of(sampler, seed, len(earlier)))
    study.add_trials(earlier)
    distributions = {name: _distribution(dimension) for name, dimension in space.items()}
    seen, proposals = [trial.params for trial in earlier], []
    if not earlier:
        proposals.append({name: dimension.default for name, dimension in space.items()})
        study.add_trial(_trial(space, proposals[0], TrialState.RUNNING))
    # A quasi-random sequence starts anew in each generation: what was taken before is passed over first.
    patience = 40 + len(earlier)  # whatever the size: a smaller generation is the beginning of a larger one
    for attempt in range(patience + 10 * max(4, size)):
        if len(proposals) == size:
            break
        if attempt == patience:  # a model may be sure of what it has proposed already
            study.sampler = optuna.samplers.RandomSampler(seed=_fresh(seed, len(earlier)))
        asked = study.ask(distributions)
        values = {name: _readable(asked.params[name], dimension) for name, dimension in space.items()}
        if values in seen or values in proposals:
            study.tell(asked, state=TrialState.FAIL)
        else:
            proposals.append(values)
    left = _left(distributions, seen + proposals, _fresh(seed, len(earlier))) if len(proposals) < size else []
    return [*proposals, *left][:size]


def _left(distributions: Mapping[str, BaseDistribution], seen: Sequence[Any], seed: int) -> list[dict[str, Value]]:
    """What a space of few configurations holds beside those that were seen, in an order drawn by ``seed``."""
    values = []
    for distribution in distributions.values():
        if isinstance(distribution, FloatDistribution):
            return []
        whole = isinstance(distribution, IntDistribution)
        values.append(range(distribution.low, distribution.high + 1) if whole else distribution.choices)  # type: ignore[union-attr]
    if math.prod(map(len, values)) > 10_000:
        return []
    every = [dict(zip(distributions, each, strict=True)) for each in itertools.product(*values)]
    return [every[i] for i in np.random.default_rng(seed).permutation(len(every)) if every[i] not in seen]


def _fresh(seed: int, told: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{told}".encode()).digest()[:4], "big")


def _readable(value: Any, dimension: Dimension) -> Value:
    """A number with four digits that count: more say nothing, and nobody could read them in a table."""
    if dimension.range.choices or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.4g}"), dimension.range.low), dimension.range.high)


def _configuration_of(sampler: str, seed: int, told: int) -> optuna.samplers.BaseSampler:
    """A fresh sampler for each generation, so that a run that goes on draws what an undisturbed one draws."""
    fresh = _fresh(seed, told)
    match sampler:
        case "random":
            return optuna.samplers.RandomSampler(seed=fresh)
        case "qmc":  # one sequence for the whole search: what was taken before is passed over
            return optuna.samplers.QMCSampler(
                seed=seed, scramble=True, independent_sampler=optuna.samplers.RandomSampler(seed=fresh)
            )
        case "gp":
            return optuna.samplers.GPSampler(seed=fresh, n_startup_trials=STARTUP)
    return optuna.samplers.TPESampler(seed=fresh, n_startup_trials=STARTUP, multivariate=True, constant_liar=True)


def _distribution(dimension: Dimension) -> BaseDistribution:
    bounds = dimension.range
    if bounds.choices:
        return CategoricalDistribution(bounds.choices)
    if isinstance(dimension.default, int):
        return IntDistribution(int(bounds.low), int(bounds.high), log=bounds.log)
    return FloatDistribution(bounds.low, bounds.high, log=bounds.log)


def _trial(space: Space, values: Mapping[str, Any], state: TrialState, **told: Any) -> FrozenTrial:
    distributions = {name: _distribution(dimension) for name, dimension in space.items()}
    return create_trial(state=state, params=dict(values), distributions=distributions, **told)


def _check(trial: FrozenTrial, number: int) -> None:
    """ValueError where it is not the configuration of this number, as we write one."""
    if _read(trial).number != number:
        raise ValueError(f"configuration {trial.number} stands where {number} is expected")
    _AT.validate_python(trial.intermediate_values)
    create_trial(state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions)


_CONFIGURATION, _AT = TypeAdapter(Configuration), TypeAdapter(dict[int, FiniteFloat])


def _read(trial: FrozenTrial) -> Configuration:
    about = {name: trial.user_attrs[name] for name in STATE_OF_OPTUNA if name in trial.user_attrs}
    value = trial.value if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) else None
    found = {"number": trial.number, "values": trial.params, "state": STATES[trial.state], "value": value, **about}
    return _CONFIGURATION.validate_python(found)
