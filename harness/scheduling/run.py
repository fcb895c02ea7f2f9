"""Runs a prepared run: fills the queue with its trials, each after those that it starts from and each row after its
search, and has Ray Tune prepared through it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ..planning.prepare import PreparedRun, RunRequest
from ..registry.methods import recipe_of
from ..spec.schema import Trial, experiments, prerequisite
from ..storage.store import Store
from ..training.cost import estimate_flops
from ..training.job import Flow, Job, JobFailed
from ..tuning.configuration import best
from ..tuning.optuna_study import create_study
from ..tuning.search import Search
from ..tuning.successive_halving import run_search
from .observer import RunObserver
from .queue import JobQueue


def fill_queue(queue: JobQueue, request: RunRequest, store: Store, storage: Any, observer: RunObserver) -> None:
    """Put all flows of a spec on the queue. ``storage`` is Optuna's, None where nothing is searched."""
    found = request.plan.searches
    kept: dict[str, Search | None] = {t.key: None for search in found.values() for t in search.prerequisites()}
    kept |= {t.key: search for search in found.values() for t in search.default_trials() if t.key in kept}
    for experiment in experiments(request.spec):
        search = found.get(experiment.canonical)
        if search:
            queue.add(tuning_flow(search, queue, request, store, storage, kept, observer))
        if request.report and (request.defaults or search is None):
            for seed in request.spec.seeds:
                queue.add(reporting_flow(experiment.trial(seed), request.spec.plugins, store, observer.on_abandoned))


def reporting_flow(
    trial: Trial, plugins: Mapping[str, str], store: Store, abandon: Callable[[Trial, str], None]
) -> Flow:
    """One trial, after those whose networks it starts from."""
    if store.has(f"records/{trial.key}.json"):
        return
    others = [prerequisite(trial, need) for need in recipe_of(trial, plugins).needs()]
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
        abandon(trial, "not run: the trial whose network it starts from did not end well")
        return
    yield [Job(trial, trial.training.epochs, work_ahead=ahead)]


def tuning_flow(
    search: Search,
    queue: JobQueue,
    request: RunRequest,
    store: Store,
    storage: Any,
    kept: Mapping[str, Search | None],
    observer: RunObserver,
) -> Flow:
    """A row's search, then its trials at the values found."""
    study = create_study(storage, search.name)
    yield from run_search(search, study, store, kept, observer.on_configurations, observer.on_trial_end)
    winner = best(study.configurations()[: search.tune.trials])
    observer.on_search_end(search, winner)
    if winner and request.report:
        for seed in request.spec.seeds:
            trial = search.reporting_trial(winner, seed)
            queue.add(reporting_flow(trial, request.spec.plugins, store, observer.on_abandoned))


def execute(prepared: PreparedRun, observer: RunObserver, slots: int | None, address: str | None) -> bool:
    """Train what is not finished; ``observer`` is told what becomes of it.

    Returns:
        Whether a signal stopped it before the end.
    """
    if address:
        os.environ["RAY_ADDRESS"] = address  # read where ray is imported, in the next line
    from .ray_tune import run_jobs

    spec, store = prepared.request.spec, prepared.store
    queue = JobQueue(store)
    fill_queue(queue, prepared.request, store, prepared.storage.opened if spec.tune else None, observer)
    return run_jobs(queue, prepared.context, spec.resources, observer, slots=slots, address=address).interrupted
