"""What a run shows while it trains: a live table on a terminal, plain lines elsewhere, and progress.json for other
shells."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group
from rich.live import Live

from ..planning.prepare import PreparedRun
from ..spec.labels import label
from ..spec.schema import Trial
from ..storage.record import Record
from ..text import printable
from ..tracking.background import Tracker
from ..tracking.uri import masked, tracking_uri
from ..training.cost import estimate_flops
from ..tuning.configuration import Configuration
from ..tuning.search import Search
from .display import render
from .progress import RunProgress
from .status_file import StatusFileWriter

READ_SECONDS = 1.0  # of earlier records at a time, between two looks at the run


class ProgressReporter:
    """A RunObserver that tells the user on stderr, and hands everything on to MLflow's thread.

    Its own two threads, which draw and write, only look; the lock of the progress keeps what they see of one piece.
    """

    def __init__(self, console: Console, prepared: PreparedRun, tracker: Tracker) -> None:
        self._console, self._tracker, self._request = console, tracker, prepared.request
        self._spec, self._store, plan = prepared.request.spec, prepared.store, prepared.request.plan
        self._addresses, self._note = {"mlflow": masked(tracking_uri(self._spec, self._store)), "dashboard": ""}, ""
        self._begun = time.monotonic()
        self._progress = RunProgress(self._spec.shots, lambda trial: estimate_flops(trial, self._spec.plugins))
        self._progress.look(self._store.finished(), prepared.outcomes)
        self._progress.add(self._spec, prepared.results, self._request.report, self._request.defaults)
        self._progress.expect(plan.prerequisites if self._request.report else ())
        self._live = Live(get_renderable=self._view, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> ProgressReporter:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._say("{} of {} trials are already finished".format(*self._progress.finished))
        self._status_file = StatusFileWriter(self._store, self._tell)
        return self

    def __exit__(self, *_: Any) -> None:
        self._live.stop()
        self._status_file.end()

    def on_cluster_start(self, address: str) -> None:
        self._note = f"joining the cluster at {masked(address)} ..." if address else "starting Ray ..."
        self._line(self._note)

    def on_cluster(self, dashboard: str) -> None:
        self._addresses["dashboard"] = masked(f"http://{dashboard}") if dashboard else ""
        self._note = "starting the first trials ..."
        self._tracker.begin()

    def on_waiting(self, reason: str) -> None:
        self._say(reason)

    def on_configurations(self, search: Search, trials: Iterable[Trial]) -> None:
        with self._progress.lock:
            self._progress.propose(search, trials)

    def on_search_end(self, search: Search, winner: Configuration | None) -> None:
        with self._progress.lock:
            self._progress.end_search(search, winner)

    def on_trial_start(self, trial: Trial) -> None:
        with self._progress.lock:
            self._progress.start(trial)

    def on_epoch(self, trial: Trial, line: dict[str, float]) -> None:
        self._note = ""
        self._tracker.epoch(trial, line)
        with self._progress.lock:
            self._progress.epoch(trial, int(line["epoch"]))

    def on_trial_pause(self, trial: Trial) -> None:
        with self._progress.lock:
            self._progress.pause(trial)

    def on_trial_end(self, record: Record) -> None:
        self._tracker.finished(record)
        with self._progress.lock:
            means = self._progress.end(record)
        outcome = ", ".join(f"{group} {mean:.1f}" for group, mean in means.items())
        outcome = outcome or f"{record.status}: {record.reason}"
        stopped = f"stopped after {record.epochs} epochs, " if record.status == "pruned" else ""
        self._outcome(record.trial, f"{stopped}{outcome} ({record.train_seconds:.0f} s)")

    def on_retry(self, trial: Trial, reason: str, pause: float) -> None:
        self.on_trial_pause(trial)
        self._outcome(trial, f"{reason}; tried again in {pause:.0f} s")

    def on_abandoned(self, trial: Trial, reason: str) -> None:
        with self._progress.lock:
            self._progress.abandon(trial)
        self._outcome(trial, f"not finished: {reason}")
        try:
            self._store.write_broken(trial.key, reason)
        except OSError as error:  # a full disk, perhaps what broke the trial; the others may still be told of
            self._say(f"{self._store} does not keep that reason: {error}")

    def _outcome(self, trial: Trial, outcome: str) -> None:
        what = "tuning " if trial.stage == "tune" else ""
        self._line("[{}/{}] {}{}: {}".format(*self._progress.finished, what, label(trial), outcome))

    def _line(self, text: str) -> None:
        """What the live table shows too."""
        if not self._console.is_terminal:
            self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _view(self) -> Group:
        with self._progress.lock:
            facts = self._progress.facts() | {"left": self._progress.seconds_left()}
        return render(facts | {"elapsed": time.monotonic() - self._begun, "note": self._note} | self._addresses)

    def _tell(self) -> dict[str, Any]:
        """What goes into progress.json, after a look at records that were there before, and that the plan did not tell
        of when they were examined: of what a search proposes only now."""
        if self._console.is_terminal:
            self._progress.read(self._store.result, READ_SECONDS)
        with self._progress.lock:
            return {
                "spec": self._spec.name, "report": self._request.report, "defaults": self._request.defaults,
                "planned": self._progress.finished[1], "left": self._progress.seconds_left(),
                "dashboard": self._addresses["dashboard"], "running": tuple(self._progress.running.values()),
                "broken": sorted(self._progress.abandoned),
            }  # fmt: skip
