"""Who writes to MLflow: a thread of the driver, while trials train. It never makes them wait.

A server that is away costs nothing but its page: what it missed is filled in from the store by the next ``run`` or
``report``.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ... import UserError
from ..errors import StoreError, TrackingError
from ..planning.reported import judges, known_trials
from ..spec.schema import Spec, Trial
from ..storage.lease import is_driven
from ..storage.record import Record
from ..storage.store import Store
from .mlflow_runs import MlflowRuns
from .uri import is_ours, masked, unreachable

if TYPE_CHECKING:
    from .table_rows import Measured, TableRow

AWAY_SECONDS = 1.0, 30.0  # how long a server that did not answer is left alone, at first and at most
GATHER_SECONDS = 5.0  # one request for the lines of so long: each costs the driver time, however few they are
CLOSE_SECONDS = 120.0  # how long a slow server may keep a driver that has nothing else to do
LAST_CALL_SECONDS = 60.0  # beyond that, for a call that is under way

# Of the report of a plan: the tidy rows of its table and those of further metrics; and its files by name.
Contents = Callable[[Spec], "tuple[Sequence[Measured], Mapping[str, bytes]]"]
Item = tuple[Trial, dict[str, float] | Record]  # a trial, and an epoch's line or, once it is finished, its record


def catch_up(spec: Spec, store: Store, trials: Sequence[Trial], contents: Contents | None = None) -> str:
    """Fill in what MLflow misses of the finished trials, and of the report.

    Args:
        spec: The plan.
        store: Where the records are.
        trials: Those of the plan.
        contents: What its report holds; nothing of it is told if not given.

    Returns:
        Why it could not; nothing where it could.
    """
    missing = _missing(store, trials)
    if not missing and spec.name not in store.tracking():
        return ""
    try:
        runs = MlflowRuns(spec, store)
        _fill(runs, missing)
        runs.close(trials)
        if contents:
            _tell(runs, spec, contents)
        store.end_tracking(spec.name)
    except Exception as error:  # whatever mlflow or its server raises: tracking never stops a benchmark
        return _reason(error)
    return ""


def tell_report(spec: Spec, store: Store, contents: Contents) -> str:
    """Write a row of MLflow's table for each of the report, and the report's files, after a run; nothing where MLflow
    has them.

    Args:
        spec: The plan, of which every finished trial has been told.
        store: Where the records are.
        contents: What its report holds.

    Returns:
        Why it could not; nothing where it could.
    """
    if spec.name not in store.tracking():
        return ""
    try:
        _tell(MlflowRuns(spec, store), spec, contents)
        store.end_tracking(spec.name)
    except Exception as error:  # see catch_up
        return _reason(error)
    return ""


class _UnmadeReportError(Exception):
    """The report could not be made: no fault of MLflow's."""


def _made(spec: Spec, contents: Contents) -> tuple[list[TableRow], Mapping[str, bytes]]:
    from .table_rows import table_rows  # imports pandas

    try:
        measured, files = contents(spec)
        return table_rows(measured), files
    except Exception as error:  # see catch_up
        words = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        raise _UnmadeReportError((words.splitlines() or [type(error).__name__])[0]) from error


def _tell(runs: MlflowRuns, spec: Spec, contents: Contents) -> None:
    from .row_runs import ENDED, RowRuns  # imports pandas

    rows, files = _made(spec, contents)
    until = time.monotonic() + CLOSE_SECONDS
    table = RowRuns(runs, until)
    table.tell(rows)
    table.offer_view(rows)
    if all(row.status in ENDED for row in rows):  # what was tuned is not trained at the spec's own values, nor need be
        runs.client.set_terminated(runs.parent, "FINISHED")
    runs.write_files(files, until)


def catch_up_all(store: Store, contents: Contents | None = None) -> str:
    """The same as :func:`catch_up` for every plan of a store, unless a driver is at it, which does so itself."""
    if (not len(store.untracked()) and not store.tracking()) or is_driven(store):
        return ""
    return next(filter(None, (_told_or_why(spec, store, contents) for spec in store.plans())), "")


def _told_or_why(spec: Spec, store: Store, contents: Contents | None) -> str:
    if is_ours(spec):
        return catch_up(spec, store, known_trials(spec, store), contents)
    return unreachable(
        f"only the store says that it is at {masked(str(spec.tracking.uri))}: set MLFLOW_TRACKING_URI to that too"
    )


def _missing(store: Store, trials: Iterable[Trial]) -> list[str]:
    """The finished trials that MLflow lacks, among these and the networks that they may start from, of which a driver
    that was killed may not have told."""
    trials, untracked = [*trials], store.finished() - store.tracked()
    known = {trial.key for trial in trials}
    if untracked - known:
        known |= {trial.key for trial in judges(trials)}
    return sorted(known & untracked)


def _fill(runs: MlflowRuns, keys: Sequence[str], until: float = math.inf) -> None:
    for done, key in enumerate(keys):
        if time.monotonic() > until:
            raise TimeoutError(f"it is slow: {len(keys) - done} finished trials are still to be told")
        try:
            record = runs.store.record(key)
        except (StoreError, FileNotFoundError):
            continue  # the leaderboard tells of it
        runs.finish(record)


def _reason(error: Exception) -> str:
    """What the user is told: an outage passes, and what is missing is filled in; a refusal needs a remedy."""
    if isinstance(error, TrackingError):
        return f"MLflow was not written to: {masked(str(error))}"
    if isinstance(error, _UnmadeReportError):
        return f"MLflow was not told of the report, since it could not be made ({error}); the next report tries again"
    return unreachable(masked((str(error).splitlines() or [type(error).__name__])[0]))


class Tracker:
    """The thread, and the queue that it works off."""

    def __init__(self, spec: Spec, store: Store, trials: Sequence[Trial]) -> None:
        self._spec, self._store = spec, store
        self._trials = {trial.key: trial for trial in trials}
        self._queue: queue.Queue[Item | None] = queue.Queue()
        self._runs: MlflowRuns | None = None
        self._why = ""  # once the thread has ended: why MLflow could not be reached
        self._away, self._away_until, self._closes = AWAY_SECONDS[0], 0.0, math.inf
        self._thread = threading.Thread(target=self._work, name="mlflow", daemon=True)

    def begin(self) -> None:
        """Start the thread. It imports MLflow, and a process that is forked meanwhile, as Ray forks some where it
        starts, would inherit locks that nobody opens: it is started where Ray runs."""
        if self._thread.ident is None:
            self._thread.start()

    def epoch(self, trial: Trial, line: dict[str, float]) -> None:
        """Hand on what an epoch of a trial came to."""
        self._queue.put((trial, line))

    def finished(self, record: Record) -> None:
        """Hand on the record of a trial that has ended."""
        self._queue.put((record.trial, record))

    def close(self) -> str:
        """Write what is left and fill in what was missed. Returns why MLflow could not be reached, or nothing."""
        self._closes = time.monotonic() + CLOSE_SECONDS
        self._queue.put(None)
        self.begin()
        self._thread.join(CLOSE_SECONDS + LAST_CALL_SECONDS)
        if self._thread.is_alive():  # in a call without an end, such as to a database that another has locked
            return unreachable("it does not answer")
        return self._why

    def _finish(self) -> str:
        """Fill in what was missed. Returns why it could not, or nothing."""
        try:
            missing = self._missing()
            if missing or self._runs or self._spec.name in self._store.tracking():
                runs = self._runs or MlflowRuns(self._spec, self._store)
                _fill(runs, missing, self._closes)
                runs.close(self._trials.values())
        except Exception as error:  # see catch_up
            return _reason(error)
        return ""

    def _missing(self) -> list[str]:
        return _missing(self._store, self._trials.values())

    def _work(self) -> None:
        ended = False
        while not ended:
            items = self._gather()
            ended = None in items
            self._write([item for item in items if item])
        self._why = self._finish()

    def _gather(self) -> list[Item | None]:
        """What is to be written; nothing where it is time to ask a server again that was away."""
        wait = max(self._away_until - time.monotonic(), 0.0) if self._away_until else None
        try:
            items = [self._queue.get(timeout=wait)]
        except queue.Empty:
            return []
        until = time.monotonic() + GATHER_SECONDS
        with suppress(queue.Empty):
            while items[-1]:  # None comes last
                items.append(self._queue.get(timeout=max(until - time.monotonic(), 0.0)))
        return items

    def _write(self, items: list[Item]) -> None:
        if time.monotonic() < self._away_until or not (items or self._away_until):
            return
        try:
            runs = self._opened()
            self._trials |= {trial.key: trial for trial, _ in items}
            ended = {trial.key for trial, item in items if isinstance(item, Record)}  # told at once with their history
            for trial in {trial.key: trial for trial, _ in items if trial.key not in ended}.values():
                self._in_time()
                runs.epochs(
                    trial, [line for other, line in items if other.key == trial.key and not isinstance(line, Record)]
                )
            for _, record in items:
                if isinstance(record, Record):
                    self._in_time()
                    runs.finish(record)
            self._away, self._away_until = AWAY_SECONDS[0], 0.0
        except Exception:  # see catch_up
            self._runs, self._away_until = None, time.monotonic() + self._away
            self._away = min(2 * self._away, AWAY_SECONDS[1])

    def _opened(self) -> MlflowRuns:
        """MLflow's runs; where they were out of reach, with what they missed."""
        if self._runs is None:
            runs = MlflowRuns(self._spec, self._store)
            runs.resume()
            _fill(runs, self._missing(), self._closes)
            self._runs = runs
        return self._runs

    def _in_time(self) -> None:
        if time.monotonic() > self._closes:
            raise TimeoutError
