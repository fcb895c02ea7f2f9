"""RunObserver: whom a run tells what it does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..spec.schema import Trial
from ..storage.record import Record
from ..tuning.configuration import Configuration
from ..tuning.search import Search


class RunObserver(Protocol):
    """The events of a run, told in the driver's process and in the order in which they happen.

    A trial may start more than once: a tuning trial rests after each rung, and what was drained or broke goes on later.
    """

    def on_cluster_start(self, address: str) -> None:
        """Ray is about to be started or joined, which takes seconds in which nothing else happens.

        Args:
            address: Of the cluster that is joined; empty where Ray starts on this machine.
        """

    def on_cluster(self, dashboard: str) -> None:
        """Ray is there.

        Args:
            dashboard: HOST:PORT of the dashboard of a cluster that was joined; empty where Ray runs on this machine.
        """

    def on_waiting(self, reason: str) -> None:
        """Nothing trains until the cluster has what trials ask for, or answers again."""

    def on_configurations(self, search: Search, trials: Sequence[Trial]) -> None:
        """A search asks for a generation of configurations, of which these are the trials."""

    def on_search_end(self, search: Search, winner: Configuration | None) -> None:
        """A search has tried all that its budget allows.

        Args:
            search: Which.
            winner: Whose values its row is reported at; None where no configuration finished.
        """

    def on_trial_start(self, trial: Trial) -> None:
        """A worker begins to train a trial, or goes on with it."""

    def on_epoch(self, trial: Trial, line: dict[str, float]) -> None:
        """An epoch is over.

        Args:
            trial: Whose it is.
            line: The epoch's line of the history: ``epoch`` (counted from 0), ``loss``, ``lr`` and the method's own.
        """

    def on_trial_pause(self, trial: Trial) -> None:
        """No worker trains a trial any more: it has ended, rests until its search goes on, was drained or broke."""

    def on_trial_end(self, record: Record) -> None:
        """A trial has its record: complete, failed, diverged, or stopped early by its search (``pruned``)."""

    def on_retry(self, trial: Trial, reason: str, pause: float) -> None:
        """The infrastructure broke a trial, which is tried again.

        Args:
            trial: The trial.
            reason: What broke it, in one line.
            pause: Seconds until then.
        """

    def on_abandoned(self, trial: Trial, reason: str) -> None:
        """This run does not finish a trial, which has no record; the next run tries it again."""
