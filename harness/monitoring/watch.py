"""A run as another shell sees it: what its records say, and what its driver tells in progress.json."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from ..spec.schema import Spec
from ..storage import paths
from ..storage.lease import driver, is_driven
from ..storage.store import Store
from ..text import duration
from ..tracking.uri import masked, tracking_uri
from ..tuning.results import SearchResult, search_results
from .progress import RunProgress
from .status_file import Progress, read

READ_SECONDS = 2.0  # of records at a time, before what is known so far is shown


def progress(store: Store) -> tuple[Progress | None, bool, str]:
    """What the store's driver tells, whether there is one, and a word where one of both is missing."""
    reported, driven = read(store), is_driven(store)
    if driven and reported and driver(store) == (reported.host, reported.pid):
        return reported, True, ""
    if driven:
        return None, True, "a run has begun, and tells nothing yet"
    if reported:
        ago = duration(max(0.0, time.time() - reported.at))
        return None, False, f"the run was killed (its last word is {ago} old); the same command goes on"
    return None, False, "no run is at it"


class StoreMonitor:
    """A store that is looked at again and again. Each record is read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._shown: tuple[Any, ...] | None = None
        self._seen: set[str] | None = None

    def snapshot(self, seconds: float = READ_SECONDS) -> dict[str, Any]:
        """The facts of a progress, with what the driver tells; ``driven`` says whether there is one.

        Records that were not read within ``seconds`` count as complete, and their means come with a later look.
        """
        reported, driven, note = progress(self._store)
        finished = set(self._store.finished())
        self._arrange(reported, finished)
        self._progress.look(finished)
        self._progress.read(self._store.result, seconds)
        self._progress.running = {trial.key: trial for trial in reported.running} if reported else {}
        self._progress.abandoned = set(reported.broken) if reported else self._store.keys(paths.BROKEN) - finished
        facts = self._progress.facts()
        if reported:
            facts["planned"] = max(facts["planned"], reported.planned)
        return {
            "at": time.time(),
            "store": str(self._store),
            "driven": driven,
            "note": note,
            "elapsed": max(0.0, time.time() - reported.began) if reported else None,
            "left": reported.left if reported else None,
            "dashboard": reported.dashboard if reported else "",
            "mlflow": masked(tracking_uri(self._specs[0], self._store)),
            **facts,
            "trials": [trial.model_dump(mode="json", exclude={"rows"}) for trial in reported.running]
            if reported
            else [],
        }

    def _arrange(self, reported: Progress | None, finished: set[str]) -> None:
        """The rows: those of the plan that is run, or of all. Anew for another run; what searches have come to again
        where there are other records."""
        shown = (reported.spec, reported.report, reported.defaults, reported.began) if reported else ()
        if shown != self._shown:
            plans = self._store.plans()
            self._specs = [spec for spec in plans if not reported or spec.name == reported.spec] or plans
            self._progress = RunProgress(self._specs[0].shots)
            for spec in self._specs:
                self._progress.add(spec, self._results(spec), *(shown[1:3] if reported else ()))
        elif finished != self._seen:
            for spec in self._specs:
                self._progress.update(self._results(spec))
        self._shown, self._seen = shown, finished

    def _results(self, spec: Spec) -> dict[str, SearchResult]:
        return search_results(spec, self._store, importance=False)


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
