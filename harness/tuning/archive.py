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
from ..errors import StoreError, first_fault
from ..spec.canonical import CanonicalModel
from ..spec.schema import Spec, Value, experiments
from ..storage import paths
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


def save_searches(spec: Spec, searches: Mapping[str, Search], store: WritablePlace) -> None:
    """Keep what is searched of each row of a spec; nothing where it is not tuned.

    Args:
        spec: The plan.
        searches: Its searches, by the canonical text of their rows.
        store: Where they are kept.
    """
    if spec.tune is None:
        return
    rows = {
        row: _SearchedRow(
            space=SPACE.validate_json(SPACE.dump_json(dict(search.space))), starts_from=search.starts_from
        )
        for row, search in searches.items()
    }
    store.write(paths.searches(spec.name), _ROWS.dump_json(rows, indent=1))


def load_searches(spec: Spec, store: StoreReader) -> dict[str, Search]:
    """What ``searches`` came to when the plan was run.

    Args:
        spec: The plan.
        store: A store or a bundle.

    Returns:
        The searches, by the canonical text of their rows.

    Raises:
        StoreError: where what is stored of them is missing or damaged.
    """
    if spec.tune is None:
        return {}
    try:
        rows = _ROWS.validate_json(store.read(paths.searches(spec.name)))
    except FileNotFoundError:
        raise StoreError(
            f"{store}/{paths.searches(spec.name)} is missing; run the spec again, which trains nothing twice"
        ) from None
    except ValidationError as error:
        raise StoreError(f"{store}/{paths.searches(spec.name)} is damaged: {first_fault(error)}") from error
    return {
        cell.canonical: Search(cell, row.space, spec.tune, spec, row.starts_from)
        for cell in experiments(spec)
        if (row := rows.get(cell.canonical))
    }


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


def dump_studies(spec: Spec, searches: Mapping[str, Search], store: StoreReader, reason: Callable[[str], str]) -> bytes:
    """What Optuna knows of a plan's searches, for a bundle.

    Args:
        spec: The plan.
        searches: Its searches, by the canonical text of their rows.
        store: Where the studies are.
        reason: Rewords why a configuration failed.

    Returns:
        JSON, by the canonical text of the rows.

    Raises:
        StoreError: where the studies are damaged.
    """
    with open_studies(spec, searches, store) as opened:
        studies = {row: study for row, search in searches.items() if (study := read_study(opened, search.name))}
        rows = {row: _stored(searches[row], study, store, reason) for row, study in studies.items()}
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
def open_studies(spec: Spec, searches: Mapping[str, Search], store: StoreReader) -> Iterator[Any]:
    """Optuna's storage of a plan's searches, to be read: the store's database, or what the text of a bundle says.

    Args:
        spec: The plan.
        searches: Its searches, by the canonical text of their rows.
        store: A store or a bundle.

    Returns:
        A context with the storage.

    Raises:
        StoreError: where that is damaged.
    """
    if isinstance(store, Store) and store.has(paths.STUDIES):
        with open_storage(store, write=False) as opened:
            yield opened
        return
    try:
        rows = _STUDIES.validate_json(store.read(paths.studies(spec.name)))
        opened = _in_memory({row: study for row, study in rows.items() if row in searches}, searches)
    except ValueError as error:
        why = first_fault(error) if isinstance(error, ValidationError) else error
        raise StoreError(f"{store}/{paths.studies(spec.name)} is damaged: {why}") from error
    yield opened


def _in_memory(rows: Mapping[str, _StoredStudy], searches: Mapping[str, Search]) -> Any:
    opened = InMemory()
    for row, stored in rows.items():
        study = create_study(opened, searches[row].name)
        for number, configuration in enumerate(stored.configurations):
            if configuration.number != number:
                raise ValueError(f"configuration {configuration.number} stands where {number} is expected")
            fields = configuration.model_dump(exclude={"at"})
            study.add(searches[row].space, Configuration(**fields), configuration.at)
        study.exhausted = stored.exhausted
    return opened
