"""The rows and trials that the report of a spec shows, once its searches have ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..spec.labels import Labels
from ..spec.schema import Spec, Trial, experiments, plan
from ..storage.reader import StoreReader
from ..tuning.results import SearchResult, search_results


@dataclass(frozen=True)
class ReportedTrial:
    """A trial that a report shows. ``row`` is the row's trial at the spec's own values, by which the row is named;
    ``mark`` tells rows of one method apart, ``protocol`` what was done besides training. ``why`` says why there is no
    such trial (it is then ``row``), and ``failed`` whether it never can be one."""

    trial: Trial
    row: Trial
    mark: str = ""
    protocol: str = ""
    why: str = ""
    failed: bool = False

    @property
    def key(self) -> str:
        return self.keys([self.row.seed])[0]

    def keys(self, seeds: Sequence[int]) -> list[str]:
        """Of the same row's trials of these seeds."""
        keys = self.trial.keys(seeds)
        if self.trial is self.row and not (self.mark or self.why):  # the common case, by the short way
            return keys
        more = " ".join(filter(None, [self.mark, "without values" if self.why else ""]))
        rows = ("" if row == key else f"of {row}" for key, row in zip(keys, self.row.keys(seeds), strict=True))
        # Two rows may come to one trial.
        return [" ".join(filter(None, [key, row, more])) for key, row in zip(keys, rows, strict=True)]


@dataclass(frozen=True)
class ReportRow:
    """A row of a report: trials that differ by their seeds only, of which ``first`` is one. A report of a million
    trials holds its rows, and of the trials the keys."""

    first: ReportedTrial
    seeds: tuple[int, ...]

    @property
    def identity(self) -> tuple[Any, ...]:
        """All that it is but its seeds."""
        return *self.first.keys([0]), self.first.protocol

    @property
    def keys(self) -> list[str]:
        """Of each seed, as in the column ``key`` of the rows."""
        return self.first.keys(self.seeds)

    def each(self) -> Iterator[ReportedTrial]:
        for seed in self.seeds:
            row = _at(self.first.row, seed)
            trial = row if self.first.trial is self.first.row else _at(self.first.trial, seed)
            yield replace(self.first, trial=trial, row=row)


def merge_rows(rows: Iterable[ReportRow]) -> list[ReportRow]:
    """Each row once, with the seeds of all that are it."""
    found: dict[tuple[Any, ...], ReportRow] = {}
    for row in rows:
        other = found.setdefault(row.identity, row)
        if other is not row:
            found[row.identity] = ReportRow(other.first, tuple(dict.fromkeys((*other.seeds, *row.seeds))))
    return list(found.values())


def _at(trial: Trial, seed: int) -> Trial:
    return trial if trial.seed == seed else trial.model_copy(update={"seed": seed})


def report_rows(spec: Spec, found: Mapping[str, SearchResult], defaults: bool = False) -> list[ReportRow]:
    """Every row that the report of a spec shows; with ``defaults`` each tuned row also at the spec's own values. A spec
    may say one twice (see :func:`once`)."""
    protocol = f"tuned by {spec.tune.trials} trials" if spec.tune else ""
    shown = []
    for experiment in experiments(spec):
        search, row = found.get(experiment.canonical) if found else None, experiment.trial(spec.seeds[0])
        shown.append(_final(row, search, protocol) if search else ReportedTrial(row, row, protocol=protocol))
        if search and defaults:
            shown.append(ReportedTrial(row, row, "defaults", protocol))
    return [ReportRow(one, spec.seeds) for one in shown]


def reported_trials(spec: Spec, found: Mapping[str, SearchResult], defaults: bool = False) -> list[ReportedTrial]:
    """Every trial of these rows, each row's together."""
    shown = [one for row in report_rows(spec, found, defaults) for one in row.each()]
    return list({one.key: one for one in shown}.values())


def _final(row: Trial, search: SearchResult, protocol: str) -> ReportedTrial:
    if search.winner is None or not search.finished:
        return ReportedTrial(row, row, protocol=protocol, why=search.unfinished_reason, failed=search.finished)
    return ReportedTrial(search.search.reporting_trial(search.winner, row.seed), row, protocol=protocol)


def known_trials(spec: Spec, store: StoreReader) -> list[Trial]:
    """Every trial of a spec that is known by now."""
    return trials_of(spec, search_results(spec, store, importance=False))


def trials_of(spec: Spec, found: Mapping[str, SearchResult]) -> list[Trial]:
    """Every trial of a spec that is known by now: reported, tuning, or started from."""
    tuning = [t for one in found.values() for c in one.configurations for t in one.search.trials(c)]
    first = [t for one in found.values() for t in one.search.prerequisites()]
    final = [one.trial for one in reported_trials(spec, found)]
    return list({trial.key: trial for trial in (*plan(spec), *first, *tuning, *final)}.values())


def protocol_label(one: ReportedTrial, labels: Labels) -> str:
    return ", ".join(filter(None, [labels.protocol(one.row), one.protocol]))


def row_label(one: ReportedTrial, labels: Labels) -> str:
    return f"{labels.method(one.row)}, {one.mark}" if one.mark else labels.method(one.row)
