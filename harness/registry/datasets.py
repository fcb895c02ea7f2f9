"""From a trial's words to its split: the data set by name, its long tail, its pool."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ...datasets.array_cache import open_cached
from ...datasets.builtin import catalog
from ...datasets.catalog import DataError, Dataset
from ...datasets.contract import check
from ...datasets.lock import loading
from ...datasets.longtail import counts
from ...datasets.split import Pool, Split, cut
from ...methods.names import nearest
from ..spec.schema import Data, Trial


def dataset(name: str) -> Dataset:
    """A data set by name; DataError names the nearest right word."""
    known = catalog()
    if name not in known:
        raise DataError(f"unknown data set {name!r}" + nearest(name, known))
    return known[name]


def long_tail(data: Data, val_per_class: int = 0) -> tuple[int, ...]:
    """The training images of each class, without touching the images. DataError where the tail cannot be cut."""
    known = dataset(data.name)
    available = [n - val_per_class for n in known.available]
    try:
        return counts(data.profile, available, data.head or known.head, data.imbalance_factor)
    except ValueError as error:
        raise DataError(f"{data.name}, imbalance factor {data.imbalance_factor:g}: {error}") from error


def pool(name: str, root: Path | None, verify: bool) -> Pool:
    """All images of a data set, read from its own files; TestSetLocked while a method is at work."""
    known = dataset(name)
    with loading():
        loaded = known.load(root, verify)
    check(known, loaded)
    return loaded


def split_of(trial: Trial, root: Path | None, verify: bool) -> tuple[Split, Pool]:
    """The trial's own subset of its pool, for a process that runs no method: all labels are in it."""
    loaded = _cached(trial.data.name, root, verify)
    return cut(loaded, long_tail(trial.data, trial.val_per_class), trial.seed, trial.val_per_class), loaded


@lru_cache(maxsize=2)
def _cached(name: str, root: Path | None, verify: bool) -> Pool:
    return open_cached(dataset(name), root, verify).pool


def cut_of(trial: Trial) -> str:
    """What decides a trial's images: trials of the same words must have the same fingerprint."""
    return f"{trial.data.canonical}, seed {trial.seed}, {trial.val_per_class} for validation"
