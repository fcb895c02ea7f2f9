"""One job in a worker's process."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from ..storage import paths
from ..storage.store import Store
from ..training.job import Job, is_done
from ..training.stop_decision import StopDecision
from ..training.trial import Drained, TrialContext, TrialMoved, run_trial
from .timeouts import StackDumpWatchdog

REPORT_SECONDS = 1.0  # of epochs that are told of together: each message costs the driver milliseconds


class EpochLines:
    """The lines of a trial's epochs, on their way to the driver: the first at once, from which on its speed is known,
    and then those of a second together.

    Args:
        send: Gets the lines that are due.
        clock: Seconds.
    """

    def __init__(
        self, send: Callable[[Sequence[dict[str, float]]], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send, self._clock = send, clock
        self._lines: list[dict[str, float]] = []
        self._sent = -REPORT_SECONDS

    def add(self, line: dict[str, float]) -> None:
        """An epoch is over."""
        self._lines.append(line)
        if self._clock() - self._sent >= REPORT_SECONDS:
            self._send(self.rest())
            self._sent = self._clock()

    def rest(self) -> Sequence[dict[str, float]]:
        """Those that were not sent yet, which count as sent from now on."""
        lines, self._lines = self._lines, []
        return lines


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

        def heard(line: dict[str, float]) -> None:
            watchdog.heard()
            report(line)

        try:
            with StackDumpWatchdog(context.time_limit, partial(store.write_silent, key)) as watchdog:
                run_trial(job, context, heard, should_stop)
        except Drained:
            return False
        except TrialMoved:
            if not is_done(job, store):
                raise
    if store.has(paths.record(key)):
        store.remove(paths.checkpoint(key))  # where an earlier try could write its record and then no more
    return True
