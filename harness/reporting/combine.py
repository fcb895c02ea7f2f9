"""Stores and bundles of several groups in one leaderboard: what must be alike for their rows to share a column."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from ...leaderboard.join import shortened
from ..errors import ReportError, StoreError
from ..planning.reported import known_trials
from ..registry.datasets import cut_of
from ..spec.labels import label
from ..spec.schema import Shots, Trial
from ..storage.index import STATUSES, trial_results
from ..storage.reader import StoreReader
from . import gather as publish
from .report import Report


def gather(stores: Sequence[StoreReader], by: Shots | None = None, **asked: Any) -> Report:
    """The leaderboard of all (see ``publish.gather``). ReportError where rows would stand in one column that were not
    made alike: other boundaries of Few, Med and Many, or other training or test images under the same words.

    What the training routines differ in needs no refusal: it is told in the protocol's words, and each has a table of
    its own.
    """
    if by is None:
        _same_groups(stores)
    more = _alike(stores) if len(stores) > 1 else []
    report = publish.gather(stores, by, **asked)
    return replace(report, notes=[*report.notes, *more])


def _alike(stores: Sequence[StoreReader]) -> list[str]:
    """Sentences for the caption."""
    cuts: dict[str, tuple[str, StoreReader]] = {}
    seen: dict[str, bytes] = {}
    tests: dict[str, tuple[str, StoreReader]] = {}
    twice: dict[str, Trial] = {}
    for store in stores:
        looked = set[str]()
        for trial, fingerprint, accuracy in _complete(store):
            if fingerprint:
                _same(cuts, cut_of(trial), fingerprint, store, f"trained {trial.data.name}, seed {trial.seed}, on")
            if trial.data.name not in looked and (digest := _tested_on(store, trial)):
                looked.add(trial.data.name)
                _same(tests, trial.data.name, digest, store, f"scored {trial.data.name} on")
            if seen.setdefault(trial.key, accuracy) != accuracy:
                twice[trial.key] = trial
    if not twice:
        return []
    which = shortened([label(trial) for trial in twice.values()])
    return [f"Trained by several, with other numbers, of which those of the first that is named count: {which}."]


def _same_groups(stores: Sequence[StoreReader]) -> None:
    """Of all plans: the report has one caption, and its rows one rule."""
    plans = [(f"plan {spec.name} of {store}", spec.shots) for store in stores for spec in store.plans()]
    first, rule = plans[0]
    for other, shots in plans:
        if shots != rule:
            raise ReportError(
                f"Few, Med and Many are {_words(rule)} in {first} and {_words(shots)} in {other}: name "
                "the same for all with --few and --many, or --tercile"
            )


def _words(by: Shots) -> str:
    return "thirds of the classes" if by.by == "tercile" else f"below {by.few} and above {by.many} training images"


def _complete(store: StoreReader) -> Iterator[tuple[Trial, str, bytes]]:
    """Each with the fingerprint of its images, and its accuracies."""
    trials = {
        trial.key: trial for spec in store.plans() for trial in known_trials(spec, store) if trial.stage == "report"
    }
    found, _ = trial_results(store, trials)  # of those that are damaged the report tells
    ends = found.offsets() + found.classes
    for i, key in enumerate(found.keys):
        if key in trials and STATUSES[found.status[i]] == "complete":
            accuracy = found.accuracy[ends[i] - found.classes[i] : ends[i]]
            yield trials[key], found.fingerprints[found.fingerprint[i]], accuracy.tobytes()


def _tested_on(store: StoreReader, trial: Trial) -> str:
    """A hash of the labels of the test images; nothing where they cannot be read. One trial speaks for all of its
    store: a bundle was verified, and in a store they come from the same files."""
    try:
        labels = store.arrays(trial.key, "labels")["labels"]
    except (StoreError, FileNotFoundError, KeyError):
        return ""
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()


def _same(first: dict[str, tuple[str, StoreReader]], what: str, digest: str, store: StoreReader, did: str) -> None:
    other, where = first.setdefault(what, (digest, store))
    if other != digest:
        raise ReportError(
            f"{where} and {store} {did} other images (SHA-256 {other[:12]} and {digest[:12]}), so their rows cannot "
            "stand in one column; report them one by one"
        )
