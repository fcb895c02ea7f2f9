"""A run as another shell sees it: what its records say, and what its driver tells in progress.json."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..planning.reported import reported_trials, trials_of
from ..spec.schema import Spec
from ..storage import paths
from ..storage.lease import is_driven
from ..storage.record import TrialResult
from ..storage.store import Store
from ..text import duration
from ..tracking.uri import masked, tracking_uri
from ..tuning.archive import load_searches
from ..tuning.results import search_results
from .record_reader import Readings
from .run_state import Ended, Outlook, Scoreboard, ended
from .status_file import Progress, driver_progress, read

READ_SECONDS = 2.0  # of records at a time, before what is known so far is shown


def progress(store: Store) -> tuple[Progress | None, bool, str]:
    """What the store's driver tells, whether there is one, and a word where one of both is missing."""
    told, driven = read(store), is_driven(store)
    if driven and told and driver_progress(told, store):
        return told, True, ""
    if driven:
        return None, True, "a run has begun, and tells nothing yet"
    if told:
        ago = duration(max(0.0, time.time() - told.at))
        return None, False, f"the run was killed (its last word is {ago} old); the same command goes on"
    return None, False, "no run is at it"


class StoreMonitor:
    """A store that is looked at again and again. Each record is read once."""

    def __init__(self, store: Store) -> None:
        self._store, self._plans = store, store.plans()
        self._shown: tuple[Any, ...] | None = None
        self._readings: Readings[TrialResult] = Readings(store.result)
        self._ended: dict[str, Ended | None] = {}  # None of one that is damaged
        self._seen: frozenset[str] | None = None

    def snapshot(self, seconds: float = READ_SECONDS) -> dict[str, Any]:
        """The scoreboard's facts, with what the driver tells; ``driven`` says whether there is one.

        Records that were not read within ``seconds`` count as complete, and their means come with a later look.
        """
        told, driven, note = progress(self._store)
        finished = frozenset(self._store.finished())
        self._arrange(told, finished)
        known = self._board.outlook.known
        self._gather(known & finished, seconds)
        self._board.ended = {
            key: found for key in known & finished if (found := self._ended.get(key, Ended())) is not None
        }
        self._board.running = {one.key: list(one.rows) for one in told.running} if told else {}
        self._board.broken = set(told.broken) if told else self._store.names(*paths.BROKEN) - finished
        facts = self._board.facts()
        if told:
            facts["planned"] = max(facts["planned"], told.planned)
        return {
            "at": time.time(),
            "store": str(self._store),
            "driven": driven,
            "note": note,
            "elapsed": max(0.0, time.time() - told.began) if told else None,
            "left": told.left if told else None,
            "dashboard": told.dashboard if told else "",
            "mlflow": masked(tracking_uri(self._specs[0], self._store)),
            **facts,
            "trials": [one.model_dump(mode="json", exclude={"rows"}) for one in told.running] if told else [],
        }

    def _arrange(self, told: Progress | None, finished: frozenset[str]) -> None:
        """The rows: those of the plan that is run, or of all. Anew for another run, and where values may have been
        found since."""
        shown = (told.spec, told.report, told.defaults, told.began) if told else ()
        if shown != self._shown:
            self._plans = self._store.plans()
        self._specs = [spec for spec in self._plans if not told or spec.name == told.spec] or self._plans
        if shown == self._shown and (finished == self._seen or not any(spec.tune for spec in self._specs)):
            return
        outlook = Outlook()
        for spec in self._specs:
            self._add(outlook, spec, told)
        self._board, self._shown, self._seen = Scoreboard(outlook), shown, finished

    def _add(self, outlook: Outlook, spec: Spec, told: Progress | None) -> None:
        report, defaults = (told.report, told.defaults) if told else (True, False)
        outlook.add(spec, load_searches(spec, self._store), report=report, defaults=defaults)
        found = search_results(spec, self._store, importance=False)
        for trial in trials_of(spec, found):
            outlook.place(trial)
        for one in reported_trials(spec, found):
            if one.trial is not one.row:
                outlook.found(one.row, one.trial)

    def _gather(self, keys: frozenset[str] | set[str], seconds: float) -> None:
        gone = self._ended.keys() - keys
        self._readings.forget(gone)
        for key in gone:
            del self._ended[key]
        self._readings.want(sorted(keys))
        for key, outcome in self._readings.read(seconds):
            shots = self._specs[0].shots
            self._ended[key] = ended(outcome, shots) if outcome else None


def watch(store: Store, every: float) -> Iterator[dict[str, Any]]:
    """What there is to see, every so many seconds, until no run is at the store; the last look reads all records."""
    while is_driven(store) and not store.exists():  # it is still being checked
        time.sleep(every)
    watched = StoreMonitor(store)
    while True:
        facts = watched.snapshot()
        if not facts["driven"]:
            yield watched.snapshot(float("inf"))
            return
        yield facts
        time.sleep(every)
