"""Contents: what is known of a user's own images or table, by which a trial's data are known without their files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from ..canonical import CanonicalModel, omitted_at

Counts = tuple[Annotated[int, Field(ge=1)], ...]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class _Counted(CanonicalModel, frozen=True):
    """Files by their hash, and how many examples of each class they hold for training and testing."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    classes: tuple[str, ...] = Field(min_length=2)
    available: Counts
    tested: Counts

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if not len(self.classes) == len(self.available) == len(self.tested) == len(set(self.classes)):
            raise ValueError("classes, available and tested must tell of the same classes, each once")
        return self

    @property
    def factor(self) -> float:
        """Training examples of the largest class over those of the smallest."""
        return max(self.available) / min(self.available)


class Contents(_Counted, frozen=True):
    """A user's own images as a key knows them: ``ImageFacts`` of ``datasets/user_images``, whose fields these are."""

    later: ClassVar[frozenset[str]] = frozenset({"groups"})

    shape: tuple[Annotated[int, Field(ge=1, le=4096)], ...] = Field(min_length=3, max_length=3)
    mean: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    std: tuple[Annotated[float, Field(gt=0, le=1)], ...]
    groups: str | None = omitted_at(None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _channels(self) -> Contents:
        if not self.shape[0] == len(self.mean) == len(self.std):
            raise ValueError("shape, mean and std must tell of the same channels")
        return self


class TableColumn(CanonicalModel, frozen=True):
    """A column of a table: see ``datasets.tables.columns.Column``."""

    name: str = Field(min_length=1, max_length=200)
    kind: Literal["number", "category", "date", "weight"]


class TableContents(_Counted, frozen=True):
    """A user's own table as a key knows it: see ``TableFacts`` in ``datasets/user_tables``, whose fields these are."""

    later: ClassVar[frozenset[str]] = frozenset({"group", "split", "weight", "groups"})

    classes: tuple[str, ...] = Field(min_length=2, max_length=1000)
    columns: tuple[TableColumn, ...] = Field(min_length=1, max_length=4096)
    label: Name
    group: Name | None = omitted_at(None)
    split: Name | None = omitted_at(None)
    weight: Name | None = omitted_at(None)
    groups: str | None = omitted_at(None, pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="after")
    def _columns(self) -> TableContents:
        if len({column.name for column in self.columns}) < len(self.columns):
            raise ValueError("columns must tell of each column once")
        if all(column.kind == "weight" for column in self.columns):
            raise ValueError("columns must tell of one to learn from")
        return self


def _kind(raw: Any) -> str:
    table = isinstance(raw, TableContents) or (isinstance(raw, Mapping) and "columns" in raw)
    return "table" if table else "images"


AnyContents = Annotated[
    Annotated[Contents, Tag("images")] | Annotated[TableContents, Tag("table")], Discriminator(_kind)
]
