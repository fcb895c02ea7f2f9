"""The rows and trials that the report of a spec shows, once its searches have ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...methods.ensemble_names import OWN
from ...methods.need import Need
from ..spec.labels import Labels
from ..spec.schema import Spec, Trial, plan, prerequisite, pretraining
from ..storage.reader import StoreReader
from ..tuning.plan_rows import plan_rows
from ..tuning.results import SearchResult, search_results

NOT_TRIED = "not tried: "  # what the reason of such a row begins with
UNTRAINED = "only tailboard run --with-defaults trains this row"


@dataclass(frozen=True)
class ReportedTrial:
    """A trial that a report shows.

    Args:
        trial: The trial; ``row`` where there is none, which ``why`` explains.
        row: The trial of this row and seed at the spec's own values, by which the row is named.
        variant: ``tuned`` (at the values that a search finds), ``defaults`` (what is tuned, at the spec's own values),
            or nothing where the row has no search.
        protocol: What was done besides training, in words.
        why: Why there are no values to train at; nothing where there are.
        failed: Whether there never will be any.
        untrained: Why no run trains it, where none does.
        beside: Of an ensemble, which brings its own estimator: a trial of the estimator or network in whose tables it
            stands.
    """

    trial: Trial
    row: Trial
    variant: str = ""
    protocol: str = ""
    why: str = ""
    failed: bool = False
    untrained: str = ""
    beside: Trial | None = None

    @property
    def pending(self) -> bool:
        """Whether the row has no values to be reported at yet."""
        return bool(self.why)

    @property
    def not_tried(self) -> bool:
        """Whether no run trains the row, since it would take too long: it is told, and waited for by nobody."""
        return self.why.startswith(NOT_TRIED)


@dataclass(frozen=True)
class ReportRow:
    """A row of a report: trials that differ by their seeds only, of which ``first`` is one. A report of a million
    trials holds its rows, and of the trials the keys."""

    first: ReportedTrial
    seeds: tuple[int, ...]

    @property
    def identity(self) -> tuple[Any, ...]:
        """All that it is but its seeds. Two rows may come to one trial."""
        first = self.first
        return *first.trial.keys([0]), first.row.row_key, first.variant, first.pending, first.protocol

    @property
    def keys(self) -> list[str]:
        """The key of each seed's trial; nothing of a trial that is not known yet."""
        return [""] * len(self.seeds) if self.first.pending else self.first.trial.keys(self.seeds)

    def each(self) -> Iterator[ReportedTrial]:
        """The trial of each seed."""
        for seed in self.seeds:
            row = _with_seed(self.first.row, seed)
            trial = row if self.first.trial is self.first.row else _with_seed(self.first.trial, seed)
            yield replace(self.first, trial=trial, row=row)


def beside_networks(rows: Sequence[ReportRow], every: Iterable[ReportRow], labels: Labels) -> list[ReportRow]:
    """The rows, each of an ensemble once for every estimator or network that was fitted to the same data under the
    same conditions, in whose tables it stands; where there is none it has its own.

    Args:
        rows: Of one store.
        every: Of all stores that are reported together.
        labels: How trials are called.
    """
    if not any(row.first.row.network == OWN for row in rows):
        return [*rows]
    beside: dict[tuple[Any, ...], dict[str, Trial]] = {}
    for row in every:
        if row.first.row.network != OWN and row.first.row.training.learner != "images":
            beside.setdefault(_conditions(row), {}).setdefault(labels.protocol(row.first.row), row.first.row)
    placed = []
    for row in rows:
        found = beside.get(_conditions(row), {}) if row.first.row.network == OWN else {}
        placed += [ReportRow(replace(row.first, beside=trial), row.seeds) for trial in found.values()] or [row]
    return placed


def _conditions(row: ReportRow) -> tuple[Any, ...]:
    trial = row.first.row
    return trial.data.canonical, trial.threads, trial.val_per_class, trial.protocol, row.first.protocol


def _with_seed(trial: Trial, seed: int) -> Trial:
    return trial if trial.seed == seed else trial.model_copy(update={"seed": seed})


def merge_rows(rows: Iterable[ReportRow]) -> list[ReportRow]:
    """Each row once, with the seeds of all that are it; it is trained where any of them is."""
    merged: dict[tuple[Any, ...], ReportRow] = {}
    for row in rows:
        known = merged.setdefault(row.identity, row)
        if known is not row:
            first = replace(known.first, untrained=known.first.untrained and row.first.untrained)
            merged[row.identity] = ReportRow(first, tuple(dict.fromkeys((*known.seeds, *row.seeds))))
    return list(merged.values())


def report_rows(
    spec: Spec, results: Mapping[str, SearchResult], defaults: bool = False, protocol: str = "", untrained: str = ""
) -> list[ReportRow]:
    """Every row that the report of a spec shows; a spec may name one twice (see :func:`merge_rows`).

    Args:
        spec: The spec.
        results: What its searches came to, by the canonical text of their rows.
        defaults: Whether each tuned row stands also at the spec's own values.
        protocol: How the spec was tuned, in words.
        untrained: Why no run trains the tuned rows, where none does.
    """
    shown = []
    for planned in plan_rows(spec, results):
        row, result = planned.first, planned.found
        if planned.not_tried:
            shown.append(ReportedTrial(row, row, "", protocol, why=f"{NOT_TRIED}{planned.not_tried}"))
            continue
        if result is None:
            shown.append(ReportedTrial(row, row, "", protocol))
        elif result.winner and result.finished:
            trial = result.search.reporting_trial(result.winner, row.seed)
            shown.append(ReportedTrial(trial, row, "tuned", protocol, untrained=untrained))
        else:
            shown.append(ReportedTrial(row, row, "tuned", protocol, result.unfinished_reason, result.finished))
        if result and defaults:
            shown.append(ReportedTrial(row, row, "defaults", protocol, untrained=UNTRAINED))
    return [ReportRow(first, tuple(dict.fromkeys(spec.seeds))) for first in shown]


def reported_trials(spec: Spec, results: Mapping[str, SearchResult]) -> list[ReportedTrial]:
    """Every trial of these rows, each row's together."""
    return [trial for row in merge_rows(report_rows(spec, results)) for trial in row.each()]


def known_trials(spec: Spec, store: StoreReader) -> list[Trial]:
    """Every trial of a spec that is known by now."""
    return trials_of(spec, search_results(spec, store, importance=False))


def trials_of(spec: Spec, results: Mapping[str, SearchResult]) -> list[Trial]:
    """Every trial of a spec that is known by now: as the spec says, started from, tuning, and at the values found.

    Args:
        spec: The plan.
        results: What its searches came to, by the canonical text of their rows.

    Returns:
        The trials, each once.
    """
    final = [reported.trial for reported in reported_trials(spec, results)]
    return list({trial.key: trial for trial in (*plan(spec), *searched_trials(results), *final)}.values())


def searched_trials(results: Mapping[str, SearchResult]) -> list[Trial]:
    """The trials that searches train: those that others start from, and those of the configurations proposed by now."""
    started_from = [t for result in results.values() for t in result.search.prerequisites()]
    tuning = [t for result in results.values() for c in result.configurations for t in result.search.trials(c)]
    return [*started_from, *tuning]


def judges(trials: Iterable[Trial]) -> list[Trial]:
    """The networks that trials may start from and no table shows: independent ones, and those of their pretraining.

    Args:
        trials: Of any methods; which of them do start from one, only their methods know.

    Returns:
        ERM's trials of other draws, one for each data, network, routine and seed, of which there were none under the
        first protocol; and the pretraining of those that have one.
    """
    trials = list(trials)
    trials += filter(None, map(pretraining, trials))
    needed = [prerequisite(trial, Need("ERM", independent=True)) for trial in trials if trial.protocol > 1]
    return list({trial.key: trial for trial in (*needed, *filter(None, map(pretraining, trials)))}.values())


def protocol_label(reported: ReportedTrial, labels: Labels) -> str:
    """The protocol of a row in words: network, training, and how it was tuned; of an ensemble those of the row that it
    stands beside."""
    return ", ".join(filter(None, [labels.protocol(reported.beside or reported.row), reported.protocol]))


def row_label(reported: ReportedTrial, labels: Labels) -> str:
    """The method of a row in words, with ``defaults`` where that is the variant."""
    method = labels.method(reported.row)
    return f"{method}, defaults" if reported.variant == "defaults" else method
