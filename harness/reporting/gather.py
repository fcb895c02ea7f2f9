"""From stores to the leaderboard's files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import fsum
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ...leaderboard.join import join_tables, shortened
from ...leaderboard.metric import ACCURACY, Metric
from ...leaderboard.published.comparison import Routine
from ...leaderboard.results import TRIAL, numbered
from ...leaderboard.tables.grid import hours_text
from ...methods.ensemble_names import OWN
from ..errors import ReportError
from ..planning.reported import beside_networks, protocol_label, row_label
from ..planning.row_columns import ListedRows
from ..registry.datasets import each_once, test_counts
from ..spec.labels import Labels, examples_of, setting_label
from ..spec.schema import Shots, Spec, Trial
from ..storage import paths
from ..storage.places import WritablePlace
from ..storage.reader import StoreReader
from ..text import money
from ..tuning.results import SearchResult
from . import tuning_tables
from .comparability import check_groups, check_images
from .figure_files import csv_text
from .report import ENDINGS, Report
from .reported_store import (
    ReportedStore,
    SearchedPlan,
    merge_searches,
    read_plans,
    reported_store,
    started_by,
    started_from,
)
from .tidy import TidyTable, tidy

if TYPE_CHECKING:
    from ..metrics.rescoring import MetricRequest
    from .bootstrap import TestSetBootstrap

OWN_ESTIMATOR = (
    "BalancedRandomForest, BalancedBagging, EasyEnsemble and RUSBoost bring their own estimator: their rows are the "
    "same whatever estimator a table is of."
)
AUGMENTATIONS = {"augmix": "AugMix", "auto_augment": "AutoAugment", "trivial_augment_wide": "TrivialAugmentWide"}


def gather(
    stores: Sequence[StoreReader],
    by: Shots | None = None,
    *,
    only: SearchedPlan | None = None,
    defaults: bool = False,
    budget: int | None = None,
    rescore: MetricRequest | None = None,
    images: bool = False,
    comparable: bool = False,
) -> Report:
    """Every planned trial of the stores, a trial that several hold once.

    Args:
        stores: Stores and bundles.
        by: How classes are counted into shot groups; as the first plan says if not given.
        only: A plan of the only store, which alone is reported.
        defaults: Whether each tuned row stands also at the spec's own values.
        budget: The searches count as if they had ended after so many trials.
        rescore: Another metric, whose values are made from the stored logits.
        images: Whether the predictions of each test image are there too.
        comparable: Whether plans that count groups in different ways, and stores whose trials were not given the same
            images, are refused.

    Raises:
        StoreError: where there is no store.
        ReportError: where the budget fits nothing, where stores or plans give one row different trials, and where
            rows are not ``comparable``.
    """
    plans = [read_plans(store, only, budget) for store in stores]
    if comparable and by is None:
        check_groups(list(zip(stores, plans, strict=True)))
    specs = [plan.spec for each in plans for plan in each]
    if budget is not None and not any(spec.tune for spec in specs):
        raise ReportError("--budget: nothing was tuned here, so there is no other budget to show")
    protocols = tuning_tables.protocols(specs)
    searches = merge_searches(result for each in plans for plan in each for result in plan.results.values())
    reported = [
        reported_store(store, each, searches, protocols, defaults) for store, each in zip(stores, plans, strict=True)
    ]
    other_numbers = check_images(reported) if comparable and len(stores) > 1 else []
    labels, shots = Labels(row.first.row for each in reported for row in each.rows.kinds()), by or specs[0].shots
    reported = _placed(reported, labels)
    kinds = [row.first for each in reported for row in each.rows.kinds()]
    beside = {first.row.row_key: first.beside for first in kinds if first.beside}
    tables = [tidy(each, shots, labels, rescore) for each in reported]
    rows, sources, joined = join_tables([table.rows for table in tables])
    tuned = [_tuned_row(result, labels, protocols, beside) for result in searches.values()]
    prices = {spec.resources.price for spec in specs}
    price = prices.pop() if len(prices) == 1 else None
    first = rows["group"] == rows["group"].iloc[0]  # what holds for one group holds for all
    trials = rows.loc[first, ["key", "row_key", "pending", "status", "device_seconds", *TRIAL]]
    _refuse_twins(trials)
    started = started_from(_beside(reported, tables, trials))
    examples = examples_of(specs)
    spent = _spent(trials, tuned, list(started.values()), not all(spec.tune for spec in specs), price, examples)
    weighed, unbalanced = (list(dict.fromkeys(each(specs))) for each in (_weighed, _unbalanced))
    of_data = [*weighed, *unbalanced, *([OWN_ESTIMATOR] if beside else [])]
    metric = replace(_metric(rescore, specs) if rescore else ACCURACY, examples=examples)
    return Report(
        rows,
        [message for table in tables for message in table.damaged],
        [_groups(shots, examples), *_named_seeds(trials), *spent, *of_data, *joined, *other_numbers],
        tuned,
        _routines(reported, labels, shots),
        metric.unbalanced if unbalanced else metric,
        rescore.weights if rescore else "last_ema",
        predictions=_predictions(reported, sources, labels, shots, rescore) if images else None,
        trials={row_label(first, labels): first.trial for first in kinds},
        sources=sources,
        started=started_by(reported, bool(started)),
    )


def _placed(reported: Sequence[ReportedStore], labels: Labels) -> list[ReportedStore]:
    """The stores with each ensemble's row in the tables of the estimators beside it, where it can be compared."""
    if not any(row.first.row.network == OWN for each in reported for row in each.rows.kinds()):
        return [*reported]
    every = [row for each in reported for row in each.rows]
    return [replace(each, rows=ListedRows(beside_networks(each.rows, every, labels))) for each in reported]


def _metric(rescore: MetricRequest, specs: Sequence[Spec]) -> Metric:
    """The metric, with the data sets that do not have it. ReportError where none does."""
    every = {data.title: rescore.lacks(data) for spec in specs for data in spec.data}
    if all(every.values()):
        name, why = next(iter(every.items()))
        raise ReportError(f"--metric: {name} has no {rescore.name}, which is {why}")
    return replace(rescore.metric, lacks=tuple((name, why) for name, why in every.items() if why))


def _weighed(specs: Sequence[Spec]) -> Iterator[str]:
    """A sentence for each data set whose rows have weights."""
    for data in each_once(data for spec in specs for data in spec.data):
        if weight := getattr(data.contents, "weight", None):
            yield f"{data.name}: training rows are weighed by the column {weight!r}; each test row counts once."


def _unbalanced(specs: Sequence[Spec]) -> Iterator[str]:
    """A sentence for each data set whose test set is not balanced."""
    for data in each_once(data for spec in specs for data in spec.data):
        tested = test_counts(data)
        if len(set(tested)) > 1:
            least, most = min(tested), max(tested)
            yield f"{data.title}: the test set is not balanced; its classes have {least} to {most} examples."


def _beside(
    reported: Sequence[ReportedStore], tables: Sequence[TidyTable], trials: pd.DataFrame
) -> Iterator[tuple[ReportedStore, set[str]]]:
    """Each store with its finished trials that no table shows."""
    for store, table in zip(reported, tables, strict=True):
        beside = set(table.beside)
        yield store, beside - set(trials["key"]) if beside else beside


def _refuse_twins(trials: pd.DataFrame) -> None:
    """ReportError where two trials stand under the same words."""
    if (twice := trials.duplicated(TRIAL)).any():
        row = trials[twice].iloc[0]
        raise ReportError(
            f"two plans train other trials of {row['method']}, seed {row['seed']}, under the same words; keep them in "
            "stores of their own, and report them one by one"
        )


def _named_seeds(trials: pd.DataFrame) -> list[str]:
    """Which the seeds are, where they are not the first: whoever named them may have tried others."""
    seeds = sorted(trials["seed"].unique().tolist())
    if seeds == list(range(len(seeds))):
        return []
    return [f"The seeds were named, not counted from 0: {shortened(list(map(str, seeds)))}."]


def _tuned_row(
    result: SearchResult, labels: Labels, protocols: Mapping[str, str], beside: Mapping[str, Trial]
) -> tuning_tables.TunedRow:
    """A search under the words of its row; that of an ensemble once, in whichever tables its row stands."""
    row = result.search.experiment.trial(result.search.spec.seeds[0])
    protocol = f"{labels.protocol(beside.get(row.row_key, row))}, {protocols[result.search.spec.canonical]}"
    return tuning_tables.TunedRow(row.data.title, setting_label(row.data), protocol, labels.method(row), result)


def _routines(reported: Sequence[ReportedStore], labels: Labels, by: Shots) -> dict[str, Routine]:
    """How the first row of each protocol was trained."""
    first: dict[str, Trial] = {}
    for row in (row for each in reported for row in each.rows.kinds()):
        first.setdefault(protocol_label(row.first, labels), row.first.trial)
    return {protocol: routine(trial, by) for protocol, trial in first.items()}


def routine(trial: Trial, by: Shots) -> Routine:
    """How a trial was trained, in the words of the published rows."""
    training = trial.training
    words = [
        "resized crop" if training.resized_crop else "",
        "crop and flip" if training.crop_padding and training.flip and not training.resized_crop else "",
        AUGMENTATIONS.get(training.augment, ""),
        "CutMix" if training.cutmix else "",
    ]
    return Routine(trial.network, training.epochs, ", ".join(filter(None, words)) or "none", by == Shots())


def _predictions(
    reported: Sequence[ReportedStore],
    sources: Mapping[str, int],
    labels: Labels,
    by: Shots,
    rescore: MetricRequest | None,
) -> TestSetBootstrap:
    """The predictions of each trial, from the store that its row is of."""
    from .bootstrap import TestSetBootstrap  # imports torch

    how = {"tau": rescore.tau, "weights": rescore.weights} if rescore else {}
    predictions = TestSetBootstrap(labels, by, **how)
    for number, each in enumerate(reported):
        trials = (trial for row in each.rows for trial in row.each())
        predictions.add(each.store, (trial for trial in trials if sources.get(trial.trial.key, 0) == number))
    return predictions


def _groups(by: Shots, examples: str) -> str:
    if by.by == "tercile":
        return f"Few, Med and Many: thirds of the classes, ranked by their training {examples}."
    return (
        f"Few, Med and Many: classes with fewer than {by.few}, {by.few} to {by.many} and more than {by.many} "
        f"training {examples}."
    )


def _spent(
    every: pd.DataFrame,
    tuned: Sequence[tuning_tables.TunedRow],
    beside: Sequence[float],
    untuned: bool,
    price: float | None,
    examples: str,
) -> list[str]:
    """What the trials took, for the caption. A trial that two rows show counts once, and so does each of ``beside``,
    the seconds of those that rows start from. ``price`` is that of an hour."""
    ended = every.loc[~every["pending"], ["key", "status", "device_seconds"]]
    trials = ended.iloc[np.unique(numbered(ended, ["key"]), return_index=True)[1]]  # pandas makes an object of each key
    pending = every.loc[every["pending"], ["row_key", "seed"]].drop_duplicates()
    hours = (trials["device_seconds"].sum() + fsum(beside)) / 3600
    done = int((trials["status"] == "complete").sum())
    spent = f"{done} of {len(trials) + len(pending)} trials are complete; "
    spent += f"training took {hours_text(hours)} device-hours{money(hours, price)}."
    if beside:
        spent = f"{spent[:-1]}, with {hours_text(fsum(beside) / 3600)} for {len(beside)} networks that rows start from."
    if not tuned:
        return [spent, "No method was tuned: every one ran at the values that its spec gives."]
    return [spent, *tuning_tables.caption(tuned, examples, untuned)]


def publish(report: Report, store: WritablePlace) -> dict[str, str]:
    """Write the report's files into the store; their addresses by form."""
    files = report_files(report)
    for name, text in files.values():
        store.write(paths.report(name), text.encode())
    return {form: f"{store}/{paths.report(name)}" for form, (name, _) in files.items()}


def report_files(report: Report) -> dict[str, tuple[str, str]]:
    """The name and the text of each of the four files, and where there are searches of their two, by form."""
    files = {form: (f"leaderboard.{ending}", report.files[form]) for form, ending in ENDINGS.items()}
    if report.searches:
        files["tuning"] = "tuning.csv", csv_text(tuning_tables.values(report.searches))
        files["budget"] = "budget.csv", csv_text(tuning_tables.curves(report.searches))
    return files
