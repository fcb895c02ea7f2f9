"""What a spec asks to be trained, as flows: each trial after those that it starts from, each row after its search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..planning.dependencies import needed
from ..registry.methods import recipe_of
from ..spec.schema import Spec, Trial, cells
from ..storage.store import Store
from ..training.cost import work
from ..tuning.configuration import best
from ..tuning.optuna_study import created
from ..tuning.search import Search, searches, searching
from .observer import Watcher
from .queue import Agenda, Flow, Job, Lost


@dataclass(frozen=True)
class Wanted:
    """What of a spec is to be done: its searches, its report, its rows at their own values beside the tuned ones; and
    ``again`` what failed the last time."""

    spec: Spec
    report: bool = True
    defaults: bool = False
    again: bool = False


def fill(agenda: Agenda, wanted: Wanted, store: Store, storage: Any, watcher: Watcher) -> None:
    """Put all flows of a spec on the agenda. ``storage`` is Optuna's, None where nothing is searched."""
    found = searches(wanted.spec)
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
