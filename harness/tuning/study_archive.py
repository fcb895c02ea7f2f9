"""The searches of a plan as text: what a bundle carries in place of Optuna's database, which nobody could read, and
which a stranger may have filled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from ..spec.canonical import Frozen
from ..spec.tune import Value
from ..storage.store import STUDIES, Store, StoreError
from .configuration import Configuration, State

if TYPE_CHECKING:
    from ..spec.schema import Spec
    from .search import Search


class _Told(Frozen, frozen=True):
    """A :class:`Configuration`; ``at`` is its value after each number of epochs at which it was judged."""

    number: int
    values: dict[str, Value]
    state: State
    value: float | None
    epochs: int
    seconds: float
    reason: str
    keys: tuple[str, ...]
    at: dict[int, float]


class _Study(Frozen, frozen=True):
    exhausted: bool
    configurations: tuple[_Told, ...]


_STUDIES = TypeAdapter(dict[str, _Study])


def file(spec: Spec) -> str:
    return f"studies/{spec.name}.json"


def told(spec: Spec, found: Mapping[str, Search], store: Store, reason: Callable[[str], str]) -> bytes:
    """What Optuna knows of a plan's searches by the canonical text of their rows; ``reason`` rewords failures."""
    from .optuna_study import read

    with studies(spec, found, store) as opened:
        there = {row: study for row, search in found.items() if (study := read(opened, search.name))}
        return _STUDIES.dump_json({row: _written(study, reason) for row, study in there.items()}, indent=1)


def _written(study: Any, reason: Callable[[str], str]) -> _Study:
    each = zip(study.configurations(), study.judged(), strict=True)
    found = tuple(_Told(**vars(c) | {"reason": reason(c.reason)}, at=at) for c, at in each)
    return _Study(exhausted=study.exhausted, configurations=found)


@contextmanager
def studies(spec: Spec, found: Mapping[str, Search], store: Store) -> Iterator[Any]:
    """Optuna's storage of a plan's searches, to be read: the store's database, or what the text of a bundle says.

    StoreError where that is damaged.
    """
    from .optuna_study import storage

    if store.has(STUDIES):
        with storage(store, write=False) as opened:
            yield opened
        return
    try:
        rows = _STUDIES.validate_json(store.read(file(spec)))
        opened = _storage({row: study for row, study in rows.items() if row in found}, found)
    except ValueError as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise StoreError(f"{store}/{file(spec)} is damaged: {why}") from error
    yield opened


def _storage(rows: Mapping[str, _Study], found: Mapping[str, Search]) -> Any:
    from .optuna_study import InMemory, created

    opened = InMemory()
    for row, told in rows.items():
        study = created(opened, found[row].name)
        for number, one in enumerate(told.configurations):
            if one.number != number:
                raise ValueError(f"configuration {one.number} stands where {number} is expected")
            fields = one.model_dump(exclude={"at"})
            study.add(found[row].space, Configuration(**fields), one.at)
        study.exhausted = told.exhausted
    return opened
