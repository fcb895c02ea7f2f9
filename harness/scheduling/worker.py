"""One job in a worker's process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..memory import give_back
from ..storage import paths
from ..storage.store import Store
from ..training.job import Job, TrialContext, fused_trials, is_done
from ..training.stop_decision import StopDecision
from ..training.trial import Drained, TrialMoved, run_trial
from .timeouts import StackDumpWatchdog


def run_job(
    job: Job,
    context: TrialContext,
    report: Callable[[dict[str, float]], None],
    should_stop: Callable[[], StopDecision],
) -> bool:
    """Train a job, unless the store has it: a finished trial never runs again.

    Args:
        job: What to train.
        context: Where things are.
        report: Gets the line of each epoch.
        should_stop: Is asked after each epoch.

    Returns:
        Whether the store has what the job is for; False where it was drained.

    Raises:
        What :func:`run_trial` raises, but for Drained.
    """
    store, key = Store(context.store), job.trial.key
    if not is_done(job, store):
        limit = context.time_limit and context.time_limit * len(fused_trials(job.trial))  # of an epoch of all of them

        def heard(line: dict[str, float]) -> None:
            watchdog.heard()
            report(line)

        try:
            with StackDumpWatchdog(limit, partial(store.write_silent, key)) as watchdog:
                run_trial(job, context, heard, should_stop)
        except Drained:
            return False
        except TrialMoved:
            if not is_done(job, store):
                raise
        finally:
            give_back()
    if store.has(paths.record(key)):
        store.remove(paths.checkpoint(key))  # where an earlier try could write its record and then no more
    return True
