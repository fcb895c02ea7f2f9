"""What a run shows while it trains: a live bar with the table so far on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from .printable import printable
from .rows import method_label, setting_label, shot_means
from .spec import Shots, Trial
from .store import Store
from .tracker import Tracker


class Show:
    """A Watcher that tells the user on stderr, and hands everything on to MLflow's thread."""

    def __init__(self, console: Console, store: Store, done: int, total: int, by: Shots, tracker: Tracker) -> None:
        self._console, self._store, self._by, self._tracker = console, store, by, tracker
        self._done, self._total = done, total
        self._means: dict[str, list[dict[str, float]]] = {}
        self._begun = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._bar.add_task("trials", total=total, completed=done)
        self._live = Live(get_renderable=self._view, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> Show:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._say(f"{self._done} of {self._total} trials are already finished")
        return self

    def __exit__(self, *_: Any) -> None:
        self._live.stop()

    def waiting(self, why: str) -> None:
        self._say(why)

    def started(self, trial: Trial) -> None: ...

    def epoch(self, trial: Trial, line: dict[str, float]) -> None:
        self._tracker.epoch(trial, line)

    def finished(self, trial: Trial) -> None:
        self._tracker.finished(trial)
        record = self._store.record(trial.key)
        self._done += 1
        self._total = max(self._total, self._done)  # a search may need a network that no row is
        self._bar.update(self._task, completed=self._done, total=self._total)
        if record.status in ("complete", "pruned"):
            means = shot_means(record, self._by)
            if trial.stage == "report":
                self._means.setdefault(method_label(trial), []).append(means)
            outcome = ", ".join(f"{group} {mean:.1f}" for group, mean in means.items())
        else:
            outcome = f"{record.status}: {record.reason}"
        stopped = f"stopped after {record.epochs} epochs, " if record.status == "pruned" else ""
        self._line(trial, f"{stopped}{outcome} ({record.train_seconds:.0f} s)")

    def retried(self, trial: Trial, reason: str, pause: float) -> None:
        self._line(trial, f"{reason}; tried again in {pause:.0f} s")

    def broken(self, trial: Trial, reason: str) -> None:
        self._line(trial, f"not finished: {reason}")
        try:
            self._store.write_broken(trial.key, reason)
        except OSError as error:  # a full disk, perhaps what broke the trial; the others may still be told of
            self._say(f"{self._store} does not keep that reason: {error}")

    def _line(self, trial: Trial, outcome: str) -> None:
        if not self._console.is_terminal:
            what = "tuning " if trial.stage == "tune" else ""
            where = f"{trial.data.name}, {setting_label(trial.data)}, seed {trial.seed}"
            self._say(f"[{self._done}/{self._total}] {what}{method_label(trial)}, {where}: {outcome}")

    def _say(self, text: str) -> None:
        self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)

    def _view(self) -> Group:
        table = Table("method", "seeds", *("few", "med", "many", "all"), title="so far, all data sets together")
        for method, found in list(self._means.items()):
            means = {g: np.mean([m[g] for m in found if g in m]) for g in {g for m in found for g in m}}
            cells = (f"{means[g]:.1f}" if g in means else "" for g in ("few", "med", "many", "all"))
            table.add_row(Text(printable(method)), str(len(found)), *cells)
        return Group(table, self._bar)
