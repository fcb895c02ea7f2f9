"""What ``tailboard run`` does between a spec and a full store, without a word to the user."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from .check import check_files, check_words
from .needs import Needs, needs
from .spec import Spec, plan
from .store import Store
from .trial import Setting


@dataclass(frozen=True)
class Job:
    """A checked spec and the store that it fills; ``damaged`` says which records are to be made again, and why."""

    spec: Spec
    store: Store
    needed: Needs
    setting: Setting
    damaged: list[str]


def prepare(spec: Spec, store: Store, root: Path | None, verify: bool) -> Job:
    """Check the spec and the files that it still needs, and write the plan. Raises what those checks raise."""
    trials = plan(spec)
    check_words(trials, spec.plugins)
    needed = needs(trials, spec.plugins)
    damaged = store.set_aside_damaged(trial.key for trial in needed.trials)
    done = needed.done(store)
    check_files([trial for trial in needed.trials if trial.key not in done], root, verify)
    store.write_plan(spec)
    setting = Setting(
        store=str(store),
        gpu=spec.resources.gpu > 0,
        root=root,
        verify=verify,
        checkpoint_seconds=spec.resources.checkpoint_seconds,
        plugins=spec.plugins,
        kept=needed.kept,
    )
    return Job(spec, store, needed, setting, damaged)


def execute(job: Job, slots: int | None, address: str | None, console: Console) -> tuple[bool, str]:
    """Train what is not finished, with the progress on ``console``.

    Whether a signal stopped it before the end, and why MLflow could not be written to (or nothing).
    """
    if address:
        os.environ["RAY_ADDRESS"] = address  # read where ray is imported, in the next lines
    from .progress import Show
    from .sweep import sweep
    from .tracker import Tracker

    trials = job.needed.trials
    tracker = Tracker(job.spec, job.store, trials)
    with Show(console, job.store, trials, job.spec.shots, tracker) as show:
        result = sweep(job.needed, job.setting, job.spec.resources, show, slots=slots, address=address)
    return result.interrupted, tracker.close()
