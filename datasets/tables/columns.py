"""Columns: what the numbers of a table's rows stand for. It imports nothing heavy, since a plan names columns too."""

from __future__ import annotations

from typing import Literal, NamedTuple

TABLES = ("adult", "covertype", "covertype-ramp", "simulated-table")  # of the catalog; ``sets.py`` and
# ``simulated.py`` hold them


class Column(NamedTuple):
    """One column of a table, whose values are float64 in a row: a number, a date as the days since 1970-01-01, the
    position of a category among those of the column, or the weight of the row. NaN stands for a missing value.
    """

    name: str
    kind: Literal["number", "category", "date", "weight"] = "number"
