"""A record against the predictions that lie beside it: every accuracy counted again, bit for bit."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from ...datasets.split import natural_validation
from ...leaderboard.confusion import Confusion
from ...methods.recipe import Recipe
from ..metrics.scores import per_class_accuracy
from ..registry.datasets import dataset_of, long_tail
from ..registry.methods import recipe_of
from ..spec.schema import PROTOCOL
from ..storage import paths
from ..storage.record import LOGITS, Record
from ..training.notes import HALF_LIVES, remarks

SHOWN = 40  # characters of a packed matrix, or of numbers, in a message
LEEWAY = 1.0  # second; training lies within the time of its attempts, which is added up over resumes as it is


class Mismatch(NamedTuple):
    """What a bundle claims of ``field`` in ``file``, and what was found."""

    file: str
    field: str
    claimed: str
    found: str

    def __str__(self) -> str:
        return f"{self.file}: {self.field}: claimed {self.claimed}, found {self.found}"


def recompute_accuracies(record: Record, arrays: Mapping[str, np.ndarray]) -> dict[str, tuple[float, ...]]:
    """The accuracy of each class, from the stored predictions.

    Args:
        record: The trial's.
        arrays: What is stored beside it, by name.

    Returns:
        In percent, by the names of the logits.

    Raises:
        ValueError: where the arrays cannot be the predictions of such a trial.
    """
    classes = len(record.counts)
    if missing := [name for name in (*LOGITS, "labels", "history_epoch", "history_loss") if name not in arrays]:
        raise ValueError(f"no array {missing[0]!r}")
    labels = arrays["labels"]
    if (
        labels.ndim != 1
        or labels.dtype.kind != "i"
        or not len(labels)
        or not 0 <= labels.min() <= labels.max() < classes
    ):
        raise ValueError(f"labels that are no classes of {classes}")
    if not np.bincount(labels, minlength=classes).all():
        raise ValueError("a class without an image")
    _check_history(record, arrays)
    for name in LOGITS:
        logits = arrays[name]
        if logits.shape != (len(labels), classes) or logits.dtype != np.float16 or not np.isfinite(logits).all():
            raise ValueError(
                f"{name}: logits of shape {logits.shape} that are no finite float16 of each image and class"
            )
    return {name: per_class_accuracy(arrays[name], labels) for name in LOGITS}


def _check_history(record: Record, arrays: Mapping[str, np.ndarray]) -> None:
    """ValueError where it is not a line for each epoch. What is in the lines nothing checks."""
    for name in sorted(name for name in arrays if name.startswith("history_")):
        if arrays[name].shape != (record.epochs,):
            raise ValueError(f"{name} of shape {arrays[name].shape} where the record has {record.epochs} epochs")
    if not np.array_equal(arrays["history_epoch"], np.arange(record.epochs)):
        raise ValueError("history_epoch does not count the epochs")


def accuracies(
    record: Record, recomputed: Mapping[str, tuple[float, ...]], arrays: Mapping[str, np.ndarray]
) -> Iterator[Mismatch]:
    """Where a record's own accuracies, confusion matrix or numbers of images are not those of the predictions.

    Args:
        record: What is claimed.
        recomputed: The accuracy of each class in percent, by the weights that were scored.
        arrays: The logits and labels that lie beside it.

    Returns:
        A mismatch for each number that differs.
    """
    labels = arrays["labels"]
    counted = Confusion.of(arrays[LOGITS[0]].argmax(axis=1), labels, len(record.counts)).packed()
    place = paths.record(record.key)
    if record.confusion and record.confusion != counted:
        yield Mismatch(place, "confusion", _shortened(record.confusion), _shortened(counted))
    for name in LOGITS:
        claimed = record.accuracy.get(name, ())
        if len(claimed) != len(recomputed[name]):
            yield Mismatch(place, f"accuracy.{name}", f"{len(claimed)} classes", str(len(recomputed[name])))
            continue
        for label, (said, is_) in enumerate(zip(claimed, recomputed[name], strict=True)):
            if said != is_:
                yield Mismatch(place, f"accuracy.{name}[{label}]", repr(said), repr(is_))
    tested = tuple(np.bincount(labels, minlength=len(record.counts)).tolist())
    if tested != record.test_counts:
        yield Mismatch(place, "test_counts", str(list(record.test_counts)), str(list(tested)))


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def words(record: Record) -> Iterator[Mismatch]:
    """What follows from the trial's own words: its images, its epochs, its values. No plugin's code is run. DataError
    where its data set is unknown. What else a record says, such as its times, is a claim."""
    place = paths.record(record.key)
    yield from _images(record)
    yield from _course(record)
    yield from _data(record)
    claimed, (expected, all_of_them) = _plain(record.values), _values(record)
    for name in sorted({*expected, *(claimed if all_of_them else ())}):
        said, is_ = claimed.get(name, "nothing"), expected.get(name, "nothing")
        if said != is_:
            yield Mismatch(place, f"values.{name}", repr(said), repr(is_))
    own = _own_method(record) if record.status == "complete" else None
    if own and record.reason != (is_ := "; ".join(remarks(record.notes, own))):
        yield Mismatch(place, "reason", record.reason or "nothing", is_ or "nothing")


def noted(record: Record, arrays: Mapping[str, np.ndarray]) -> Iterator[Mismatch]:
    """Where what the parts of a method noted of themselves is not the mean of what the history has of each epoch.

    Args:
        record: What is claimed.
        arrays: The history that lies beside it, among others.

    Returns:
        A mismatch for each note that differs.

    Raises:
        ValueError: where a column of the history holds no numbers.
    """
    columns = {name.removeprefix("history_"): array for name, array in arrays.items() if name.startswith("history_")}
    if odd := [name for name, array in columns.items() if array.dtype.kind not in "fiu"]:
        raise ValueError(f"history_{odd[0]} holds no numbers")
    there = {name: array[~np.isnan(array)] for name, array in columns.items() if "." in name}
    means = {name: float(array.mean()) for name, array in there.items() if len(array)}
    for name in sorted({*means, *record.notes} - {HALF_LIVES}):
        said, is_ = record.notes.get(name), means.get(name)
        if said is None or is_ is None or not math.isclose(said, is_, rel_tol=1e-9, abs_tol=1e-12):
            found = ("nothing" if each is None else repr(each) for each in (said, is_))
            yield Mismatch(paths.record(record.key), f"notes.{name}", *found)


def _images(record: Record) -> Iterator[Mismatch]:
    """How many of each class it was trained and scored on, as far as the catalog knows the data set's test images."""
    trial, expected = record.trial, {}
    if trial.val_per_class and trial.data.contents and trial.data.contents.groups:
        return  # whole groups are set aside, of which the images alone tell the sizes
    if record.counts:
        expected["counts"] = long_tail(trial.data, trial.val_per_class)
    if record.test_counts:
        known, held_out = dataset_of(trial.data), trial.val_per_class
        even = (held_out,) * len(known.classes)
        validated = natural_validation(long_tail(trial.data, held_out), held_out) if trial.val else even
        expected["test_counts"] = known.tested if trial.stage == "report" else validated
    for field, is_ in expected.items():
        said = getattr(record, field)
        if is_ and said != is_:
            yield Mismatch(paths.record(record.key), field, str(list(said)), str(list(is_)))


def matrix(record: Record, place: str) -> Iterator[Mismatch]:
    """Where the confusion matrix of a rung in the file ``place``, whose predictions are gone, is not of the accuracies
    beside it."""
    if not record.confusion:
        return
    try:
        counted = Confusion.unpacked(record.confusion, record.test_counts)
    except ValueError as error:
        yield Mismatch(place, "confusion", _shortened(record.confusion), str(error))
        return
    said, is_ = record.accuracy.get(LOGITS[0], ()), tuple((100 * (counted.right / counted.tested)).tolist())
    if said != is_:
        yield Mismatch(place, "confusion", f"accuracies of {_shortened(str(list(is_)))}", _shortened(str(list(said))))


def _course(record: Record) -> Iterator[Mismatch]:
    """Its end, its epochs, and the time that they took, which is part of the time of the whole."""
    place, trial, whole = paths.record(record.key), record.trial, record.trial.training.epochs
    if record.status == "pruned" and trial.stage == "report":
        yield Mismatch(place, "status", record.status, "a reported trial, which nothing stops early")
    few, many = {"complete": (whole, whole), "pruned": (1, whole - 1)}.get(record.status, (0, whole))
    if not few <= record.epochs <= many:
        yield Mismatch(place, "epochs", str(record.epochs), f"{whole} in its plan")
    if not record.train_seconds <= record.wall_seconds + LEEWAY:
        yield Mismatch(place, "train_seconds", f"{record.train_seconds:g}", f"{record.wall_seconds:g} s in all")


def _data(record: Record) -> Iterator[Mismatch]:
    """What vouches for its images: there must be something, and for verified ones the official checksums."""
    place, claimed = paths.record(record.key), record.data
    if claimed is None:
        if record.status in ("complete", "pruned"):
            yield Mismatch(place, "data", "nothing", "predictions, which are of images")
        return
    official = dataset_of(record.trial.data).official if claimed.verified else {}
    for name in sorted({*official, *(claimed.hashes if official else ())}):
        said, is_ = claimed.hashes.get(name, "nothing"), official.get(name, "nothing")
        if said != is_:
            yield Mismatch(place, f"data.hashes.{name}", said, is_)


@cache
def _version() -> str:
    """That of this tailboard, which stands in a file: a bundle may have thousands of records."""
    return version("tailboard")


def _values(record: Record) -> tuple[dict[str, Any], bool]:
    """The hyperparameters that the trial's words stand for, and whether these are all: the defaults are known of our
    own methods, and of this version and protocol."""
    trial = record.trial
    if not record.values and record.status in ("failed", "diverged"):  # it may have ended before it had any
        return {}, False
    if (own := _own_method(record)) is None:
        return _plain(trial.method.values), False
    silent = later_values(record)
    return _plain({n: v for n, v in own.values().items() if n not in silent}), True


def _own_method(record: Record) -> Recipe | None:
    """The method of a trial, where it is one of ours, of this version and protocol; None of another."""
    trial = record.trial
    if trial.method.plugin or trial.protocol != PROTOCOL or installed(record).get("tailboard") != _version():
        return None
    try:
        return recipe_of(trial, None)
    except Exception:  # of an installed package that is not here, or whatever else a stranger's words lead to
        return None


def later_values(record: Record) -> frozenset[str]:
    """The hyperparameters of one of our methods that a record does not name, since they came after it was made: it was
    trained at their defaults."""
    trial = record.trial
    if trial.method.plugin:
        return frozenset()
    return recipe_of(trial, None).later() - record.values.keys() - trial.method.values.keys()


def installed(record: Record) -> Mapping[str, Any]:
    """The versions of the packages that a trial was trained with."""
    found = record.environment.get("packages")
    return found if isinstance(found, Mapping) else {}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has them."""
    return json.loads(json.dumps(dict(values)))
