"""Runs a search, generation by generation, by successive halving.

A search is a flow (see ``training/job.py``) without a state of its own: Optuna's storage holds what was proposed, the
store what came of it. Killed anywhere, it comes to the same decisions from the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import StoreError
from ..metrics.validation import measured
from ..spec.schema import Trial
from ..storage import paths
from ..storage.reader import StoreReader
from ..storage.record import Record
from ..storage.store import Store
from ..training.job import Flow, Job, record_of
from .configuration import Configuration
from .search import Search, rungs, work_ahead

if TYPE_CHECKING:
    from .optuna_study import Study

NO_START = "the trial whose network it starts from did not end well"
Ended = tuple[Configuration, dict[int, float]]  # a configuration, and its value after each rung that it reached


def run_search(
    search: Search,
    study: Study,
    store: Store,
    judges: Mapping[str, Search | None],
    proposed: Callable[[Search, list[Trial]], None],
    ended: Callable[[Record], None],
) -> Flow:
    """The flow of a whole search.

    Args:
        search: The search.
        study: Its study in Optuna's storage.
        store: Where the records are.
        judges: The keys of trials that are trained to their end, since others start from them; each beside the search
            that judges it too, if one does.
        proposed: Gets the trials of each generation.
        ended: Gets the record of each other trial that was stopped early.

    Returns:
        The flow, which yields the jobs that are to be done before it goes on.
    """
    from ..training.cost import estimate_flops  # imports torch, and who reads a store reads searches too

    generators = [
        Job(t, until, keep_weights=until == t.training.epochs, work_ahead=work_ahead(search, 0) + estimate_flops(t, {}))
        for t in search.prerequisites()
        for until in _scoring_epochs(t, judges.get(t.key))
    ]
    records = yield generators
    ready = all(records[job.id].status == "complete" for job in generators if job.is_final)
    size = search.tune.generation
    for start in range(0, search.tune.trials, size):
        most = min(size, search.tune.trials - start)
        generation = study.generation(search.space, start, most, search.tune.sampler, search.seed)
        proposed(search, [trial for configuration in generation for trial in search.trials(configuration)])
        if ready and any(c.state == "running" for c in generation):
            yield from _generation(search, study, generation, store, judges, ended, work_ahead(search, start))
        for configuration in generation if not ready else ():
            study.tell(replace(configuration, state="failed", reason=NO_START), {})


def _scoring_epochs(trial: Trial, judge: Search | None) -> list[int]:
    """Where a trial that others start from is scored: also where a search judges it, so that it is trained once."""
    if judge is None:
        return [trial.training.epochs]
    return [until for until, _ in rungs(judge.tune.generation, trial.training.epochs, judge.tune.prune)]


def _generation(
    search: Search,
    study: Study,
    configurations: Sequence[Configuration],
    store: Store,
    judges: Mapping[str, Search | None],
    ended: Callable[[Record], None],
    ahead: float,
) -> Flow:
    """Train one generation, rung by rung, and tell Optuna in the order of the numbers."""
    values: dict[int, dict[int, float]] = {c.number: {} for c in configurations}
    alive, outcomes = list(configurations), {}
    for until, keep in rungs(len(configurations), search.routine.epochs, search.tune.prune):
        jobs = {
            c.number: [
                Job(trial, until, keep_weights=trial.key in judges and until == trial.training.epochs, work_ahead=ahead)
                for trial in search.trials(c)
            ]
            for c in alive
        }
        found = yield [job for asked in jobs.values() for job in asked]
        records = {number: [found[job.id] for job in asked] for number, asked in jobs.items()}
        alive, ending = _halve([evaluate(search, c, until, records[c.number]) for c in alive], until, keep, values)
        for c in ending:
            _stop([record for record in records[c.number] if record.key not in judges], store, ended)
        outcomes |= {c.number: c for c in ending}
    for number in sorted(outcomes):
        study.tell(outcomes[number], values[number])


def _halve(
    reached: Sequence[Configuration], until: int, keep: int, values: Mapping[int, dict[int, float]]
) -> tuple[list[Configuration], list[Configuration]]:
    """Of those that have reached a rung who goes on and who ends there; what each came to is added to ``values``."""
    for c in reached:
        if c.value is not None:
            values[c.number][until] = c.value
    going = sorted((c for c in reached if c.state == "pruned"), key=lambda c: (-(c.value or 0), c.number))[:keep]
    return sorted(going, key=lambda c: c.number), [c for c in reached if c not in going]


def outcomes(search: Search, configurations: Sequence[Configuration], store: StoreReader) -> list[Ended | None]:
    """What came of configurations by the records and rungs of their trials.

    Args:
        search: The search.
        configurations: What Optuna says of them.
        store: Where the records are.

    Returns:
        For each the configuration as it ended, with its values after numbers of epochs; None where a record that
        decides is missing. Of one that is said to be running, nothing yet.
    """
    fresh = [Configuration(c.number, c.values) for c in configurations]
    unusable = (store.has(paths.record(t.key)) and store.result(t.key).status for t in search.prerequisites())
    ended: dict[int, Ended] = {}
    if any(status in ("failed", "diverged") for status in unusable):  # what they start from: none was trained
        ended = {c.number: (replace(c, state="failed", reason=NO_START), {}) for c in fresh}
    else:
        for start in range(0, len(fresh), search.tune.generation):
            ended |= _replayed(search, fresh[start : start + search.tune.generation], store)
    ended |= {c.number: (fresh[c.number], {}) for c in configurations if c.state == "running"}
    return [ended.get(c.number) for c in configurations]


def _replayed(search: Search, generation: Sequence[Configuration], store: StoreReader) -> dict[int, Ended]:
    """What came of a generation, by number, as far as the store has what decides."""
    values: dict[int, dict[int, float]] = {c.number: {} for c in generation}
    alive, ended = list(generation), {}
    for until, keep in rungs(len(generation), search.routine.epochs, search.tune.prune):
        try:
            reached = [
                evaluate(search, c, until, [_record_at(trial, until, store) for trial in search.trials(c)])
                for c in alive
            ]
        except (StoreError, FileNotFoundError, ValueError, KeyError):  # what hostile words lead to
            break
        alive, ending = _halve(reached, until, keep, values)
        ended |= {c.number: (c, values[c.number]) for c in ending}
    return ended


def evaluate(search: Search, configuration: Configuration, until: int, records: Sequence[Record]) -> Configuration:
    """What a configuration has come to.

    Args:
        search: The search.
        configuration: Which.
        until: After so many epochs.
        records: Of its trials, there.

    Returns:
        It, with the mean over its seeds, or failed with the reason.
    """
    about = {
        "epochs": sum(record.epochs for record in records),
        "seconds": sum(record.train_seconds for record in records),
        "keys": tuple(record.key for record in records),
    }
    bad = [record for record in records if record.status in ("failed", "diverged")]
    if bad:
        return replace(configuration, state="failed", reason=f"{bad[0].status}: {bad[0].reason}", **about)
    value = sum(measured(search.tune.metric, record, search.spec.shots) for record in records) / len(records)
    state = "complete" if until == search.routine.epochs else "pruned"
    return replace(configuration, state=state, value=value, **about)


def _record_at(trial: Trial, until: int, store: StoreReader) -> Record:
    """What the store holds of a trial at a rung. FileNotFoundError where it is not done there."""
    if (found := record_of(Job(trial, until), store)) is None:
        raise FileNotFoundError(paths.rung(trial.key, until))
    return found


def _stop(records: Iterable[Record], store: Store, ended: Callable[[Record], None]) -> None:
    """The trials of a configuration that does not go on: each ends as it is."""
    for record in records:
        if not store.has(paths.record(record.key)):
            store.write_record(record)
            ended(record)
        else:  # it broke, or another search had it trained to its end, and it rested here once more
            store.remove(paths.checkpoint(record.key))
