"""What a run shows while it trains: a live picture on a terminal, plain lines elsewhere, and progress.json for other
shells."""

from __future__ import annotations

import threading
import time
from typing import Any

from rich.console import Console, Group
from rich.live import Live

from ..metrics.shots import shot_means
from ..planning.prepare import PreparedRun
from ..spec.labels import method_label, setting_label
from ..spec.schema import Trial
from ..storage import paths
from ..storage.record import Record
from ..text import printable
from ..tracking.background import Tracker
from ..tracking.uri import masked, tracking_uri
from .display import render
from .eta import Forecast, Pace
from .record_reader import Readings
from .run_state import Ended, Outlook, Scoreboard, ended
from .status_file import StatusFileWriter

READ_SECONDS = 1.0  # of earlier records at a time, between two looks at the run


class ProgressReporter:
    """A RunObserver that tells the user on stderr, and hands everything on to MLflow's thread.

    Its own two threads, which draw and write, only look; ``_lock`` keeps what they see of one piece.
    """

    def __init__(self, console: Console, prepared: PreparedRun, tracker: Tracker) -> None:
        self._console, self._tracker, self._lock = console, tracker, threading.RLock()
        self._spec, self._store, self._request = prepared.request.spec, prepared.store, prepared.request
        self._mlflow, self._dashboard = masked(tracking_uri(self._spec, self._store)), ""
        self._running: dict[str, tuple[Trial, int]] = {}  # with the epochs that are done
        self._begun = time.monotonic()
        asked: dict[str, bool] = {"report": self._request.report, "defaults": self._request.defaults}
        outlook, plan = Outlook(), self._request.plan
        outlook.add(self._spec, plan.searches, plan.prerequisites, **asked)
        for trial in prepared.trials:
            outlook.place(trial)
        for row, trial in prepared.chosen:
            outlook.found(row, trial)
        self._board, self._forecast = Scoreboard(outlook), Forecast(Pace(), outlook)
        finished = outlook.known & self._store.finished()
        self._board.ended = dict.fromkeys(finished, Ended())
        self._forecast.add(self._spec, plan.searches, plan.prerequisites, finished, **asked)
        for row, trial in prepared.chosen:
            self._forecast.found(row, trial, trial.key in finished)
        tuning = [trial.key for trial in prepared.trials if trial.stage == "tune" and trial.key in finished]
        self._earlier = Readings(self._store.record, tuning)
        self._live = Live(get_renderable=self._view, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> ProgressReporter:
        if self._console.is_terminal:
            self._earlier.want(self._board.ended)
            self._live.start()
        else:
            self._say(f"{len(self._board.ended)} of {self._board.outlook.total} trials are already finished")
        self._beacon = StatusFileWriter(self._store, self._tell)
        return self

    def __exit__(self, *_: Any) -> None:
        self._live.stop()
        self._beacon.end()

    def on_cluster_start(self, address: str) -> None:
        self._say(f"joining the cluster at {masked(address)} ..." if address else "starting Ray ...")

    def on_cluster(self, dashboard: str) -> None:
        self._dashboard = masked(f"http://{dashboard}") if dashboard else ""

    def on_waiting(self, reason: str) -> None:
        self._say(reason)

    def on_search_end(self, row: Trial, trial: Trial) -> None:
        with self._lock:
            if trial.key not in self._board.ended and self._store.has(paths.record(trial.key)):
                self._board.ended[trial.key] = Ended()
                self._earlier.want([trial.key] if self._console.is_terminal else [])
            self._forecast.found(row, trial, trial.key in self._board.ended)
            self._board.outlook.found(row, trial)

    def on_trial_start(self, trial: Trial) -> None:
        with self._lock:
            self._running[trial.key] = trial, 0
            self._board.running[trial.key] = [row.label for row in self._board.outlook.place(trial)]
            self._board.broken.discard(trial.key)
            self._forecast.started(trial)

    def on_epoch(self, trial: Trial, line: dict[str, float]) -> None:
        self._tracker.epoch(trial, line)
        with self._lock:
            self._running[trial.key] = trial, int(line["epoch"]) + 1
            self._forecast.epoch(trial, int(line["epoch"]))

    def on_trial_pause(self, trial: Trial) -> None:
        with self._lock:
            self._running.pop(trial.key, None)
            self._board.running.pop(trial.key, None)
            self._forecast.rested(trial)

    def on_trial_end(self, record: Record) -> None:
        self._tracker.finished(record)
        trial = record.trial
        means = shot_means(record, self._spec.shots) if record.status in ("complete", "pruned") else {}
        with self._lock:
            self.on_trial_pause(trial)
            self._board.outlook.place(trial)
            self._board.ended[trial.key] = Ended(record.status, means)
            self._forecast.finished(trial, record.epochs)
        outcome = ", ".join(f"{group} {mean:.1f}" for group, mean in means.items())
        outcome = outcome or f"{record.status}: {record.reason}"
        stopped = f"stopped after {record.epochs} epochs, " if record.status == "pruned" else ""
        self._line(trial, f"{stopped}{outcome} ({record.train_seconds:.0f} s)")

    def on_retry(self, trial: Trial, reason: str, pause: float) -> None:
        self.on_trial_pause(trial)
        self._line(trial, f"{reason}; tried again in {pause:.0f} s")

    def on_abandoned(self, trial: Trial, reason: str) -> None:
        with self._lock:
            self.on_trial_pause(trial)
            self._board.broken.add(trial.key)
            self._forecast.broken(trial)
        self._line(trial, f"not finished: {reason}")
        try:
            self._store.write_broken(trial.key, reason)
        except OSError as error:  # a full disk, perhaps what broke the trial; the others may still be told of
            self._say(f"{self._store} does not keep that reason: {error}")

    def _line(self, trial: Trial, outcome: str) -> None:
        if not self._console.is_terminal:
            what = "tuning " if trial.stage == "tune" else ""
            done, total = len(self._board.ended), self._board.outlook.total
            self._say(f"[{done}/{total}] {what}{method_label(trial)}, {where(trial)}: {outcome}")

    def _say(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _view(self) -> Group:
        with self._lock:
            facts = self._board.facts() | {"left": self._forecast.seconds_left()}
        elapsed = time.monotonic() - self._begun
        return render(facts | {"elapsed": elapsed, "dashboard": self._dashboard, "mlflow": self._mlflow})

    def _tell(self) -> dict[str, Any]:
        """What goes into progress.json, after a look at some of the records of earlier sessions."""
        for key, record in self._earlier.read(READ_SECONDS):
            if record is None:  # the leaderboard tells of it
                continue
            with self._lock:
                self._board.ended[key] = ended(record, self._spec.shots)
                if record.trial.stage == "tune":
                    self._forecast.finished(record.trial, record.epochs)
        with self._lock:
            running = [
                {
                    "key": key,
                    "trial": f"{method_label(trial)}, {where(trial)}",
                    "rows": self._board.running.get(key, ()),
                    "epoch": epoch,
                    "epochs": trial.training.epochs,
                }
                for key, (trial, epoch) in self._running.items()
            ]
            return {
                "spec": self._spec.name, "report": self._request.report, "defaults": self._request.defaults,
                "planned": self._board.outlook.total, "left": self._forecast.seconds_left(),
                "dashboard": self._dashboard, "running": running, "broken": sorted(self._board.broken),
            }  # fmt: skip


def where(trial: Trial) -> str:
    return f"{trial.data.name}, {setting_label(trial.data)}, seed {trial.seed}"
