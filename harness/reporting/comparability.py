"""What must be alike in plans and stores for their rows to share a column.

What the training routines differ in needs no refusal: the protocol's words tell it, and each has a table of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from ...leaderboard.join import shortened
from ..errors import ReportError, StoreError
from ..registry.datasets import cut_of
from ..spec.labels import label
from ..spec.schema import Shots, Trial
from ..storage.columns.results import STATUSES
from ..storage.index import trial_results
from ..storage.packed_keys import packed, texts
from ..storage.reader import StoreReader
from .reported_store import ReportedStore, SearchedPlan


def check_groups(stores: Sequence[tuple[StoreReader, Sequence[SearchedPlan]]]) -> None:
    """ReportError where two plans count Few, Med and Many in different ways: a report has one caption."""
    plans = [(f"plan {plan.spec.name} of {store}", plan.spec.shots) for store, plans in stores for plan in plans]
    first, rule = plans[0]
    for plan, shots in plans:
        if shots != rule:
            raise ReportError(
                f"Few, Med and Many are {_words(rule)} in {first} and {_words(shots)} in {plan}: name "
                "the same for all with --few and --many, or --tercile"
            )


def _words(by: Shots) -> str:
    return "thirds of the classes" if by.by == "tercile" else f"below {by.few} and above {by.many} training images"


def check_images(reported: Sequence[ReportedStore]) -> list[str]:
    """ReportError where trials of two stores were trained or tested on different images under the same words.

    Returns:
        Sentences for the caption, of trials that two stores trained to different numbers.
    """
    training_images: dict[str, tuple[str, StoreReader]] = {}
    test_images: dict[str, tuple[str, StoreReader]] = {}
    accuracies: dict[str, bytes] = {}
    differing: dict[str, Trial] = {}
    for store in reported:
        tested = set[str]()
        for trial, fingerprint, accuracy in _complete(store):
            data = trial.data.title
            if fingerprint:
                deed = f"trained {data}, seed {trial.seed}, on"
                _check_same(training_images, cut_of(trial), fingerprint, store.store, deed)
            if data not in tested and (digest := _test_labels(store.store, trial)):
                tested.add(data)
                _check_same(test_images, data, digest, store.store, f"scored {data} on")
            if accuracies.setdefault(trial.key, accuracy) != accuracy:
                differing[trial.key] = trial
    if not differing:
        return []
    which = shortened([label(trial) for trial in differing.values()])
    return [f"Trained by several, with other numbers, of which those of the first that is named count: {which}."]


def _complete(reported: ReportedStore) -> Iterator[tuple[Trial, str, bytes]]:
    """Each complete trial with the fingerprint of its images, and its accuracies."""
    trials = {each.trial.key: each.trial for row in reported.rows for each in row.each() if not each.pending}
    results, *_ = trial_results(reported.store, packed(trials))  # the report names those that are damaged
    ends = results.offsets() + results.classes
    for i, key in enumerate(texts(results.keys)):
        if key in trials and STATUSES[results.status[i]] == "complete":
            accuracy = results.accuracy[ends[i] - results.classes[i] : ends[i]]
            yield trials[key], results.fingerprints[results.fingerprint[i]], accuracy.tobytes()


def _test_labels(store: StoreReader, trial: Trial) -> str:
    """A hash of the labels of the test images; nothing where they cannot be read. One trial speaks for all of its
    store: a bundle was verified, and in a store they come from the same files."""
    try:
        labels = store.arrays(trial.key, "labels")["labels"]
    except (StoreError, FileNotFoundError, KeyError):
        return ""
    return hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest()


def _check_same(
    first: dict[str, tuple[str, StoreReader]], what: str, digest: str, store: StoreReader, deed: str
) -> None:
    known, place = first.setdefault(what, (digest, store))
    if known != digest:
        raise ReportError(
            f"{place} and {store} {deed} other images (SHA-256 {known[:12]} and {digest[:12]}), so their rows cannot "
            "stand in one column; report them one by one"
        )
