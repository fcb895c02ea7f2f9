"""From a trial's words to its split: the data set by name, its long tail, its pool."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from ...datasets.array_cache import open_cached
from ...datasets.builtin import catalog
from ...datasets.catalog import DataError, Dataset
from ...datasets.class_choice import chosen
from ...datasets.contract import check
from ...datasets.lock import loading
from ...datasets.longtail import counts, proportional, shared
from ...datasets.split import Pool, Split, cut
from ...datasets.user_images import dataset as user_images
from ...datasets.user_images.image_sets import IMAGE_SETS, folder_of
from ...datasets.user_images.source import HINT
from ...datasets.user_tables import collections_of_tables as collections
from ...datasets.user_tables import dataset as user_tables
from ...datasets.user_tables.source import HINT as HINT_OF_TABLES
from ...methods.names import nearest, nearest_sentence
from ..spec.schema import Data, Trial
from ..spec.user_files.contents import AnyContents, TableContents


def dataset(name: str, contents: AnyContents | None = None, classes: Sequence[str] | None = None) -> Dataset:
    """A data set by name, or the user's own.

    Args:
        name: Its name.
        contents: Those of the user's own images or table.
        classes: The classes or superclasses that are left of it, where not all are.

    Raises:
        DataError: where there is no such data set or class, with the nearest right word.
    """
    if isinstance(contents, TableContents):
        whole = user_tables.dataset(name, user_tables.TableFacts.of(contents.model_dump()))
    elif contents is not None:
        whole = user_images.dataset(name, user_images.ImageFacts(**contents.model_dump()))
    elif name in (known := catalog()):
        whole = known[name]
    else:
        meant = nearest_sentence(name, [*known, *IMAGE_SETS])
        raise DataError(f"unknown data set {name!r}{meant} {HINT} {HINT_OF_TABLES}")
    if not classes:
        return whole
    words = [*whole.classes, *whole.superclasses]
    if unknown := [each for each in classes if each not in words]:
        kinds = "class or superclass" if whole.superclasses else "class"
        raise DataError(f"data.classes: {name} has no {kinds} {unknown[0]!r}" + nearest(unknown[0], words))
    return chosen(whole, classes)


def dataset_of(data: Data) -> Dataset:
    """The data set that a trial's words name; DataError as in :func:`dataset`."""
    return dataset(data.name, data.contents, data.classes)


def test_counts(data: Data) -> tuple[int, ...]:
    """The test images or rows of each class, without touching the files; empty where the data set is not known here,
    or does not say."""
    try:
        return dataset_of(data).tested
    except DataError:
        return ()


def each_once(data: Iterable[Data]) -> list[Data]:
    """Of all settings of a data set one: of thousands of tails there are few."""
    return list({(each.name, each.contents, each.classes): each for each in data}.values())


def long_tail(data: Data, val_per_class: int = 0) -> tuple[int, ...]:
    """The training images of each class, without touching the images.

    Args:
        data: The data set and its tail.
        val_per_class: How many images of each class are kept for validation.

    Returns:
        (C,).

    Raises:
        DataError: where the tail cannot be cut.
    """
    known = dataset_of(data)
    available = [n - val_per_class for n in known.available]
    if min(available) < 1:
        name = known.classes[available.index(min(available))]
        raise DataError(
            f"{data.name}: class {name!r} has {min(known.available)} images, of which {val_per_class} for validation "
            "leave none to train on"
        )
    if data.majority and data.minority:
        return _halves(data, available)
    head = data.head or known.head
    try:
        if data.profile == "natural":
            return proportional(available, data.total) if data.total else tuple(available)
        if data.total:
            return _total(data, available)
        kept = counts(data.profile, available, head, data.imbalance_factor)
    except ValueError as error:
        raise DataError(f"{data.name}, imbalance factor {data.imbalance_factor:g}: {error}") from error
    if known.contents or known.columns:
        _check_tail(data, available, counts(data.profile, [available[0]] * len(kept), head, data.imbalance_factor))
    return kept


def _halves(data: Data, available: Sequence[int]) -> tuple[int, ...]:
    """The counts of majority and minority classes. DataError where a class has too few, with the most there can be."""
    assert data.majority and data.minority  # noqa: S101  (for the type checker)
    rare = len(available) // 2
    for word, wanted, images in (
        ("majority", data.majority, available[:-rare]),
        ("minority", data.minority, available[-rare:]),
    ):
        if wanted > min(images):
            raise DataError(f"{data.title}: {word}: {wanted} of each class; {min(images)} is the most that can be had")
    return (data.majority,) * (len(available) - rare) + (data.minority,) * rare


def _total(data: Data, available: Sequence[int]) -> tuple[int, ...]:
    """The tail of a fixed total. DataError, with the largest total that there is enough for, where a class has too few;
    ValueError where one would be empty."""
    assert data.total  # noqa: S101  (for the type checker)
    kept = shared(data.profile, len(available), data.total, data.imbalance_factor)

    def is_too_large(total: int) -> bool:
        try:
            tail = shared(data.profile, len(available), total, data.imbalance_factor)
        except ValueError:  # a class would be empty
            return False
        return any(wanted > most for wanted, most in zip(tail, available, strict=True))

    if is_too_large(data.total):
        largest = bisect_left(range(data.total), True, key=is_too_large) - 1
        raise DataError(
            f"{data.name}: a total of {data.total} at factor {data.imbalance_factor:g} asks for more of a class than "
            f"there is; the largest total that can be had is {largest}"
        )
    return kept


def _check_tail(data: Data, available: Sequence[int], asked: Sequence[int]) -> None:
    """DataError where a class has fewer images than the tail asks for: it would not have the factor that it is said
    to have."""
    for name, most, wanted in zip(dataset_of(data).classes, available, asked, strict=True):
        if most < wanted:
            raise DataError(
                f"{data.name}: class {name!r} has {most} training images, and a tail of factor "
                f"{data.imbalance_factor:g} from {asked[0]} asks for {wanted}: "
                "take a larger factor, a smaller head, or profile: natural"
            )


def pool(name: str, root: Path | None, verify: bool) -> Pool:
    """All images of a data set, read from its own files.

    Args:
        name: Its name.
        root: The folder that holds the data.
        verify: Refuse files whose checksums are not the official ones.

    Returns:
        Its images and labels, training and test.

    Raises:
        DataError: where the files are missing, damaged, or not the official ones.
        TestSetLocked: while a method is at work.
    """
    known = dataset(name)
    with loading():
        loaded = known.load(root, verify)
    check(known, loaded)
    return loaded


def prepare(name: str, root: Path | None) -> Path:
    """Fetch a data set over the network.

    Args:
        name: Its name.
        root: The folder that holds the data; the usual one if None.

    Returns:
        Where it is.

    Raises:
        DataError: where there is no such data set, it needs no preparation, or it cannot be fetched.
    """
    kind, colon, member = name.partition(":")
    if colon and kind in collections.KINDS:
        return collections.prepare(kind, member, root)
    known = IMAGE_SETS.get(name) or dataset(name)
    if known.prepare is None:
        raise DataError(f"{name} has no preparation. To get it: {known.how or known.layout}")
    return known.prepare(root)


def verified(name: str, root: Path | None) -> tuple[dict[str, str], bool]:
    """The checksums of a data set's files, and whether they are the official ones.

    Args:
        name: Its name.
        root: The folder that holds the data; where data sets are always looked for if None.

    Returns:
        The checksums by the files' names, and whether all is official.

    Raises:
        DataError: where the files are missing or damaged.
    """
    if known := IMAGE_SETS.get(name):
        folder = folder_of(name, None, root)
        return known.verify(folder) if known.verify else ({}, False)
    images = pool(name, root, False)
    return dict(images.hashes), images.verified


def split_of(trial: Trial, root: Path | None, verify: bool) -> tuple[Split, Pool]:
    """The trial's own subset of its pool, for a process that runs no method: all labels are in it.

    Args:
        trial: What is trained.
        root, verify: As in :func:`pool`.

    Returns:
        The split, and the pool that it is cut from.

    Raises:
        DataError, TestSetLocked: As in :func:`pool`.
    """
    loaded = _cached(trial.data.name, trial.data.contents, trial.data.classes, root, verify)
    counts = long_tail(trial.data, trial.val_per_class)
    return cut(loaded, counts, trial.seed, trial.val_per_class, trial.val == "natural"), loaded


@lru_cache(maxsize=2)
def _cached(
    name: str, contents: AnyContents | None, classes: tuple[str, ...] | None, root: Path | None, verify: bool
) -> Pool:
    return open_cached(dataset(name, contents, classes), root, verify).pool


def cut_of(trial: Trial) -> str:
    """What decides a trial's images: trials of the same words must have the same fingerprint."""
    return f"{trial.data.canonical}, seed {trial.seed}, {trial.val_per_class} for {trial.val or ''} validation"
