"""The searches of a plan as they were when it was run.

A report reads them here: it runs no method's code, which a stranger may have written, and a range that a later version
declares otherwise does not make a finished search another one.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import TypeAdapter, ValidationError

from ..spec.canonical import Frozen
from ..spec.schema import Spec, cells
from ..storage.store import Store, StoreError
from .search import Search
from .space import SPACE, Dimension


class _Row(Frozen, frozen=True):
    space: dict[str, Dimension]
    starts_from: tuple[str, ...]


_ROWS = TypeAdapter(dict[str, _Row])


def remember(spec: Spec, found: Mapping[str, Search], store: Store) -> None:
    """Keep what is searched of each row of a spec that is tuned, by the row's canonical text."""
    if spec.tune is None:
        return
    rows = {
        row: _Row(space=SPACE.validate_json(SPACE.dump_json(dict(search.space))), starts_from=search.starts_from)
        for row, search in found.items()
    }
    store.write(_file(spec), _ROWS.dump_json(rows, indent=1))


def remembered(spec: Spec, store: Store) -> dict[str, Search]:
    """What ``searches`` came to when the plan was run. StoreError where that is missing or damaged."""
    if spec.tune is None:
        return {}
    try:
        rows = _ROWS.validate_json(store.read(_file(spec)))
    except FileNotFoundError:
        raise StoreError(f"{store}/{_file(spec)} is missing; run the spec again, which trains nothing twice") from None
    except ValidationError as error:
        raise StoreError(f"{store}/{_file(spec)} is damaged: {error.errors()[0]['msg']}") from error
    return {
        cell.canonical: Search(cell, row.space, spec.tune, spec, row.starts_from)
        for cell in cells(spec)
        if (row := rows.get(cell.canonical))
    }


def _file(spec: Spec) -> str:
    return f"searches/{spec.name}.json"
