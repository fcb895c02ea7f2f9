"""What ``tailboard run`` and ``tune`` do between a spec and a full store, without a word to the user."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ..scheduling.queue import Agenda
from ..scheduling.run import Wanted, fill
from ..spec.schema import Trial, plan
from ..storage.repair import set_aside, sweep_up
from ..storage.store import Store
from ..training.trial import Setting
from ..tuning.archive import remember
from ..tuning.search import Search, searches
from .dependencies import needs
from .reported import planned, trials_of, tuned
from .validation import check_files, check_words


@dataclass(frozen=True)
class Work:
    """A checked spec and the store that it fills. ``trials``: all that are known; ``found``: the searches, by the
    canonical text of their rows; ``chosen``: the reporting trials of those that have ended, after what they are at
    their rows' own values; ``others``: what trials of the report start from. ``damaged`` says which records are to be
    made again, and why."""

    wanted: Wanted
    store: Store
    trials: list[Trial]
    setting: Setting
    damaged: list[str]
    found: Mapping[str, Search]
    chosen: list[tuple[Trial, Trial]]
    others: list[Trial]


def prepare(wanted: Wanted, store: Store, root: Path | None, verify: bool) -> Work:
    """Check the spec and the files that it still needs, and write the plan. Raises what those checks raise."""
    spec = wanted.spec
    found = searches(spec)
    start = [trial for search in found.values() for trial in search.first()]
    trials = [*plan(spec), *start]
    check_words(trials, spec.plugins)
    needed = needs(trials, spec.plugins)
    sought = tuned(spec, store, found, importance=False)
    there = trials_of(spec, sought)
    every = {trial.key: trial for trial in (*needed.trials, *there)}
    damaged = set_aside(store, every)
    if wanted.again:
        reported = [key for key, trial in every.items() if trial.stage == "report"]
        damaged += set_aside(store, reported, again=("failed", "diverged"))
    sweep_up(store, needed.kept)
    done = needed.done(store)
    check_files([trial for trial in needed.trials if trial.key not in done], root, verify)
    remember(spec, found, store)  # before the plan, which makes a report look for them
    store.write_plan(spec)
    setting = Setting(
        store=str(store),
        gpu=spec.resources.gpu > 0,
        root=root,
        verify=verify,
        checkpoint_seconds=spec.resources.checkpoint_seconds,
        time_limit=spec.resources.time_limit,
        plugins=spec.plugins,
        kept=needed.kept,
    )
    chosen = [(one.row, one.trial) for one in planned(spec, sought) if one.trial is not one.row]
    reported = needs(plan(spec), spec.plugins)
    others = [trial for trial in reported.trials if trial.key in reported.kept]
    return Work(wanted, store, there, setting, damaged, found, chosen, others)


def execute(work: Work, slots: int | None, address: str | None, console: Console) -> tuple[bool, str]:
    """Train what is not finished, with the progress on ``console``.

    Whether a signal stopped it before the end, and why MLflow could not be written to (or nothing).
    """
    if address:
        os.environ["RAY_ADDRESS"] = address  # read where ray is imported, in the next lines
    from ..monitoring.reporter import Show
    from ..scheduling.ray_tune import sweep
    from ..tracking.background import Tracker
    from ..tuning.optuna_study import storage

    spec, store = work.wanted.spec, work.store
    tracker = Tracker(spec, store, work.trials)
    with ExitStack() as stack:
        show = stack.enter_context(Show(console, work, tracker))
        agenda = Agenda(store)
        opened = stack.enter_context(storage(store)) if spec.tune else None
        fill(agenda, work.wanted, store, opened, show)
        result = sweep(agenda, work.setting, spec.resources, show, slots=slots, address=address)
    return result.interrupted, tracker.close()
