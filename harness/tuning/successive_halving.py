"""Runs a search, generation by generation, by successive halving.

A search is a flow (see ``training/job.py``) without a state of its own: Optuna's storage holds what was proposed, the
store what came of it. Killed anywhere, it comes to the same decisions from the same files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from ..metrics.scores import measured
from ..spec.schema import Trial
from ..storage import paths
from ..storage.reader import StoreReader
from ..storage.record import Record
from ..storage.store import Store
from ..training.cost import estimate_flops
from ..training.job import Flow, Job
from .configuration import Configuration
from .optuna_study import Study
from .search import Search, rungs, work_ahead


def run_search(
    search: Search, study: Study, store: Store, judges: Mapping[str, Search | None], ended: Callable[[Record], None]
) -> Flow:
    """The flow of a whole search. Trials of the keys ``kept`` are trained to their end for others that start from
    them, each beside the search that judges it too, if one does; ``ended`` gets the record of each other trial that was
    stopped early."""
    generators = search.prerequisites()
    yield [
        Job(t, until, keep_weights=until == t.training.epochs, work_ahead=work_ahead(search, 0) + estimate_flops(t, {}))
        for t in generators
        for until in _scoring_epochs(t, judges.get(t.key))
    ]
    ready = all(store.result(trial.key).status == "complete" for trial in generators)
    size = search.tune.generation
    for start in range(0, search.tune.trials, size):
        most = min(size, search.tune.trials - start)
        found = study.generation(search.space, start, most, search.tune.sampler, search.seed)
        if ready and any(c.state == "running" for c in found):
            yield from _generation(search, study, found, store, judges, ended, work_ahead(search, start))
        for configuration in found if not ready else ():
            why = "the trial whose network it starts from did not end well"
            study.tell(replace(configuration, state="failed", reason=why), {})


def _scoring_epochs(trial: Trial, judge: Search | None) -> list[int]:
    """Where a trial that others start from is scored: also where a search judges it, so that it is trained once."""
    if judge is None:
        return [trial.training.epochs]
    return [until for until, _ in rungs(judge.tune.generation, trial.training.epochs, judge.tune.prune)]


def _generation(
    search: Search,
    study: Study,
    found: Sequence[Configuration],
    store: Store,
    judges: Mapping[str, Search | None],
    ended: Callable[[Record], None],
    ahead: float,
) -> Flow:
    """Train one generation, rung by rung, and tell Optuna in the order of the numbers."""
    values: dict[int, dict[int, float]] = {c.number: {} for c in found}
    alive, outcomes = list(found), {}
    for until, keep in rungs(len(found), search.routine.epochs, search.tune.prune):
        yield [
            Job(trial, until, keep_weights=trial.key in judges and until == trial.training.epochs, work_ahead=ahead)
            for c in alive
            for trial in search.trials(c)
        ]
        reached = [evaluate(search, c, until, store) for c in alive]
        for c in reached:
            if c.value is not None:
                values[c.number][until] = c.value
        going = sorted((c for c in reached if c.state == "pruned"), key=lambda c: (-(c.value or 0), c.number))[:keep]
        ending = [c for c in reached if c not in going]
        for c in ending:
            _stop([trial for trial in search.trials(c) if trial.key not in judges], until, store, ended)
        outcomes |= {c.number: c for c in ending}
        alive = sorted(going, key=lambda c: c.number)
    for number in sorted(outcomes):
        study.tell(outcomes[number], values[number])


def evaluate(search: Search, found: Configuration, until: int, store: StoreReader) -> Configuration:
    """What a configuration has come to after so many epochs: the mean over its seeds, or failed with the reason."""
    records = [_record_at(trial, until, store) for trial in search.trials(found)]
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


def _record_at(trial: Trial, until: int, store: StoreReader) -> Record:
    """The rung where there is one, since the trial may have gone on; else the record of one that ended before it."""
    job = Job(trial, until)
    return (
        store.record(trial.key)
        if job.is_final or not store.has(paths.rung(trial.key, until))
        else store.rung(trial.key, until)
    )


def _stop(trials: Iterable[Trial], until: int, store: Store, ended: Callable[[Record], None]) -> None:
    """The trials of a configuration that does not go on: each ends as it is."""
    for trial in trials:
        if not store.has(paths.record(trial.key)):
            ended(store.stop(trial.key, until))
        else:  # it broke, or another search had it trained to its end, and it rested here once more
            store.remove(paths.checkpoint(trial.key))
