"""From stores to the leaderboard's files."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from ...leaderboard.join import join_tables
from ...leaderboard.metric import ACCURACY
from ...leaderboard.published.comparison import Routine
from ...leaderboard.results import CELL, NOT_YET
from ..errors import ReportError
from ..planning.reported import ReportRow, merge_rows, protocol_label
from ..planning.reported import report_rows as rows_of
from ..spec.labels import Labels, setting_label
from ..spec.schema import Shots, Spec, Trial
from ..storage import paths
from ..storage.places import WritablePlace
from ..storage.reader import StoreReader
from ..tuning.results import SearchResult, search_results
from . import tuning_tables
from .figure_files import csv_text
from .report import ENDINGS, Report
from .tidy import tidy

if TYPE_CHECKING:
    from ..metrics.rescoring import MetricRequest
    from .bootstrap import TestSetBootstrap


def gather(
    stores: Sequence[StoreReader],
    by: Shots | None = None,
    only: Spec | None = None,
    defaults: bool = False,
    budget: int | None = None,
    rescore: MetricRequest | None = None,
    images: bool = False,
) -> Report:
    """Every planned trial of the stores (or those of ``only``), a trial that several hold once.

    With ``defaults`` each tuned row stands also at the spec's own values; with ``budget`` the searches count as if
    they had ended after so many trials; with ``rescore`` the values are another metric's, from the stored logits;
    with ``images`` the predictions are there too. StoreError where there is no store; ReportError where the budget fits
    nothing, or stores or plans give one row different trials.
    """
    asked = [[only] if only else store.plans() for store in stores]
    plans = [[within(spec, budget) for spec in some] for some in asked]
    specs = [spec for some in plans for spec in some]
    if budget is not None and not any(spec.tune for spec in specs):
        raise ReportError("--budget: nothing was tuned here, so there is no other budget to show")
    protocols = tuning_tables.protocols(specs)
    whole = {spec.canonical for some in asked for spec in some}
    cut = {word for spec, word in protocols.items() if spec not in whole}
    searched = [[search_results(spec, store) for spec in some] for store, some in zip(stores, plans, strict=True)]
    furthest = _furthest(one for some in searched for found in some for one in found.values())
    shown = [
        _shown(some, [{row: furthest[_which(one)] for row, one in each.items()} for each in found], protocols, defaults)
        for some, found in zip(plans, searched, strict=True)
    ]
    labels = Labels(row.first.row for found in shown for row in found)
    frames, damaged = [], []
    for store, some, found in zip(stores, plans, shown, strict=True):
        rows, broken = tidy(store, found, by or some[0].shots, labels, rescore)
        frames.append(_hinted(rows, found, cut, budget))
        damaged += broken
    rows, sources, told = join_tables(frames)
    _refuse_twins(rows)
    lines = [_line(one, labels, protocols) for one in furthest.values()]
    plain = not all(spec.tune for spec in specs)
    notes = [_groups(by or specs[0].shots), *_spent(rows, lines, plain)]
    first = {protocol_label(row.first, labels): row.first.trial for found in shown[::-1] for row in found[::-1]}
    routines = {protocol: routine(trial, by or specs[0].shots) for protocol, trial in first.items()}
    uneven = list(dict.fromkeys(_uneven(specs)))
    metric = rescore.metric if rescore else ACCURACY
    metric, notes = (metric.unbalanced, [*notes, *uneven]) if uneven else (metric, notes)
    seen = _predictions(stores, shown, sources, labels, by or specs[0].shots, rescore) if images else None
    return Report(rows, damaged, [*notes, *told], lines, routines, metric, predictions=seen, sources=sources)


def _uneven(specs: Sequence[Spec]) -> Iterator[str]:
    """Of each data set with a test set that is not balanced, that it is not."""
    for data in (data for spec in specs for data in spec.data):
        tested = data.contents.tested if data.contents else ()
        if len(set(tested)) > 1:
            yield f"{data.name}: the test set is not balanced; its classes have {min(tested)} to {max(tested)} images."


def _refuse_twins(rows: pd.DataFrame) -> None:
    trials = rows[rows["group"] == rows["group"].iloc[0]]  # what holds for one group holds for all
    if (twice := trials.duplicated([*CELL, "seed"])).any():
        row = trials[twice].iloc[0]
        raise ReportError(
            f"two plans train other trials of {row['method']}, seed {row['seed']}, under the same words; keep them in "
            "stores of their own, and report them one by one"
        )


def _predictions(
    stores: Sequence[StoreReader],
    shown: Sequence[Sequence[ReportRow]],
    sources: Mapping[str, int],
    labels: Labels,
    by: Shots,
    rescore: MetricRequest | None,
) -> TestSetBootstrap:
    """Of each row those of the store that it is of."""
    from .bootstrap import TestSetBootstrap  # imports torch

    found = TestSetBootstrap(labels, by, rescore.tau if rescore else 0.0)
    for number, (store, rows) in enumerate(zip(stores, shown, strict=True)):
        every = (one for row in rows for one in row.each())
        found.add(store, (one for one in every if sources.get(one.key, 0) == number))
    return found


def within(spec: Spec, budget: int | None) -> Spec:
    """The spec as if each search had ended after ``budget`` trials; a spec that asks for fewer stays as it is.

    ReportError where the search prunes and the budget does not end a generation: what was stopped in it was stopped
    for one that would not have been there.
    """
    if budget is None or spec.tune is None or budget >= spec.tune.trials:
        return spec
    if budget < 1:
        raise ReportError(f"--budget: {budget} must be at least 1")
    if spec.tune.prune and budget % spec.tune.generation:
        size = spec.tune.generation
        raise ReportError(
            f"--budget: {budget} must be a multiple of {size}, since trials were compared in generations of so many"
        )
    return spec.model_copy(update={"tune": spec.tune.model_copy(update={"trials": budget})})


def _which(one: SearchResult) -> tuple[str, int]:
    return one.search.identity, one.search.tune.trials


def _furthest(found: Iterable[SearchResult]) -> dict[tuple[str, int], SearchResult]:
    """Each search once, as the store has it where it went furthest.

    ReportError where two stores ended it at different values: their rows are of different trials.
    """
    furthest: dict[tuple[str, int], SearchResult] = {}
    for one in found:
        other = furthest.setdefault(_which(one), one)
        if one.winner and other.winner and one.finished and other.finished:
            if one.winner.values != other.winner.values:
                raise ReportError(
                    f"the stores tuned {one.search.name} to different values, as other machines may; "
                    "report them one by one"
                )
        elif (one.ended, one.winner is not None) > (other.ended, other.winner is not None):
            furthest[_which(one)] = one
    return furthest


def _shown(
    specs: Sequence[Spec], found: Sequence[Mapping[str, SearchResult]], protocols: Mapping[str, str], defaults: bool
) -> list[ReportRow]:
    """The rows of a store's plans, each once: a row that was tuned to its own values stands in the tables of both."""
    shown = []
    for spec, searches in zip(specs, found, strict=True):
        ours, word = rows_of(spec, searches, defaults), protocols.get(spec.canonical, "")
        shown += [replace(one, first=replace(one.first, protocol=word)) for one in ours] if word else ours
    return merge_rows(shown)


def _line(one: SearchResult, labels: Labels, protocols: Mapping[str, str]) -> tuning_tables.TunedRow:
    """A search under the words of its row."""
    row = one.search.experiment.trial(one.search.spec.seeds[0])
    protocol = f"{labels.protocol(row)}, {protocols[one.search.spec.canonical]}"
    return tuning_tables.TunedRow(row.data.name, setting_label(row.data), protocol, labels.method(row), one)


def _hinted(rows: pd.DataFrame, shown: Sequence[ReportRow], cut: Collection[str], budget: int | None) -> pd.DataFrame:
    """The rows, where a trial is missing that no run was asked for, with what brings it."""
    untrained = "only tailboard run --with-defaults trains this row"
    hints = {key: untrained for row in shown if row.first.mark for key in row.keys}
    won = (
        f"what the first {budget} trials found was not trained on these seeds; run the spec with trials: {budget} and "
        "another name into the same store, which trains only that"
    )
    # A tuned row's trial is made anew even at the spec's own values.
    hints |= {
        key: won
        for row in shown
        if row.first.protocol in cut and row.first.trial is not row.first.row and not row.first.mark
        for key in row.keys
    }
    if not hints:
        return rows
    wanting = (rows["status"] == "missing") & (rows["reason"] == NOT_YET) & rows["key"].isin(list(hints))
    return rows.assign(reason=rows["reason"].mask(wanting, rows["key"].map(hints)))


def routine(trial: Trial, by: Shots) -> Routine:
    """How a trial was trained, in the words of the published rows."""
    training = trial.training
    words = [
        "crop and flip" if training.crop_padding and training.flip else "",
        "TrivialAugmentWide" if training.augment == "trivial_augment_wide" else "",
        "CutMix" if training.cutmix else "",
    ]
    return Routine(trial.network, training.epochs, ", ".join(filter(None, words)) or "none", by == Shots())


def _groups(by: Shots) -> str:
    if by.by == "tercile":
        return "Few, Med and Many: thirds of the classes, ranked by their training images."
    return (
        f"Few, Med and Many: classes with fewer than {by.few}, {by.few} to {by.many} and more than {by.many} "
        "training images."
    )


def _spent(rows: pd.DataFrame, lines: Sequence[tuning_tables.TunedRow], plain: bool) -> list[str]:
    """What the trials took, for the caption."""
    # A row in two tables is one trial; a row that waits for its values is none of those at the defaults.
    trial = rows["key"]
    if lines:
        trial = trial.mask(~trial.str.endswith("without values"), trial.str.split(" ").str[0])
    trials = rows.assign(trial=trial).drop_duplicates("trial")
    hours = trials["device_seconds"].sum() / 3600
    done = int((trials["status"] == "complete").sum())
    spent = f"{done} of {len(trials)} trials are complete; training took {hours:.2g} device-hours."
    if not lines:
        return [spent, "No method was tuned: every one ran at the values that its spec gives."]
    return [spent, *tuning_tables.caption(lines, plain)]


def publish(report: Report, store: WritablePlace) -> dict[str, str]:
    """Write the four files into the store, and where there are searches their two; the addresses by form."""
    files = {form: (f"leaderboard.{ending}", report.rendered(form)) for form, ending in ENDINGS.items()}
    if report.searches:
        files["tuning"] = "tuning.csv", csv_text(tuning_tables.values(report.searches))
        files["budget"] = "budget.csv", csv_text(tuning_tables.curves(report.searches))
    for name, text in files.values():
        store.write(paths.report(name), text.encode())
    return {form: f"{store}/report/{name}" for form, (name, _) in files.items()}
