"""How long a run still takes, by the work that is left and the work done in a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping

from ..spec.schema import Spec, Trial, experiments
from ..training.cost import estimate_flops
from ..tuning.search import Search, planned_epochs
from .run_state import Outlook


class Forecast:
    """An account for each trial that is not finished, one for each search, and one for each reporting trial whose
    values are still sought."""

    def __init__(self, pace: Pace, outlook: Outlook) -> None:
        self._pace, self._outlook = pace, outlook
        self._epoch: dict[str, float] = {}  # the work of an epoch, by account
        self._alias: dict[str, str] = {}  # a reporting trial's account by its key, where its values were sought
        self._at: dict[str, int] = {}  # the epochs of a trial that are done, by key
        self._open: dict[str, int] = {}  # by search, the trials that have not ended
        self._rows: dict[str, list[str]] = {}  # by search, the accounts of the trials that report what it finds
        self._running: set[str] = set()

    def add(
        self,
        spec: Spec,
        found: Mapping[str, Search],
        others: Iterable[Trial],
        done: Collection[str],
        *,
        report: bool,
        defaults: bool,
    ) -> None:
        """A plan, as in :meth:`Outlook.add`; ``done`` are the keys of the finished trials."""
        for experiment in experiments(spec):
            search, first = found.get(experiment.canonical), experiment.trial(spec.seeds[0])
            each = estimate_flops(first, spec.plugins) / first.training.epochs
            trials = [experiment.trial(seed) for seed in spec.seeds] if report else []
            if search:
                self._search(search, each)
                self._rows[search.identity] = [_sought(trial) for trial in trials]
            for trial in trials:
                if search:
                    self._expect(_sought(trial), each, trial.training.epochs)
                if (defaults or not search) and trial.key not in done:
                    self._expect(trial.key, each, trial.training.epochs)
        generators = [trial for search in found.values() for trial in search.prerequisites()]
        for trial in [*(others if report else ()), *generators]:
            if trial.key not in done and not (trial.stage == "tune" and self._outlook.search_of(trial)):
                self._expect(trial.key, estimate_flops(trial, {}) / trial.training.epochs, trial.training.epochs)

    def _search(self, search: Search, each: float) -> None:
        (first, *_), routine = search.default_trials(), search.routine
        if first.val_per_class:  # other images than those of the report
            each = estimate_flops(first, search.spec.plugins) / routine.epochs
        self._expect(search.identity, each, planned_epochs(search))
        self._open[search.identity] = search.tune.trials * len(search.seeds)

    def _expect(self, account: str, each: float, count: int) -> None:
        self._epoch[account] = each
        self._pace.expect(account, each * count)

    def seconds_left(self) -> float | None:
        return self._pace.seconds_left()

    def started(self, trial: Trial) -> None:
        self._running.add(trial.key)
        self._pace.training(len(self._running))

    def rested(self, trial: Trial) -> None:
        self._running.discard(trial.key)

    def epoch(self, trial: Trial, epoch: int) -> None:
        """An epoch, counted from 0, is done. Those before the first that is told were trained in an earlier session;
        one that is told twice was trained again after a kill, and brings nothing nearer."""
        account, at = self._account(trial), self._at.get(trial.key, epoch)
        each = self._epoch.get(account, 0.0)
        if trial.key not in self._at:
            self._pace.skip(account, epoch * each)
        self._pace.did(account, max(0, epoch + 1 - at) * each)
        self._at[trial.key] = max(at, epoch + 1)

    def finished(self, trial: Trial, trained: int) -> None:
        """A trial has ended after so many epochs, in this session or an earlier one."""
        account, search = self._account(trial), self._search_of(trial)
        self._running.discard(trial.key)
        self._pace.skip(account, max(0, trained - self._at.get(trial.key, 0)) * self._epoch.get(account, 0.0))
        self._at[trial.key] = max(trained, self._at.get(trial.key, 0))
        if search is None:
            self._pace.close(account)
            return
        self._open[search.identity] -= 1
        if not self._open[search.identity]:
            self._pace.close(account)

    def broken(self, trial: Trial) -> None:
        """A trial is not finished in this session; nor is a search that needs it, or what would report its values."""
        search = self._search_of(trial)
        self._running.discard(trial.key)
        self._pace.close(self._account(trial))
        for account in self._rows.get(search.identity, ()) if search else ():
            self._pace.close(account)

    def found(self, row: Trial, trial: Trial, done: bool) -> None:
        """A search has ended, as in :meth:`Outlook.found`; ``done``: the trial that reports it is finished."""
        search = self._outlook.search_of(row)
        if search:
            self._pace.close(search.identity)
        if self._alias.get(trial.key) == _sought(row):  # it was told before
            return
        if done or trial.key in self._epoch or trial.key in self._alias:  # another account is already kept of it
            self._pace.close(_sought(row))
        else:
            self._alias[trial.key] = _sought(row)

    def _search_of(self, trial: Trial) -> Search | None:
        return self._outlook.search_of(trial) if trial.stage == "tune" else None

    def _account(self, trial: Trial) -> str:
        search = self._search_of(trial)
        return search.identity if search else self._alias.get(trial.key, trial.key)


def _sought(row: Trial) -> str:
    return f"of {row.key}"


class Pace:
    """Accounts of work, in any one unit. What an earlier session did lessens what is left, and says nothing of how fast
    this one is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[str, float] = {}  # by account
        self._done, self._reports, self._most = 0.0, 0, 0
        self._begun: float | None = None

    def expect(self, account: str, work: float) -> None:
        """So much is to be done on an account, whatever was expected of it before."""
        self._left[account] = work

    def training(self, at_a_time: int) -> None:
        """So many trials train now."""
        if self._begun is None:
            self._begun = self._clock()
        self._most = max(self._most, at_a_time)

    def did(self, account: str, work: float) -> None:
        """So much was done now."""
        self._done += work
        self._reports += 1
        self.skip(account, work)

    def skip(self, account: str, work: float) -> None:
        """So much need not be done: an earlier session did it."""
        if account in self._left:
            self._left[account] = max(0.0, self._left[account] - work)

    def close(self, account: str) -> None:
        """Nothing more is done on an account."""
        self._left.pop(account, None)

    def seconds_left(self) -> float | None:
        """None before as many reports have come in as trials were trained at a time: what those have done that have not
        reported yet is not known, and the first would seem slow."""
        if self._begun is None or self._reports < max(self._most, 1) or self._done <= 0:
            return None
        return sum(self._left.values()) * (self._clock() - self._begun) / self._done
