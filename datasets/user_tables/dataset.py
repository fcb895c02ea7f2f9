"""From a table to a data set, whose pool is read as every data set's, through the arrays that are kept decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..catalog import Dataset
from ..lock import import_readers, loading
from ..split import Images, Pool
from ..tables.columns import Column
from .locate import known, located, remember
from .source import WORDS, TableSource
from .table import Table, table


@dataclass(frozen=True)
class TableFacts:
    """All that can be said of a table without its file; a trial's key holds it.

    ``sha256`` is the hash of the contents (see ``Table.contents``), ``available`` and ``tested`` the training and test
    rows of each class; ``label``, ``group``, ``split`` and ``weight`` name columns. ``groups`` is the hash of which
    training rows belong together, None where none do.
    """

    sha256: str
    classes: tuple[str, ...]
    available: tuple[int, ...]
    tested: tuple[int, ...]
    columns: tuple[Column, ...]
    label: str
    group: str | None = None
    split: str | None = None
    weight: str | None = None
    groups: str | None = None

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> TableFacts:
        """The facts of their words as JSON has them."""
        named = {name: tuple(words[name]) for name in ("classes", "available", "tested")}
        columns = tuple(Column(each["name"], each.get("kind", "number")) for each in words["columns"])
        return cls(**{**words, **named, "columns": columns})

    @property
    def words(self) -> dict[str, Any]:
        """The same as JSON has them."""
        return asdict(self) | {"columns": [column._asdict() for column in self.columns]}


def resolve(source: TableSource) -> tuple[TableFacts, tuple[str, ...]]:
    """The facts of a source, and in sentences what was seen and done. It is read where it was not seen before, or has
    changed since. DataError where it cannot be trained on."""
    kept = known(source)
    if kept:
        try:
            return TableFacts.of(kept["about"]), tuple(map(str, kept["notes"]))
        except (KeyError, TypeError, ValueError, AttributeError):
            pass  # of an earlier version: it is read again
    import_readers()
    with loading():
        read = table(source)
    facts = facts_of(read)
    remember(source, (facts.sha256, facts.groups), {"about": facts.words, "notes": list(read.notes)})
    return facts, read.notes


def facts_of(read: Table) -> TableFacts:
    """The facts of a table."""
    roles: dict[str, Any] = {word: read.roles.get(word) for word in WORDS}
    return TableFacts(
        sha256=read.contents,
        classes=read.classes,
        available=read.counts(~read.test),
        tested=read.counts(read.test),
        columns=read.columns,
        groups=read.groups_hash,
        **roles,
    )


def dataset(name: str, facts: TableFacts) -> Dataset:
    """The data set that the facts are of, under the name that reports show. Its file is looked for when it is loaded,
    which raises DataError where a table with these contents is nowhere."""

    def found(root: Path | None) -> Table:
        return located(name, (facts.sha256, facts.groups), {word: getattr(facts, word) for word in WORDS}, root)

    def categories(root: Path | None) -> dict[str, tuple[str, ...]]:
        here = found(root)
        return {column.name: texts for column, texts in zip(here.columns, here.categories, strict=True) if texts}

    def load(root: Path | None, verify: bool) -> Pool:
        here = found(root)
        train, test = (Images(here.x[part], here.y[part]) for part in (~here.test, here.test))
        return Pool(train, test, True, {"contents": f"sha256:{facts.sha256}"}, here.groups)

    return Dataset(
        name=name,
        classes=facts.classes,
        available=facts.available,
        head=facts.available[0],
        shape=(len(facts.columns),),
        mean=(),
        std=(),
        load=load,
        layout="csv:FILE, parquet:FILE, openml:ID or imblearn:NAME",
        terms="the user's own, or those of the collection",
        description=f"{sum(facts.available)} + {sum(facts.tested)} rows of {len(facts.classes)} classes",
        tested=facts.tested,
        official={"contents": f"sha256:{facts.sha256}"},
        contents=facts.sha256,
        groups=facts.groups or "",
        columns=facts.columns,
        categories=categories,
    )
