"""The progress of a run: what is planned, finished, running and failed of each method, and the work that is left.

One walk over the plan gives each trial the rows that it is for and its work; each event then updates one place, from
which the table, progress.json and the time left are taken.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...leaderboard.metric import GROUPS
from ..errors import StoreError
from ..metrics.shots import Outcome, outcome_of
from ..registry.limits import why_not_tried
from ..spec.labels import label, method_label
from ..spec.schema import Shots, Spec, Trial, experiments
from ..storage.record import Record, TrialResult
from ..training.job import fused_trials
from .eta import EtaEstimator, Work
from .status_file import Running

if TYPE_CHECKING:
    from ..tuning.configuration import Configuration
    from ..tuning.results import SearchResult
    from ..tuning.search import Search

UNREAD = Outcome("unread", {})  # of a record that was not read yet: taken for a complete one
WELL, BADLY = (UNREAD.status, "complete", "pruned"), ("failed", "diverged")


@dataclass(eq=False)
class Task(Work):
    """A trial; a reporting trial whose values are still searched; or a search, which stands for those of its ``budget``
    of trials whose ``keys`` are not known yet, and has the epochs of all of them.

    ``rows`` are the labels of what it is for, ``status`` and ``means`` (percent, by shot group) are of its record,
    ``done`` the epochs that are.
    """

    rows: tuple[str, ...] = ()
    tuning: bool = False
    status: str = ""
    means: Mapping[str, float] = field(default_factory=dict)
    done: int = 0
    search: Task | None = None
    budget: int = 1
    keys: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        """The trials that it stands for."""
        return self.budget - len(self.keys)

    def settle(self, outcome: Outcome) -> None:
        """It has ended."""
        self.status, self.means = outcome
        self.epochs = 0


class RunProgress:
    """The tasks of one or several plans: trials by key, searches and what reports them by names of their own.

    Args:
        shots: How Few, Med and Many are counted.
        flops: The operations of a trial; without it no time left can be told.
    """

    def __init__(self, shots: Shots, flops: Callable[[Trial], float] = lambda _: 0.0) -> None:
        self.tasks: dict[str, Task] = {}
        self.running: dict[str, Running] = {}
        self.abandoned: set[str] = set()
        self.lock = threading.RLock()
        self._shots, self._flops, self._recorded = shots, flops, dict[str, Outcome]()
        self._eta, self._places = EtaEstimator(), 1

    def add(self, spec: Spec, results: Mapping[str, SearchResult], report: bool = True, defaults: bool = False) -> None:
        """Walk over a plan.

        Args:
            spec: The plan.
            results: Its searches, by the canonical text of their rows.
            report: Whether more is trained than its searches.
            defaults: Whether tuned rows are reported at their own values too.
        """
        for experiment in experiments(spec):
            result, trials = results.get(experiment.canonical), [experiment.trial(seed) for seed in spec.seeds]
            if why_not_tried(trials[0]):
                continue
            row, flops = method_label(trials[0]), self._flops(trials[0])
            if result:
                pending = {
                    f"{_name(result.search)} {trial.seed}": _task(row, trial, flops) for trial in trials if report
                }
                self._add_search(result, row, pending)
            if report and (defaults or not result):
                for trial in trials:
                    self._join(trial.key, _task(f"{row}, defaults" if result else row, trial, flops))
        for result in results.values():
            self.expect(result.search.prerequisites(), "")
        self.update(results)

    def expect(self, trials: Iterable[Trial], note: str = ", to start from") -> None:
        """Trials from whose networks others start, where they are not known yet."""
        for trial in trials:
            if trial.key not in self.tasks:
                self._join(trial.key, _task(method_label(trial) + note, trial, self._flops(trial)))

    def update(self, results: Mapping[str, SearchResult]) -> None:
        """What searches have come to."""
        for result in results.values():
            for configuration in result.configurations:
                self.propose(result.search, result.search.trials(configuration))
            if result.finished:
                self.end_search(result.search, result.winner)

    def _add_search(self, result: SearchResult, row: str, pending: Mapping[str, Task]) -> None:
        search, tune = result.search, result.search.tune
        first, planned = search.default_trials(), search.planned_epochs
        task = self.tasks.setdefault(_name(search), _task(row, first[0], self._flops(first[0])))
        task.budget = max(tune.trials * len(search.seeds), len(task.keys))
        task.epochs = max(0, planned - sum(one.epochs for one in result.configurations))
        task.serial = -(-tune.trials // tune.generation) * search.routine.epochs / planned
        task.then = [self.tasks.setdefault(name, reports) for name, reports in pending.items()]
        self.propose(search, first)

    def _join(self, key: str, task: Task) -> None:
        """A trial is for these rows, too where it is for others."""
        known = self.tasks.setdefault(key, task)
        known.rows = tuple(dict.fromkeys(known.rows + task.rows))
        self._look(key)

    def look(self, recorded: Iterable[str], outcomes: Mapping[str, Outcome] | None = None) -> None:
        """Records of these keys are there, of which some were read; others may be there too."""
        self._recorded = {key: (outcomes or {}).get(key, UNREAD) for key in recorded}
        for key in self.tasks:
            self._look(key)

    def _look(self, key: str) -> None:
        task, outcome = self.tasks[key], self._recorded.get(key)
        if outcome and not task.status:
            task.settle(outcome)
        elif not outcome:
            task.status, task.means = "", {}

    def propose(self, search: Search, trials: Iterable[Trial]) -> None:
        """A search asks for trials."""
        task = self.tasks[_name(search)]
        for trial in trials:
            task.keys.add(trial.key)
            self._join(trial.key, Task(task.method, task.flops, 0, rows=task.rows, tuning=True, search=task))

    def end_search(self, search: Search, winner: Configuration | None) -> None:
        """A search has ended.

        Args:
            search: Which.
            winner: The values at which what was pending is reported; None where it never is.
        """
        task = self.tasks[_name(search)]
        task.budget, task.epochs = len(task.keys), 0
        for seed in search.spec.seeds:
            pending = f"{_name(search)} {seed}"
            if pending in self.tasks and winner is None:
                self.tasks[pending].epochs = 0
            elif pending in self.tasks and winner:
                self._join(search.reporting_trial(winner, seed).key, self.tasks.pop(pending))

    def start(self, trial: Trial) -> None:
        """A trial is trained."""
        task, training = self.tasks[trial.key], trial.training
        about = {"trial": label(trial), "epochs": training.epochs, "fit": training.learner == "estimator"}
        self.abandoned.discard(trial.key)
        self.running[trial.key] = Running(key=trial.key, rows=task.rows, epoch=task.done, **about)
        self._places = max(self._places, len(self.running))

    def epoch(self, trial: Trial, epoch: int) -> None:
        """An epoch is done, of a fused trial that of all its seeds. Those before the first were trained in an earlier
        session; one that was done before was trained again after a kill.

        Args:
            trial: Of which trial.
            epoch: Its number, counted from 0.
        """
        trained = [each.key for each in fused_trials(trial) if each.key in self.tasks]
        self._eta.heard(trial.key, self.tasks[trial.key], len(trained))
        for key in trained:
            self._reach(key, epoch + 1)
        self.running[trial.key] = self.running[trial.key].model_copy(update={"epoch": epoch + 1})

    def pause(self, trial: Trial) -> None:
        """It is trained no more, for now."""
        self._eta.heard(trial.key, self.tasks[trial.key], 0)
        self.running.pop(trial.key, None)

    def end(self, record: Record) -> Mapping[str, float]:
        """It has ended. Returns its means in percent, by shot group."""
        task, epochs = self.tasks[record.key], record.epochs
        self.pause(record.trial)
        self._eta.observe(task, min(1, epochs), record.train_seconds / max(1, epochs))  # the first, of which none heard
        self._reach(record.key, epochs)
        self._recorded[record.key] = outcome = outcome_of(record, self._shots)
        task.settle(outcome)
        return outcome.means

    def abandon(self, trial: Trial) -> None:
        """It is not finished in this run; nor is its search, nor what would report that."""
        self.pause(trial)
        self.abandoned.add(trial.key)
        task = self.tasks[trial.key]
        for work in (task, *((task.search, *task.search.then) if task.search else ())):
            work.epochs = 0

    def read(self, read: Callable[[str], TrialResult], seconds: float) -> None:
        """Read records that were not read yet, one at least, for so many seconds: a store may hold ten thousand, and be
        far away. The lock is not held meanwhile."""
        end = monotonic() + seconds
        with self.lock:
            unread = [(key, task) for key, task in self.tasks.items() if task.status == UNREAD.status]
        for key, task in unread:
            try:
                outcome = outcome_of(read(key), self._shots)
            except (StoreError, OSError):
                outcome = Outcome("damaged", {})
            with self.lock:
                task.settle(outcome)
            if monotonic() >= end:
                return

    def _reach(self, key: str, epochs: int) -> None:
        task = self.tasks[key]
        work = task.search or task
        work.epochs = max(0, work.epochs - max(0, epochs - task.done))
        task.done = max(epochs, task.done)

    @property
    def finished(self) -> tuple[int, int]:
        """The trials that have a record, and those that there will be; one that is in two rows counts once."""
        tasks = self.tasks.values()
        return sum(bool(task.status) for task in tasks), sum(task.count for task in tasks)

    def seconds_left(self) -> float | None:
        """See :meth:`EtaEstimator.seconds_left`."""
        tasks = [(self.tasks[key], trial.epochs - trial.epoch) for key, trial in self.running.items()]
        running = [(task.search or task, epochs) for task, epochs in tasks]
        return self._eta.seconds_left([task for task in self.tasks.values() if task.epochs], running, self._places)

    def facts(self) -> dict[str, Any]:
        """Totals, and a line for each row that has trials. ``done`` ended well, ``failed`` did not."""
        zeros = dict.fromkeys(("planned", "done", "running", "failed", "tuning", "tuned"), 0)
        names = dict.fromkeys(name for task in self.tasks.values() for name in task.rows)
        rows: dict[str, Any] = {
            name: {"method": name, **zeros, "means": {group: [] for group in GROUPS}} for name in names
        }
        total = {"planned": self.finished[1], "done": 0, "running": len(self.running), "failed": 0}
        for key, task in self.tasks.items():
            well = task.status in WELL
            badly = task.status in BADLY or (not task.status and key in self.abandoned)
            total["done"] += well
            total["failed"] += badly
            for row in (rows[name] for name in task.rows):
                row["failed"] += badly
                row["tuning" if task.tuning else "planned"] += task.count
                row["tuned" if task.tuning else "done"] += well or (task.tuning and task.status in BADLY)
                for group, mean in task.means.items() if not task.tuning else ():
                    row["means"][group].append(mean)
        for name in (name for trial in self.running.values() for name in trial.rows if name in rows):
            rows[name]["running"] += 1
        for row in rows.values():
            row["means"] = {group: fsum(values) / len(values) for group, values in row["means"].items() if values}
        return total | {"methods": [row for row in rows.values() if row["planned"] or row["tuning"]]}


def _name(search: Search) -> str:
    """Plans that differ in how many trials a search may take share its trials."""
    return f"{search.identity} {search.tune.trials}"


def _task(row: str, trial: Trial, flops: float) -> Task:
    epochs = trial.training.epochs
    return Task(trial.method.name, flops / epochs, epochs, rows=(row,), tuning=trial.stage == "tune")
