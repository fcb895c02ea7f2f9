"""The state of a run: for each method and search what is planned, finished, running and failed, and means so far."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum
from typing import Any

from ...leaderboard.metric import GROUPS
from ..metrics.shots import shot_means
from ..spec.labels import method_label
from ..spec.schema import Shots, Spec, Trial, experiments
from ..storage.record import TrialResult
from ..tuning.configuration import Configuration
from ..tuning.search import Search

WELL = ("complete", "pruned")


@dataclass
class Sought:
    """A search, how many trials it takes, and the keys of those that are known."""

    search: Search
    budget: int
    keys: set[str] = field(default_factory=set)


@dataclass
class Row:
    """A method, over all data sets. ``keys``: the trials that it reports; ``open``: the keys, at the row's own values,
    of those whose values are still sought; ``first``: tuning trials whose networks others start from."""

    label: str
    keys: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)
    sought: list[Sought] = field(default_factory=list)
    first: set[str] = field(default_factory=set)

    @property
    def planned(self) -> int:
        return len(self.keys) + len(self.open)

    @property
    def tuning(self) -> set[str]:
        """The tuning trials that are known."""
        return self.first.union(*(one.keys for one in self.sought))

    @property
    def budget(self) -> int:
        """The tuning trials that there will be."""
        known = set[str]().union(*(one.keys for one in self.sought))
        return sum(max(one.budget, len(one.keys)) for one in self.sought) + len(self.first - known)


class Outlook:
    """The rows of one or several plans, by their labels, in the plans' order."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self._of: dict[str, list[Row]] = {}  # by the key of a trial that is known
        self._searched: dict[str, Sought] = {}  # by the key of a reporting trial at its row's own values

    def add(
        self,
        spec: Spec,
        found: Mapping[str, Search],
        others: Iterable[Trial] = (),
        *,
        report: bool = True,
        defaults: bool = False,
    ) -> None:
        """A plan with its searches, by the canonical text of their rows; ``others`` start trials of it."""
        for experiment in experiments(spec):
            search, trials = found.get(experiment.canonical), [experiment.trial(seed) for seed in spec.seeds]
            label = method_label(trials[0])
            row = self._row(label)
            if search:
                sought = Sought(search, search.tune.trials * len(search.seeds))
                row.sought.append(sought)
                self._searched |= {trial.key: sought for trial in trials}
                row.open |= {trial.key for trial in trials if report}
            if report and (defaults or not search):
                self._report(self._row(f"{label}, defaults") if search else row, trials)
        for trial in others if report else ():
            if trial.key not in self._of:
                self._report(self._row(f"{method_label(trial)}, to start from"), [trial])
        for trial in [trial for search in found.values() for trial in search.prerequisites()]:
            self.place(trial)
            if not self._of[trial.key]:
                row = self._row(method_label(trial))
                row.first.add(trial.key)
                self._of[trial.key].append(row)

    def _row(self, label: str) -> Row:
        return self.rows.setdefault(label, Row(label))

    def _report(self, row: Row, trials: Iterable[Trial]) -> None:
        for trial in trials:
            row.keys.add(trial.key)
            rows = self._of.setdefault(trial.key, [])
            if row not in rows:
                rows.append(row)

    def place(self, trial: Trial) -> list[Row]:
        """The rows that a trial is for; none where it is not of these plans."""
        if trial.key not in self._of:
            rows = self._of[trial.key] = []
            for row in self.rows.values() if trial.stage == "tune" else ():
                asking = [sought for sought in row.sought if _asks(sought.search, trial)]
                for sought in asking:
                    sought.keys.add(trial.key)
                if asking:
                    rows.append(row)
        return self._of[trial.key]

    def found(self, row: Trial, trial: Trial) -> None:
        """A search has ended: what was ``row`` at its own values is reported as ``trial``."""
        sought = self._searched.get(row.key)
        for place in self.rows.values():
            if sought in place.sought and row.key in place.open:
                sought.budget = len(sought.keys)
                place.open.discard(row.key)
                self._report(place, [trial])

    def search_of(self, trial: Trial) -> Search | None:
        """The search for whose values a trial is trained, or was sought."""
        if trial.key in self._searched and trial.stage == "report":
            return self._searched[trial.key].search
        return next((s.search for row in self.place(trial) for s in row.sought if trial.key in s.keys), None)

    @property
    def known(self) -> set[str]:
        """The keys of all trials that are known and are of these plans."""
        return {key for key, rows in self._of.items() if rows}

    @property
    def total(self) -> int:
        """The trials that there will be; one that is in two rows counts once."""
        unknown = sum(len(row.open) + row.budget - len(row.tuning) for row in self.rows.values())
        return len(self.known) + unknown


def _asks(search: Search, trial: Trial) -> bool:
    """Whether a trial is one of those that a search may propose."""
    experiment = search.tuning_experiment
    if (trial.data, trial.network) != (experiment.data, experiment.network) or trial.seed not in search.seeds:
        return False
    if (trial.method.name, trial.method.plugin) != (experiment.entrant.name, experiment.entrant.plugin):
        return False
    values = {}
    for name, dimension in search.space.items():
        routine, _, field_ = name.partition(".")
        own = trial.method.values.get(name, dimension.default)
        values[name] = getattr(trial.training, field_) if routine == "training" else own
    return trial.key in {one.key for one in search.trials(Configuration(0, values))}


@dataclass(frozen=True)
class Ended:
    """What is kept of a finished trial; of one that was not read yet only that it is finished."""

    status: str = "complete"
    means: Mapping[str, float] = field(default_factory=dict)  # percent, by shot group


def ended(outcome: TrialResult, by: Shots) -> Ended:
    return Ended(outcome.status, shot_means(outcome, by) if outcome.status in WELL else {})


class Scoreboard:
    """What is known of the trials of an outlook: ``ended`` by key, ``running`` the labels of the rows that each running
    trial is for, by key, and ``broken`` what the infrastructure broke once too often."""

    def __init__(self, outlook: Outlook) -> None:
        self.outlook = outlook
        self.ended: dict[str, Ended] = {}
        self.running: dict[str, list[str]] = {}
        self.broken: set[str] = set()

    def facts(self) -> dict[str, Any]:
        """Totals, and a line for each method. ``done`` ended well, ``failed`` did not; the two exclude each other."""
        known = self.outlook.known
        running = Counter(label for labels in self.running.values() for label in labels)
        return {
            "planned": self.outlook.total,
            "done": self._well(known),
            "running": len(self.running),
            "failed": self._failed(known),
            "methods": [
                self._row(row, running[row.label]) for row in self.outlook.rows.values() if row.planned or row.budget
            ],
        }

    def _row(self, row: Row, running: int) -> dict[str, Any]:
        there = [self.ended[key].means for key in row.keys if key in self.ended and self.ended[key].status in WELL]
        means = {}
        for group in GROUPS:
            some = [means_[group] for means_ in there if group in means_]
            if some:
                means[group] = fsum(some) / len(some)
        return {
            "method": row.label,
            "planned": row.planned,
            "done": self._well(row.keys),
            "running": running,
            "failed": self._failed(row.keys | row.tuning),
            "tuning": row.budget,
            "tuned": sum(key in self.ended for key in row.tuning),
            "means": means,
        }

    def _well(self, keys: Iterable[str]) -> int:
        return sum(key in self.ended and self.ended[key].status in WELL for key in keys)

    def _failed(self, keys: Iterable[str]) -> int:
        return sum(self.ended[key].status not in WELL if key in self.ended else key in self.broken for key in keys)
