"""The progress of a run: what is planned, finished, running and failed of each method, and the work that is left.

One walk over the plan gives each trial the rows that it is for and its work; each event then updates one place, from
which the table, progress.json and the time left are taken.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...leaderboard.metric import GROUPS
from ..errors import StoreError
from ..metrics.shots import Outcome, outcome_of
from ..spec.labels import label, method_label
from ..spec.schema import Shots, Spec, Trial
from ..storage.record import Record, TrialResult
from ..training.job import fused_trials
from ..tuning.plan_rows import plan_rows
from .eta import EtaEstimator, Work
from .status_file import Running

if TYPE_CHECKING:
    from ..tuning.configuration import Configuration
    from ..tuning.results import SearchResult
    from ..tuning.search import Search

NONE, UNREAD = Outcome("", {}), Outcome("unread", {})  # of no record; of one not read yet, taken for a complete one
WELL, BADLY = (UNREAD.status, "complete", "pruned"), ("failed", "diverged")


@dataclass(eq=False)
class Task(Work):
    """A trial; a reporting trial whose values are still searched; or a search, which stands for those of its ``budget``
    of trials whose ``keys`` are not known yet.

    ``rows`` are the labels of what it is for, ``trained`` the epochs that are done. ``part_of`` is what has its epochs
    too: its search, or the first of the seeds that it is trained with.
    """

    rows: tuple[str, ...] = ()
    tuning: bool = False
    trained: int = 0
    part_of: Task | None = None
    budget: int = 1
    keys: set[str] = field(default_factory=set)

    @property
    def count(self) -> int:
        """The trials that it stands for."""
        return self.budget - len(self.keys)


class RunProgress:
    """The tasks of one or several plans: trials by key, searches and what reports them by names of their own.

    Args:
        shots: How Few, Med and Many are counted.
        flops: The operations of a trial; without it no time left can be told.
    """

    def __init__(self, shots: Shots, flops: Callable[[Trial], float] = lambda _: 0.0) -> None:
        self.tasks: dict[str, Task] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.running: dict[str, Running] = {}
        self.abandoned: set[str] = set()
        self.lock = threading.RLock()
        self._shots, self._flops, self._eta, self._slots = shots, flops, EtaEstimator(), 1

    def look(self, recorded: Iterable[str], outcomes: Mapping[str, Outcome] | None = None) -> None:
        """Records of these keys are there, and no others; of some it is known how they ended."""
        known = self.outcomes | dict(outcomes or {})
        self.outcomes = {key: known.get(key, UNREAD) for key in recorded}

    def add(self, spec: Spec, results: Mapping[str, SearchResult], report: bool = True, defaults: bool = False) -> None:
        """Walk over a plan.

        Args:
            spec: The plan.
            results: Its searches, by the canonical text of their rows.
            report: Whether more is trained than its searches.
            defaults: Whether tuned rows are reported at their own values too.
        """
        for row in plan_rows(spec, results):
            if row.not_tried:
                continue
            if row.found:
                self._add_search(row.found.search, row.trials if report else [])
            if report and (defaults or not row.found):
                self._add_trials(row.trials, method_label(row.first) + ", defaults" * bool(row.found))
        for result in results.values():
            self.expect(result.search.prerequisites(), "")
        self.update(results)

    def expect(self, trials: Iterable[Trial], note: str = ", to start from") -> None:
        """Trials from whose networks others start, where they are not known yet."""
        for trial in trials:
            if trial.key not in self.tasks:
                self._add_trials([trial], method_label(trial) + note)

    def update(self, results: Mapping[str, SearchResult]) -> None:
        """What searches have come to."""
        for result in results.values():
            for configuration in result.configurations:
                self.propose(result.search, result.search.trials(configuration))
            trained = sum(configuration.epochs for configuration in result.configurations)
            self.tasks[_name(result.search)].epochs = max(0, result.search.planned_epochs - trained)
            if result.finished:
                self.end_search(result.search, result.winner)

    def _add_trials(self, trials: Sequence[Trial], row: str) -> None:
        work = self._task(trials[0], row)
        first, *others = [self._join(trial.key, replace(work)) for trial in trials]
        for other in others if trials[0].fused else ():
            other.part_of, first.epochs, other.epochs = first, first.epochs + other.epochs, 0

    def _add_search(self, search: Search, reports: Sequence[Trial]) -> None:
        tune, first = search.tune, search.default_trials()
        task = self.tasks.setdefault(_name(search), self._task(first[0], method_label(search.experiment.trial(0))))
        task.budget = tune.trials * len(search.seeds)
        task.serial = -(-tune.trials // tune.generation) * search.routine.epochs / search.planned_epochs
        task.then = [self._join(_name(search, trial.seed), self._task(trial, task.rows[0])) for trial in reports]
        self.propose(search, first)

    def _task(self, trial: Trial, row: str) -> Task:
        epochs = trial.training.epochs
        return Task(trial.method.name, self._flops(trial) / epochs, epochs, rows=(row,), tuning=trial.stage == "tune")

    def _join(self, key: str, task: Task) -> Task:
        """What a task is for, its trial is for too, where it is known already."""
        known = self.tasks.setdefault(key, task)
        known.rows = tuple(dict.fromkeys(known.rows + task.rows))
        known.epochs = 0 if key in self.outcomes else known.epochs
        return known

    def propose(self, search: Search, trials: Iterable[Trial]) -> None:
        """A search asks for trials."""
        task = self.tasks[_name(search)]
        for trial in trials:
            task.keys.add(trial.key)
            self._join(trial.key, Task(task.method, task.flops, 0, rows=task.rows, tuning=True, part_of=task))

    def end_search(self, search: Search, winner: Configuration | None) -> None:
        """A search has ended.

        Args:
            search: Which.
            winner: The values at which what was pending is reported; None where it never is.
        """
        task = self.tasks[_name(search)]
        task.epochs, task.budget = 0, len(task.keys)
        if winner is None:
            for pending in task.then:
                pending.epochs = 0
            return
        for seed in search.spec.seeds:
            if pending := self.tasks.pop(_name(search, seed), None):
                self._join(search.reporting_trial(winner, seed).key, pending)

    def start(self, trial: Trial) -> None:
        """A trial is trained."""
        task, training = self.tasks[trial.key], trial.training
        about = {"trial": label(trial), "epochs": training.epochs, "fit": training.learner == "estimator"}
        self.abandoned.discard(trial.key)
        self.running[trial.key] = Running(key=trial.key, rows=task.rows, epoch=task.trained, **about)
        self._slots = max(self._slots, len(self.running))

    def epoch(self, trial: Trial, epoch: int) -> None:
        """An epoch is done, of a fused trial that of all its seeds. Those before the first were trained in an earlier
        session; one that was done before was trained again after a kill.

        Args:
            trial: Of which trial.
            epoch: Its number, counted from 0.
        """
        keys = [each.key for each in fused_trials(trial) if each.key in self.tasks]
        trained = [key for key in keys if key == trial.key or key not in self.outcomes]
        self._eta.heard(trial.key, self.tasks[trial.key], len(trained))
        for key in trained:
            self._reach(key, epoch + 1)
        self.running[trial.key] = self.running[trial.key].model_copy(update={"epoch": epoch + 1})

    def _reach(self, key: str, epochs: int) -> None:
        task = self.tasks[key]
        counted = task.part_of or task
        counted.epochs = max(0, counted.epochs - max(0, epochs - task.trained))
        task.trained = max(epochs, task.trained)

    def pause(self, trial: Trial) -> None:
        """It is trained no more, for now."""
        self._eta.heard(trial.key, self.tasks[trial.key], 0)
        self.running.pop(trial.key, None)

    def end(self, record: Record) -> Mapping[str, float]:
        """It has ended. Returns its means in percent, by shot group."""
        task, epochs = self.tasks[record.key], record.epochs
        self.pause(record.trial)
        self._eta.observe(task, min(1, epochs), record.train_seconds / max(1, epochs))  # the first, of which none heard
        searched = task.tuning and task.part_of is not None  # what is not trained of it, the search trains elsewhere
        self._reach(record.key, epochs if searched else record.trial.training.epochs)
        self.outcomes[record.key] = outcome_of(record, self._shots)
        return self.outcomes[record.key].means

    def abandon(self, trial: Trial) -> None:
        """It is not finished in this run; nor is what it is part of, nor what would follow that."""
        self.pause(trial)
        self.abandoned.add(trial.key)
        task = self.tasks[trial.key].part_of or self.tasks[trial.key]
        for work in (task, *task.then):
            work.epochs = 0

    def read(self, read: Callable[[str], TrialResult], seconds: float) -> None:
        """Read records that were not read yet, one at least, for so many seconds: a store may hold ten thousand, and be
        far away. The lock is not held meanwhile."""
        end = monotonic() + seconds
        for key in [key for key in list(self.tasks) if self.outcomes.get(key) is UNREAD]:
            try:
                outcome = outcome_of(read(key), self._shots)
            except (StoreError, OSError):
                outcome = Outcome("damaged", {})
            self.outcomes[key] = outcome
            if monotonic() >= end:
                return

    @property
    def finished(self) -> tuple[int, int]:
        """The trials that have a record, and those that there will be; one that is in two rows counts once."""
        return len(self.tasks.keys() & self.outcomes.keys()), sum(task.count for task in self.tasks.values())

    def seconds_left(self) -> float | None:
        """See :meth:`EtaEstimator.seconds_left`."""
        running = [
            (task.part_of, trial.epochs - trial.epoch) if task.part_of else (task, task.epochs)
            for task, trial in ((self.tasks[key], trial) for key, trial in self.running.items())
        ]
        return self._eta.seconds_left([task for task in self.tasks.values() if task.epochs], running, self._slots)

    def facts(self) -> dict[str, Any]:
        """Totals, and a line for each row that has trials. ``done`` ended well, ``failed`` did not."""
        zeros: dict[str, int] = dict.fromkeys(("planned", "done", "running", "failed", "tuning", "tuned"), 0)
        rows = defaultdict[str, Counter[str]](lambda: Counter(zeros))
        means = defaultdict[str, dict[str, list[float]]](lambda: {group: [] for group in GROUPS})
        total = Counter(planned=0, done=0, failed=0)
        for key, task in self.tasks.items():
            status, found = self.outcomes.get(key, NONE)
            well, badly = int(status in WELL), int(status in BADLY or (not status and key in self.abandoned))
            total.update(planned=task.count, done=well, failed=badly)
            for row in task.rows:
                if task.tuning:
                    rows[row].update(tuning=task.count, tuned=well or int(status in BADLY), failed=badly)
                    continue
                rows[row].update(planned=task.count, done=well, failed=badly)
                for group, mean in found.items():
                    means[row][group].append(mean)
        for row in (row for trial in self.running.values() for row in trial.rows if row in rows):
            rows[row]["running"] += 1
        methods = [
            {"method": row, **counts, "means": {group: fsum(of) / len(of) for group, of in means[row].items() if of}}
            for row, counts in rows.items()
        ]
        return {**total, "running": len(self.running), "methods": methods}


def _name(search: Search, seed: int | str = "") -> str:
    """Plans that differ in how many trials a search may take share its trials."""
    return f"{search.identity} {search.tune.trials} {seed}"
