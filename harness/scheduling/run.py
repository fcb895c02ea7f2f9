"""Runs a prepared run: fills the queue with its trials, each after those that it starts from and each row after its
search, and has Ray Tune work through it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from ..planning.prepare import PreparedRun, RunRequest
from ..registry.methods import recipe_of
from ..spec.schema import Trial, experiments, prerequisite
from ..storage.store import Store
from ..training.cost import estimate_flops
from ..training.job import Flow, Job, JobFailed
from ..tuning.configuration import best
from ..tuning.optuna_study import create_study, open_storage
from ..tuning.search import Search
from ..tuning.successive_halving import run_search
from .queue import JobQueue, Watcher


def fill_queue(agenda: JobQueue, wanted: RunRequest, store: Store, storage: Any, watcher: Watcher) -> None:
    """Put all flows of a spec on the agenda. ``storage`` is Optuna's, None where nothing is searched."""
    found = wanted.plan.searches
    kept: dict[str, Search | None] = {t.key: None for search in found.values() for t in search.prerequisites()}
    kept |= {t.key: search for search in found.values() for t in search.default_trials() if t.key in kept}
    for cell in experiments(wanted.spec):
        search = found.get(cell.canonical)
        if search:
            agenda.add(tuning_flow(search, agenda, wanted, store, storage, kept, watcher))
        if wanted.report and (wanted.defaults or search is None):
            for seed in wanted.spec.seeds:
                agenda.add(reporting_flow(cell.trial(seed), wanted.spec.plugins, store, watcher.broken))


def reporting_flow(
    trial: Trial, plugins: Mapping[str, str], store: Store, broken: Callable[[Trial, str], None]
) -> Flow:
    """One trial, after those whose networks it starts from."""
    if store.has(f"records/{trial.key}.json"):
        return
    others = [prerequisite(trial, name) for name in recipe_of(trial, plugins).needs()]
    ahead = estimate_flops(trial, plugins)
    try:
        yield [
            Job(other, other.training.epochs, keep_weights=True, work_ahead=ahead + estimate_flops(other, {}))
            for other in others
        ]
        lost = any(store.result(other.key).status != "complete" for other in others)
    except JobFailed:
        lost = True
    if lost:
        broken(trial, "not run: the trial whose network it starts from did not end well")
        return
    yield [Job(trial, trial.training.epochs, work_ahead=ahead)]


def tuning_flow(
    search: Search,
    agenda: JobQueue,
    wanted: RunRequest,
    store: Store,
    storage: Any,
    kept: Mapping[str, Search | None],
    watcher: Watcher,
) -> Flow:
    """A row's search, then its trials at the values found."""
    study = create_study(storage, search.name)
    yield from run_search(search, study, store, kept, watcher.finished)
    winner = best(study.configurations()[: search.tune.trials])
    if winner and wanted.report:
        for seed in wanted.spec.seeds:
            trial = search.reporting_trial(winner, seed)
            watcher.found(search.experiment.trial(seed), trial)
            agenda.add(reporting_flow(trial, wanted.spec.plugins, store, watcher.broken))


def execute(work: PreparedRun, watcher: Watcher, slots: int | None, address: str | None) -> bool:
    """Train what is not finished; ``watcher`` is told what becomes of it.

    Returns:
        Whether a signal stopped it before the end.
    """
    if address:
        os.environ["RAY_ADDRESS"] = address  # read where ray is imported, in the next line
    from .ray_tune import run_jobs

    spec, store = work.wanted.spec, work.store
    agenda = JobQueue(store)
    with open_storage(store) if spec.tune else nullcontext() as opened:
        fill_queue(agenda, work.wanted, store, opened, watcher)
        result = run_jobs(agenda, work.setting, spec.resources, watcher, slots=slots, address=address)
    return result.interrupted
