"""Runs a prepared run: fills the queue with its trials, each after those that it starts from and each row after its
search, and has Ray Tune work through it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

from ..planning.prepare import Wanted, Work
from ..registry.methods import recipe_of
from ..spec.schema import Trial, cells, needed
from ..storage.store import Store
from ..training.cost import work
from ..training.job import Flow, Job, Lost
from ..tuning.configuration import best
from ..tuning.optuna_study import created, storage
from ..tuning.search import Search
from ..tuning.successive_halving import searching
from .queue import Agenda, Watcher


def fill(agenda: Agenda, wanted: Wanted, store: Store, storage: Any, watcher: Watcher) -> None:
    """Put all flows of a spec on the agenda. ``storage`` is Optuna's, None where nothing is searched."""
    found = wanted.plan.searches
    kept: dict[str, Search | None] = {t.key: None for search in found.values() for t in search.generators()}
    kept |= {t.key: search for search in found.values() for t in search.first() if t.key in kept}
    for cell in cells(wanted.spec):
        search = found.get(cell.canonical)
        if search:
            agenda.add(_tuned(search, agenda, wanted, store, storage, kept, watcher))
        if wanted.report and (wanted.defaults or search is None):
            for seed in wanted.spec.seeds:
                agenda.add(reported(cell.trial(seed), wanted.spec.plugins, store, watcher.broken))


def reported(trial: Trial, plugins: Mapping[str, str], store: Store, broken: Callable[[Trial, str], None]) -> Flow:
    """One trial, after those whose networks it starts from."""
    if store.has(f"records/{trial.key}.json"):
        return
    others = [needed(trial, name) for name in recipe_of(trial, plugins).needs()]
    ahead = work(trial, plugins)
    try:
        yield [Job(other, other.training.epochs, keep=True, ahead=ahead + work(other, {})) for other in others]
        lost = any(store.outcome(other.key).status != "complete" for other in others)
    except Lost:
        lost = True
    if lost:
        broken(trial, "not run: the trial whose network it starts from did not end well")
        return
    yield [Job(trial, trial.training.epochs, ahead=ahead)]


def _tuned(
    search: Search,
    agenda: Agenda,
    wanted: Wanted,
    store: Store,
    storage: Any,
    kept: Mapping[str, Search | None],
    watcher: Watcher,
) -> Flow:
    """A row's search, then its trials at the values found."""
    study = created(storage, search.name)
    yield from searching(search, study, store, kept, watcher.finished)
    winner = best(study.configurations()[: search.tune.trials])
    if winner and wanted.report:
        for seed in wanted.spec.seeds:
            trial = search.final(winner, seed)
            watcher.found(search.cell.trial(seed), trial)
            agenda.add(reported(trial, wanted.spec.plugins, store, watcher.broken))


def execute(work: Work, watcher: Watcher, slots: int | None, address: str | None) -> bool:
    """Train what is not finished; ``watcher`` is told what becomes of it.

    Returns:
        Whether a signal stopped it before the end.
    """
    if address:
        os.environ["RAY_ADDRESS"] = address  # read where ray is imported, in the next line
    from .ray_tune import sweep

    spec, store = work.wanted.spec, work.store
    agenda = Agenda(store)
    with storage(store) if spec.tune else nullcontext() as opened:
        fill(agenda, work.wanted, store, opened, watcher)
        result = sweep(agenda, work.setting, spec.resources, watcher, slots=slots, address=address)
    return result.interrupted
