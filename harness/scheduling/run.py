"""Runs a prepared run: fills the queue with its trials, each after those that it starts from and each row after its
search, and has Ray Tune prepared through it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..planning.prepare import PreparedRun
from ..planning.request import RunRequest
from ..registry.methods import recipe_of
from ..spec.schema import Trial, prerequisites
from ..training.cost import estimate_flops
from ..training.job import Flow, Job, JobFailed, fused_trials
from ..tuning.configuration import best
from ..tuning.plan_rows import plan_rows
from ..tuning.search import Search
from ..tuning.successive_halving import run_search
from .observer import RunObserver
from .queue import JobQueue


def fill_queue(queue: JobQueue, request: RunRequest, storage: Any, observer: RunObserver) -> None:
    """Put all flows of a spec on the queue.

    Args:
        queue: The queue.
        request: What is to be done.
        storage: Optuna's; None where nothing is searched.
        observer: Is told what becomes of searches and trials.
    """
    searches = request.plan.searches
    judges: dict[str, Search | None] = {t.key: None for search in searches.values() for t in search.prerequisites()}
    judges |= {t.key: search for search in searches.values() for t in search.default_trials() if t.key in judges}
    for row in plan_rows(request.spec, searches):
        if row.not_tried:
            continue
        if row.found:
            queue.add(tuning_flow(row.found, queue, request, storage, judges, observer))
        if request.report and (request.defaults or not row.found):
            add_reports(queue, row.trials, request, observer)


def add_reports(queue: JobQueue, trials: Iterable[Trial], request: RunRequest, observer: RunObserver) -> None:
    """Put the reporting trials that have no record on the queue.

    Args:
        queue: The queue.
        trials: Those that are reported.
        request: What is to be done.
        observer: Is told of a trial that is given up.
    """
    kept, plugins = request.plan.all_dependencies.prerequisite_keys, request.spec.plugins
    together: dict[Any, list[Trial]] = defaultdict(list)
    for trial in trials:
        if trial.key not in queue.finished:
            together[trial.row_key if trial.fused else trial.key].append(trial)
    for group in together.values():
        queue.add(reporting_flow(group, group[0].key in kept, plugins, observer.on_abandoned))


def reporting_flow(
    trials: Sequence[Trial], keep_weights: bool, plugins: Mapping[str, str], abandon: Callable[[Trial, str], None]
) -> Flow:
    """One trial, or those that are trained as one, after those whose networks they start from.

    Args:
        trials: What is trained. The job of the first trains all; it writes the records of the others too, which their
            own jobs then find.
        keep_weights: Whether others start from its network.
        plugins: The texts of plugin files, by their hashes.
        abandon: Gets the trial and the reason where one that it starts from, or is trained with, did not end well.

    Returns:
        The flow, which yields the jobs that are to be done before it goes on.
    """
    needs = recipe_of(trials[0], plugins).needs()
    seeds = fused_trials(trials[0])
    first = [start for trial in seeds for start in prerequisites(trial, needs)]
    work = len(seeds) * estimate_flops(trials[0], plugins)
    try:
        started = yield [Job.of(t, keep_weights=True, work_ahead=work + estimate_flops(t, {})) for t in first]
        ready = all(record.status == "complete" for record in started.values())
    except JobFailed:
        ready = False
    if not ready:
        for trial in trials:
            abandon(trial, "not run: the trial whose network it starts from did not end well")
        return
    for number, trial in enumerate(trials, start=1):
        try:
            yield [Job.of(trial, keep_weights, work)]
        except JobFailed:
            for other in trials[number:]:
                abandon(other, "not run: the trial with which it is trained did not end well")
            return


def tuning_flow(
    search: Search,
    queue: JobQueue,
    request: RunRequest,
    storage: Any,
    judges: Mapping[str, Search | None],
    observer: RunObserver,
) -> Flow:
    """A row's search, then its trials at the values found.

    Args:
        search: The search.
        queue: Gets the trials that report its winner.
        request: What is to be done.
        storage: Optuna's.
        judges: As in :func:`run_search`.
        observer: Is told of configurations, of trials that end, and of the winner.

    Returns:
        The flow, which yields the jobs that are to be done before it goes on.
    """
    from ..tuning.optuna_study import create_study  # imports optuna

    study = create_study(storage, search.name)
    yield from run_search(search, study, queue.store, judges, observer.on_configurations, observer.on_trial_end)
    winner = best(study.configurations()[: search.tune.trials])
    observer.on_search_end(search, winner)
    if winner and request.report:
        add_reports(queue, [search.reporting_trial(winner, seed) for seed in request.spec.seeds], request, observer)


def execute(prepared: PreparedRun, observer: RunObserver, slots: int | None, address: str | None) -> bool:
    """Train what is not finished.

    Args:
        prepared: What, and where.
        observer: Is told what becomes of it.
        slots: Trials at a time; None fills the machine or the cluster.
        address: A running cluster to join; None starts Ray on this machine.

    Returns:
        Whether a signal stopped it before the end.

    Raises:
        ClusterError: where Ray cannot be had.
    """
    if address:
        os.environ["RAY_ADDRESS"] = address  # read where ray is imported, in the next line
    from .ray_tune import run_jobs

    spec, store = prepared.request.spec, prepared.store
    queue = JobQueue(store)
    fill_queue(queue, prepared.request, prepared.storage.opened if spec.tune else None, observer)
    return run_jobs(queue, prepared.context, spec.resources, observer, slots=slots, address=address).interrupted
