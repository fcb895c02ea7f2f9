"""From a spec to a prepared run: the spec is checked against the registries and the files, and its plan is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ...datasets.array_cache import is_decoded
from ..errors import SpecError
from ..metrics.shots import Outcome, outcome_of
from ..registry.datasets import dataset_of
from ..spec.schema import Spec, Trial
from ..storage.record import Record
from ..storage.repair import set_aside, sweep_up
from ..storage.store import Store
from ..training.job import TrialContext
from ..training.scoring_process import ScoringProcess
from ..tuning.results import RunStorage, SearchResult
from .reported import trials_of
from .request import RunRequest, check_names


@dataclass(frozen=True)
class PreparedRun:
    """A checked spec and the store that it fills. ``trials``: all that are known; ``results``: what its searches have
    come to, by the canonical text of their rows; ``outcomes``: how its trials ended that have a record, by their keys.
    ``damaged`` says which records are to be made again, and why; ``storage`` holds its searches."""

    request: RunRequest
    store: Store
    storage: RunStorage
    trials: list[Trial]
    context: TrialContext
    damaged: list[str]
    results: Mapping[str, SearchResult]
    outcomes: Mapping[str, Outcome]


def prepare(request: RunRequest, store: Store, storage: RunStorage, root: Path | None, verify: bool) -> PreparedRun:
    """Check the spec and the files that it still needs, and write the plan.

    Args:
        request: What of a spec is to be done.
        store: Where it is kept.
        storage: Where its searches are kept.
        root: The folder that holds the data.
        verify: Refuse data whose checksums are not the official ones.

    Raises:
        UserError: where a name, a value or a file is not what the spec needs.
    """
    spec, plan = request.spec, request.plan
    _check_protocol(spec, store)
    check_names([*plan.trials, *plan.default_trials], spec.plugins, anew=request.again)
    dependencies, results = plan.all_dependencies, storage.results(plan.searches, importance=False)
    known_trials = trials_of(spec, results)
    damaged, outcomes = _examined(request, store, (*dependencies.trials, *known_trials))
    missing = dependencies.missing(store)
    sweep_up(store, {trial.key for trial in missing})
    check_files(missing, root, verify)
    write_plan(request, store)
    context = TrialContext(
        store=str(store),
        gpu=spec.resources.gpu > 0,
        root=root,
        verify=verify,
        checkpoint_seconds=spec.resources.checkpoint_seconds,
        time_limit=spec.resources.time_limit,
        plugins=spec.plugins,
        regions=spec.figure is not None and spec.figure.kind == "regions",
    )
    return PreparedRun(request, store, storage, known_trials, context, damaged, results, outcomes)


def _examined(request: RunRequest, store: Store, trials: Iterable[Trial]) -> tuple[list[str], dict[str, Outcome]]:
    """What was wrong with the records that were set aside, and how the trials of the others ended."""
    stages, outcomes = {trial.key: trial.stage for trial in trials}, dict[str, Outcome]()

    def keep(record: Record) -> None:
        outcomes[record.key] = outcome_of(record, request.spec.shots)

    reporting = [key for key, stage in stages.items() if stage == "report"]
    damaged = set_aside(store, stages.keys() - reporting, keep=keep)
    return damaged + set_aside(store, reporting, ("failed", "diverged") if request.again else (), keep), outcomes


def write_plan(request: RunRequest, store: Store) -> None:
    """What a report is made by: the searches before the plan, which makes it look for them."""
    if request.spec.tune:
        from ..tuning.archive import save_searches  # imports optuna

        save_searches(request.spec, request.plan.searches, store)
    store.write_plan(request.spec)


def _check_protocol(spec: Spec, store: Store) -> None:
    """SpecError where the store has this plan under another protocol: overwritten, its trials are in no report."""
    stored = [plan.protocol for plan in (store.plans() if store.exists() else ()) if plan.name == spec.name]
    if stored and stored[0] != spec.protocol:
        raise SpecError(
            f"{store} holds {spec.name} as it was trained under protocol {stored[0]}; this version trains under "
            f"protocol {spec.protocol}, with other numbers. What is there can be reported and verified as before: give "
            "this run a --store of its own, or the spec another name"
        )


def check_files(trials: Iterable[Trial], root: Path | None, verify: bool) -> None:
    """Check the files that trials need. Where they were not decoded before, they are looked at in the process that
    scores: this one has run methods' code.

    Args:
        trials: What is still to be trained.
        root: The folder that holds the data.
        verify: Refuse data whose checksums are not the official ones.

    Raises:
        DataError: at the first data set whose files are missing, damaged or not the official ones.
        NetworkError: where weights that a network starts from do not fit it.
    """
    trials = list(trials)
    if any(isinstance(trial.weights, str) for trial in trials):
        _check_weights(trials, root)
    asked = {(trial.data.title, trial.data.contents): trial.data for trial in trials}
    asked = {words: data for words, data in asked.items() if not is_decoded(dataset_of(data), root, verify)}
    if asked:
        with closing(ScoringProcess()) as scoring:  # ended at once: what still runs when Ray has stopped is waited for
            for data in asked.values():
                scoring.prepare(data, root, verify)


def _check_weights(trials: Iterable[Trial], root: Path | None) -> None:
    from ..registry.networks import network  # these import torch
    from ..registry.pretrained_weights import load_weights
    from ..spec.user_files.weights_file import located

    started = {(t.network, dataset_of(t.data).shape[0], t.weights) for t in trials if isinstance(t.weights, str)}
    for name, channels, weights in sorted(started):
        load_weights(network(name, channels, 2), name, located(weights, root))
