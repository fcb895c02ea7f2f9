"""The catalog of data sets: a record for each, and how a third party adds one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from .. import UserError
from .split import Pool
from .tables.columns import Column


class DataError(UserError):
    """Data that is missing, damaged or not what it should be; the message is written for the user."""


@dataclass(frozen=True)
class Dataset:
    """One data set: all that can be said of it without touching its images, and how to load them.

    ``available`` are the training images of each class, in the order in which the long tail runs; ``head`` is the
    number kept of the largest class (at most ``available``). ``load(root, verify)`` returns the pool, raising
    DataError where files are missing or damaged, or where ``verify`` is set and a checksum differs.
    ``prepare(root)`` fetches the files over the network; None where terms or routes forbid it: ``how`` says then how to
    get them, or that none are needed.

    By ``tested`` (the test images of each class) and ``official`` (the checksums of a verified pool, as in its
    ``hashes``) a stranger's record is judged where the data set is not at hand; empty where they are not known.
    ``contents`` is the SHA-256 of a user's own data, which lie anywhere; empty for what is looked for by its name.
    ``groups`` is that of which of them belong together; empty where none do.
    ``archives`` are the md5 (hexadecimal) of the files that ``prepare`` fetches, by their addresses.

    ``superclasses`` are groups of its classes that have a name of their own.

    A table has ``columns``; its ``images`` are then rows, float64 of shape (N, columns), and it has no ``mean``.
    ``categories(root)`` are the names of the categories of each column that has any, in the order of their numbers.
    """

    name: str
    classes: tuple[str, ...]
    available: tuple[int, ...]
    head: int
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    load: Callable[[Path | None, bool], Pool]
    layout: str
    terms: str
    description: str
    prepare: Callable[[Path | None], Path] | None = None
    tested: tuple[int, ...] = ()
    official: Mapping[str, str] = field(default_factory=dict)
    contents: str = ""
    groups: str = ""
    archives: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    categories: Callable[[Path | None], Mapping[str, tuple[str, ...]]] | None = None
    superclasses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    how: str = ""


registered: dict[str, Dataset] = {}


def register_dataset(dataset: Dataset) -> Dataset:
    """Add a data set to the catalog; a second one of the same name is refused with ValueError."""
    if dataset.name in registered:
        raise ValueError(f"a data set named {dataset.name!r} is already registered")
    registered[dataset.name] = dataset
    return dataset


def catalog() -> dict[str, Dataset]:
    """Every data set by name: of ``builtin.py``, which imports this file; it can be asked for here too."""
    return import_module(".builtin", __package__).catalog()
