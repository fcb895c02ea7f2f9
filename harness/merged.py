"""Stores and bundles of several groups in one leaderboard: what must be alike for their rows to share a column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import publish
from .bundle import Bundle
from .chosen import known
from .data import cut_of
from .index import outcomes
from .outcomes import STATUSES
from .publish import Board, ReportError
from .spec import Shots, Trial
from .store import Store


@contextmanager
def opened(places: Sequence[str]) -> Iterator[list[Store]]:
    """The stores at these places; a file is a bundle. BundleError where one does not hold: no table is made of it."""
    with ExitStack() as stack:
        found: list[Store] = []
        for place in places:
            if not is_bundle(place):
                found.append(Store(place))
                continue
            from .images import Images  # these import torch
            from .verify import require

            bundle = Bundle(Path(place))
            stack.callback(bundle.close)
            require(bundle, Images(local=False))
            found.append(bundle)
        yield found


def is_bundle(place: str) -> bool:
    return "://" not in place and (place.endswith(".zip") or Path(place).expanduser().is_file())


def gather(stores: Sequence[Store], by: Shots | None = None, **asked: Any) -> Board:
    """The leaderboard of all (see ``publish.gather``). ReportError where rows would stand in one column that were not
    made alike: other boundaries of Few, Med and Many, or other images under the same words.

    What the training routines differ in needs no refusal: it is told in the protocol's words, and each has a table of
    its own.
    """
    more = _alike(stores, by) if len(stores) > 1 else []
    board = publish.gather(stores, by, **asked)
    return replace(board, notes=[*board.notes, *more])


def _alike(stores: Sequence[Store], by: Shots | None) -> list[str]:
    """Sentences for the caption."""
    if by is None:
        _same_groups(stores)
    cuts: dict[str, tuple[str, Store]] = {}
    seen: dict[str, bytes] = {}
    twice: set[str] = set()
    for store in stores:
        for trial, fingerprint, accuracy in _complete(store):
            if fingerprint:
                _same_images(cuts, trial, fingerprint, store)
            if seen.setdefault(trial.key, accuracy) != accuracy:
                twice.add(trial.key)
    if not twice:
        return []
    return [f"{len(twice)} trials were trained by several, with other numbers: those of the first that is named count."]


def _same_groups(stores: Sequence[Store]) -> None:
    words = {store: store.plans()[0].shots for store in stores}
    first = stores[0]
    for store in stores[1:]:
        if words[store] != words[first]:
            raise ReportError(
                f"Few, Med and Many are {_words(words[first])} in {first} and {_words(words[store])} in {store}: name "
                "the same for all with --few and --many, or --tercile"
            )


def _words(by: Shots) -> str:
    return "thirds of the classes" if by.by == "tercile" else f"below {by.few} and above {by.many} training images"


def _complete(store: Store) -> Iterator[tuple[Trial, str, bytes]]:
    """Each with the fingerprint of its images, and its accuracies."""
    trials = {trial.key: trial for spec in store.plans() for trial in known(spec, store) if trial.stage == "report"}
    found, _ = outcomes(store, trials)  # of those that are damaged the report tells
    ends = found.starts() + found.classes
    for i, key in enumerate(found.keys):
        if key in trials and STATUSES[found.status[i]] == "complete":
            accuracy = found.accuracy[ends[i] - found.classes[i] : ends[i]]
            yield trials[key], found.fingerprints[found.fingerprint[i]], accuracy.tobytes()


def _same_images(cuts: dict[str, tuple[str, Store]], trial: Trial, fingerprint: str, store: Store) -> None:
    first, where = cuts.setdefault(cut_of(trial), (fingerprint, store))
    if first != fingerprint:
        raise ReportError(
            f"{where} and {store} trained {trial.data.name}, seed {trial.seed}, on other images (fingerprints "
            f"{first[:12]} and {fingerprint[:12]}), so their rows cannot stand in one column; report them one by one"
        )
