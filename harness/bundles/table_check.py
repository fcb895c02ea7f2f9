"""The table that a bundle claims, cell by cell, against that of its predictions."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator

from pydantic import ValidationError

from ...datasets.catalog import DataError
from ...leaderboard.results import CELL
from ..reporting import gather as publish
from ..storage.store import StoreError
from .bundle import TABLE, Bundle
from .record_checks import Difference

ROUNDING = 1e-9  # percent: means and errors are sums, which other versions of pandas may round otherwise
WRONG = (StoreError, FileNotFoundError, DataError, ValueError, KeyError, csv.Error)  # what hostile words lead to


def table(bundle: Bundle) -> Iterator[Difference]:
    """Each cell that is not what its trials come to."""
    try:
        claimed = _cells(bundle.read(TABLE).decode())
        found = _cells(publish.gather([bundle]).rendered("csv"))
    except WRONG as error:
        yield Difference(TABLE, "table", "one that can be made", reason(error))
        return
    for cell in dict.fromkeys([*claimed, *found]):
        if cell not in claimed or cell not in found:
            yield Difference(
                TABLE, ", ".join(cell), *("a row" if cell in some else "no row" for some in (claimed, found))
            )
            continue
        for name in dict.fromkeys([*claimed[cell], *found[cell]]):
            said, is_ = claimed[cell].get(name, "no column"), found[cell].get(name, "no column")
            if not _same(said, is_):
                yield Difference(TABLE, f"{', '.join(cell)}: {name}", said or "nothing", is_ or "nothing")


def _cells(text: str) -> dict[tuple[str, ...], dict[str, str]]:
    rows = list(csv.DictReader(io.StringIO(text), strict=True, restval="", restkey="beside the columns"))
    cells = {tuple(str(row.get(name, "")) for name in CELL): {n: str(v) for n, v in row.items()} for row in rows}
    if len(cells) != len(rows):
        raise ValueError("two rows of one cell")
    return cells


def _same(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        return math.isclose(float(one), float(other), rel_tol=0, abs_tol=ROUNDING)
    except ValueError:
        return False


def reason(error: Exception) -> str:
    """The error in one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return " ".join(str(error).split())
