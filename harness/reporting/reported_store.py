"""What a report reads of each store: its plans within the budget, the results of their searches, and the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import fsum

from ..errors import ReportError, StoreError
from ..planning.reported import ReportRow, judges, merge_rows, report_rows
from ..planning.row_columns import ListedRows, ReportRows, rows_of
from ..spec.schema import Spec, Trial, prerequisites
from ..storage.index import trial_results
from ..storage.packed_keys import packed, texts
from ..storage.reader import StoreReader
from ..tuning.results import SearchResult, search_results

Searches = Mapping[tuple[str, int], SearchResult]  # by the search's identity and its number of trials


@dataclass(frozen=True)
class SearchedPlan:
    """A plan of a store.

    Args:
        spec: The plan, its searches within the budget of the report.
        results: What its searches came to, by the canonical text of their rows.
        cut: Whether the budget is less than the plan asks for.
    """

    spec: Spec
    results: Mapping[str, SearchResult]
    cut: bool = False


@dataclass(frozen=True)
class ReportedStore:
    """A store, the plans that are reported of it, and the rows that they come to, each once."""

    store: StoreReader
    plans: Sequence[SearchedPlan]
    rows: ReportRows


def read_plans(
    store: StoreReader, only: SearchedPlan | None, budget: int | None, importance: bool = True
) -> list[SearchedPlan]:
    """The plans of a store, with the results of their searches.

    Args:
        store: Where they are.
        only: The one plan that is asked for, where it has been read already.
        budget: As if each search had ended after so many trials.
        importance: Whether it is computed how much each value mattered to its search.

    Returns:
        The plans.

    Raises:
        ReportError: as :func:`within`.
    """
    if only:
        return [only]
    plans = []
    for whole in store.plans():
        spec = within(whole, budget)
        plans.append(SearchedPlan(spec, search_results(spec, store, importance=importance), cut=spec is not whole))
    return plans


def within(spec: Spec, budget: int | None) -> Spec:
    """The spec as if each search had ended after ``budget`` trials; a spec that asks for fewer stays as it is.

    Raises:
        ReportError: where a search stops trials early and the budget does not end a generation: what was stopped in it
            was stopped for one that would not have been there.
    """
    if budget is None or spec.tune is None or budget >= spec.tune.trials:
        return spec
    if budget < 1:
        raise ReportError(f"--budget: {budget} must be at least 1")
    if spec.tune.stops_early(training.learner for training in spec.trainings) and budget % spec.tune.generation:
        size = spec.tune.generation
        raise ReportError(
            f"--budget: {budget} must be a multiple of {size}, since trials were compared in generations of so many"
        )
    return spec.model_copy(update={"tune": spec.tune.model_copy(update={"trials": budget})})


def merge_searches(results: Iterable[SearchResult]) -> Searches:
    """Each search once, as the store has it where it went furthest.

    Raises:
        ReportError: where two stores ended it at different values: their rows are of different trials.
    """
    furthest: dict[tuple[str, int], SearchResult] = {}
    for result in results:
        known = furthest.setdefault(_identity(result), result)
        if result.winner and known.winner and result.finished and known.finished:
            if result.winner.values != known.winner.values:
                raise ReportError(
                    f"the stores tuned {result.search.label} to different values, as other machines may; "
                    "report them one by one"
                )
        elif (result.ended, result.winner is not None) > (known.ended, known.winner is not None):
            furthest[_identity(result)] = result
    return furthest


def _identity(result: SearchResult) -> tuple[str, int]:
    return result.search.identity, result.search.tune.trials


def reported_store(
    store: StoreReader, plans: Sequence[SearchedPlan], searches: Searches, protocols: Mapping[str, str], defaults: bool
) -> ReportedStore:
    """A store with the rows of its plans.

    Args:
        store: The store.
        plans: Its plans.
        searches: The searches of all stores, as :func:`merge_searches` gives them.
        protocols: How each tuned spec was tuned, by its canonical text.
        defaults: Whether each tuned row stands also at the spec's own values.
    """
    how = [protocols.get(plan.spec.canonical, "") if protocols else "" for plan in plans]  # a large plan's text is long
    if (axes := rows_of([(plan.spec, words) for plan, words in zip(plans, how, strict=True)])) is not None:
        return ReportedStore(store, plans, axes)
    rows: list[ReportRow] = []
    for plan, words in zip(plans, how, strict=True):
        results = {row: searches[_identity(result)] for row, result in plan.results.items()}
        untrained = (
            f"what the first {plan.spec.tune.trials} trials found was not trained on these seeds; run the spec with "
            f"trials: {plan.spec.tune.trials} and another name into the same store, which trains only that"
            if plan.cut and plan.spec.tune
            else ""
        )
        rows += report_rows(plan.spec, results, defaults, words, untrained)
    return ReportedStore(store, plans, ListedRows(merge_rows(rows)))


def started_by(stores: Sequence[ReportedStore], beside: bool) -> dict[str, float]:
    """What the networks took that each trial of the rows starts from.

    Args:
        stores: Stores with their rows.
        beside: Whether any store holds such networks beside the trials of its rows; under the first protocol they are
            trials of rows.

    Returns:
        The seconds of training by the key of the trial that starts from them. What a plugin needs is not known, since
        none is run.
    """
    seconds: dict[str, float] = {}
    for reported in stores:
        if not beside and all(row.first.trial.protocol > 1 for row in reported.rows.kinds()):
            continue  # as in most large stores, whose rows are asked nothing then
        rows = [row for row in reported.rows if not row.first.pending and (beside or row.first.trial.protocol == 1)]
        starts = {trial.key: keys for row in rows for trial, keys in _starts(row)}
        results, *_ = trial_results(reported.store, packed(key for keys in starts.values() for key in keys))
        took = dict(zip(texts(results.keys), results.seconds.tolist(), strict=True))
        seconds |= {key: fsum(took.get(start, 0.0) for start in keys) for key, keys in starts.items()}
    return seconds


def _starts(row: ReportRow) -> list[tuple[Trial, list[str]]]:
    """The row's trials, each with the keys of those whose networks it starts from; none where it starts from none."""
    from ...methods.part import MethodError  # imports torch, as the next does
    from ..registry.methods import recipe_of

    first = row.first.trial
    try:
        needs = () if first.method.plugin else recipe_of(first, {}).needs()
    except MethodError:  # of another version of ours
        needs = ()
    if not prerequisites(first, needs):
        return []
    trials = [reported.trial for reported in row.each()]
    return [(trial, [start.key for start in prerequisites(trial, needs)]) for trial in trials]


def started_from(stores: Iterable[tuple[ReportedStore, set[str]]]) -> dict[str, float]:
    """What the networks took that rows start from and no table shows.

    Args:
        stores: Stores with their rows, and the keys of the finished trials of each that no table shows.

    Returns:
        The seconds of training by key, where a store has them.
    """
    seconds: dict[str, float] = {}
    for reported, finished in stores:
        if not finished:  # as in most large stores, whose rows are asked nothing then
            continue
        first = {judge.row_key: (judge, row.seeds) for row in reported.rows for judge in judges([row.first.trial])}
        for judge, seeds in first.values():
            with suppress(StoreError):  # damaged: nothing can be counted
                seconds |= {
                    key: reported.store.result(key).train_seconds for key in judge.keys(seeds) if key in finished
                }
    return seconds
