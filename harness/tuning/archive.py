"""The searches of a plan as files that need neither Optuna nor a method's code to be read.

``searches/`` holds the space of each row as it was when the plan was run: a range that a later version declares
otherwise does not make a finished search another one. ``studies/`` holds in a bundle what Optuna's database knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import TypeAdapter, ValidationError, field_validator

from ...methods.need import Need
from ..errors import StoreError
from ..spec.canonical import CanonicalModel
from ..spec.schema import Spec, Value, experiments
from ..storage import paths
from ..storage.paths import STUDIES
from ..storage.places import WritablePlace
from ..storage.reader import StoreReader
from ..storage.store import Store
from .configuration import Configuration, State
from .dimension import SPACE, Dimension
from .optuna_study import InMemory, create_study, open_storage, read_study
from .search import Search
from .successive_halving import outcomes


class _SearchedRow(CanonicalModel, frozen=True):
    space: dict[str, Dimension]
    starts_from: tuple[Need, ...]

    @field_validator("starts_from", mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        """Under the first protocol a need was a method's name."""
        return [Need(need) if isinstance(need, str) else need for need in raw] if isinstance(raw, list) else raw


_ROWS = TypeAdapter(dict[str, _SearchedRow])


def save_searches(spec: Spec, found: Mapping[str, Search], store: WritablePlace) -> None:
    """Keep what is searched of each row of a spec that is tuned, by the row's canonical text."""
    if spec.tune is None:
        return
    rows = {
        row: _SearchedRow(
            space=SPACE.validate_json(SPACE.dump_json(dict(search.space))), starts_from=search.starts_from
        )
        for row, search in found.items()
    }
    store.write(_searches_path(spec), _ROWS.dump_json(rows, indent=1))


def load_searches(spec: Spec, store: StoreReader) -> dict[str, Search]:
    """What ``searches`` came to when the plan was run. StoreError where that is missing or damaged."""
    if spec.tune is None:
        return {}
    try:
        rows = _ROWS.validate_json(store.read(_searches_path(spec)))
    except FileNotFoundError:
        raise StoreError(
            f"{store}/{_searches_path(spec)} is missing; run the spec again, which trains nothing twice"
        ) from None
    except ValidationError as error:
        raise StoreError(f"{store}/{_searches_path(spec)} is damaged: {error.errors()[0]['msg']}") from error
    return {
        cell.canonical: Search(cell, row.space, spec.tune, spec, row.starts_from)
        for cell in experiments(spec)
        if (row := rows.get(cell.canonical))
    }


def _searches_path(spec: Spec) -> str:
    return paths.searches(spec.name)


class _StoredConfiguration(CanonicalModel, frozen=True):
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


class _StoredStudy(CanonicalModel, frozen=True):
    exhausted: bool
    configurations: tuple[_StoredConfiguration, ...]


_STUDIES = TypeAdapter(dict[str, _StoredStudy])


def studies_path(spec: Spec) -> str:
    return paths.studies(spec.name)


def dump_studies(spec: Spec, found: Mapping[str, Search], store: StoreReader, reason: Callable[[str], str]) -> bytes:
    """What Optuna knows of a plan's searches by the canonical text of their rows; ``reason`` rewords failures."""
    with open_studies(spec, found, store) as opened:
        there = {row: study for row, search in found.items() if (study := read_study(opened, search.name))}
        rows = {row: _stored(found[row], study, store, reason) for row, study in there.items()}
        return _STUDIES.dump_json(rows, indent=1)


def _stored(search: Search, study: Any, store: StoreReader, reason: Callable[[str], str]) -> _StoredStudy:
    """As the records say it where they say the same end: a trial that was trained again took other seconds."""
    configurations = study.configurations()
    ends, stored = outcomes(search, configurations, store), []
    for claimed, at, end in zip(configurations, study.intermediate_values(), ends, strict=True):
        same = end is not None and (end[0].state, end[0].value) == (claimed.state, claimed.value)
        words = vars(end[0]) | {"at": end[1]} if end and same else vars(claimed) | {"at": at}
        stored.append(_StoredConfiguration.model_validate(words | {"reason": reason(str(words["reason"]))}))
    return _StoredStudy(exhausted=study.exhausted, configurations=tuple(stored))


@contextmanager
def open_studies(spec: Spec, found: Mapping[str, Search], store: StoreReader) -> Iterator[Any]:
    """Optuna's storage of a plan's searches, to be read: the store's database, or what the text of a bundle says.

    StoreError where that is damaged.
    """
    if isinstance(store, Store) and store.has(STUDIES):
        with open_storage(store, write=False) as opened:
            yield opened
        return
    try:
        rows = _STUDIES.validate_json(store.read(studies_path(spec)))
        opened = _in_memory({row: study for row, study in rows.items() if row in found}, found)
    except ValueError as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise StoreError(f"{store}/{studies_path(spec)} is damaged: {why}") from error
    yield opened


def _in_memory(rows: Mapping[str, _StoredStudy], found: Mapping[str, Search]) -> Any:
    opened = InMemory()
    for row, told in rows.items():
        study = create_study(opened, found[row].name)
        for number, one in enumerate(told.configurations):
            if one.number != number:
                raise ValueError(f"configuration {one.number} stands where {number} is expected")
            fields = one.model_dump(exclude={"at"})
            study.add(found[row].space, Configuration(**fields), one.at)
        study.exhausted = told.exhausted
    return opened
