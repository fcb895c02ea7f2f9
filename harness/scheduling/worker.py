"""One job in a worker's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from ..spec.schema import Trial
from ..storage.store import Store
from ..training.job import Job, is_done
from ..training.trial import Drained, TrialContext, TrialMoved, run_trial
from .timeouts import StackDumpWatchdog


def run_job(
    config: Mapping[str, Any],
    context: TrialContext,
    report: Callable[[dict[str, float]], None],
    draining: Callable[[str], bool | None],
) -> Literal["whole", "rung", ""]:
    """Train what ``config`` names, unless the store has it: a finished trial never runs again.

    ``draining`` is asked with the trial's key: whether to stop; None where this process has lost it to another.
    What the store holds of it now: its record, only that of a rung, or nothing where it was drained.
    """
    trial, until = Trial.model_validate_json(config["trial"]), config["until"]
    store = Store(context.store)
    job = Job(trial, until, keep_weights=trial.key in context.kept)
    if not is_done(job, store):
        alone = replace(context, alone=config["gpu"] >= 1)

        def heard(line: dict[str, float]) -> None:
            watchdog.heard()
            report(line)

        try:
            with StackDumpWatchdog(context.time_limit, partial(store.write_silent, trial.key)) as watchdog:
                run_trial(trial, alone, heard, lambda: draining(trial.key), until)
        except Drained:
            return ""
        except TrialMoved:
            if not is_done(job, store):
                raise
    if not store.has(f"records/{trial.key}.json"):
        return "rung"
    store.remove(f"checkpoints/{trial.key}.pt")  # where an earlier try could write its record and then no more
    return "whole"
