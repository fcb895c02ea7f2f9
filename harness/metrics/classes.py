"""The classes that metrics are of: by their names, by their order, and the rare one of two."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...datasets.catalog import DataError
from ...methods.names import nearest
from ..errors import ReportError
from ..registry.datasets import dataset_of
from ..spec.schema import Data

NUMBER = re.compile(r"\s*(\d+)")


def class_names(data: Data, classes: int) -> Sequence[str]:
    """The names of a data set's classes; their numbers where it is not known here."""
    try:
        names = dataset_of(data).classes
    except DataError:
        names = ()
    return names if len(names) == classes else list(map(str, range(classes)))


def class_number(word: str, data: Data) -> int:
    """The number of the class that a word names, or is. ReportError where the data set has no such class."""
    classes = dataset_of(data).classes
    if word in classes:
        return classes.index(word)
    if word.isdigit() and int(word) < len(classes):
        return int(word)
    numbers = f" (or its number, 0 to {len(classes) - 1})"
    raise ReportError(f"--metric: {data.name} has no class {word!r}{numbers}" + nearest(word, classes))


def positive_class(counts: Sequence[int]) -> int:
    """The class with the fewest training images; of equal ones the last."""
    return min(range(len(counts)), key=lambda label: (counts[label], -label))


def class_ranks(names: Sequence[str]) -> tuple[int, ...]:
    """The place of each class among ordered ones: their names begin with different whole numbers, as in "2 moderate".
    Empty where they do not."""
    found = [NUMBER.match(name) for name in names]
    numbers = [int(match[1]) for match in found if match]
    if len(set(numbers)) < len(names):
        return ()
    return tuple(sorted(numbers).index(number) for number in numbers)
