"""What is in a table: its classes, its columns and what is missing in them, test rows that repeat training rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from .source import TableSource
from .table import Table, table


def inspected(source: TableSource) -> dict[str, Any]:
    """The facts of a source, for a table or JSON. DataError, with the column or the line, where it cannot be trained
    on.

    ``classes`` are in the order in which the tail runs, with their training and test rows; ``columns`` have a kind, how
    many training rows lack a value, and what the values are; ``repeated`` is the number of test rows whose values are
    those of a training row, ``conflicting`` that of them whose class is another.
    """
    read = table(source)
    train, test = read.counts(~read.test), read.counts(read.test)
    repeated, conflicting = _repeated(read)
    return {
        "name": source.name,
        "kind": "table",
        "rows": len(read.y),
        **{word: read.roles.get(word) for word in ("label", "group", "split", "weight")},
        "classes": [
            {"class": name, "train": trained, "test": tested}
            for name, trained, tested in zip(read.classes, train, test, strict=True)
        ],
        "columns": [_column(read, place) for place in range(len(read.columns))],
        "factor": round(max(train) / min(train), 3),
        "balanced_test": len(set(test)) == 1,
        "groups": 0 if read.group is None else len(np.unique(read.group)),
        "repeated": repeated,
        "conflicting": conflicting,
        "contents": read.contents,
        "notes": list(read.notes),
        "ready": True,
    }


def _column(read: Table, place: int) -> dict[str, Any]:
    """A column in words: of training rows, since nothing of the others need be known."""
    column, values = read.columns[place], read.x[~read.test, place]
    held = values[~np.isnan(values)]
    if not len(held):
        said = "no value among the training rows"
    elif column.kind == "category":
        said = f"{len(np.unique(held))} categories"
    elif column.kind == "date":
        said = " to ".join(str(np.datetime64(int(day // 1), "D")) for day in (held.min(), held.max()))
    else:
        said = f"{held.min():g} to {held.max():g}"
    return {"column": column.name, "kind": column.kind, "missing": int(np.isnan(values).sum()), "values": said}


def _repeated(read: Table) -> tuple[int, int]:
    """Test rows with the values of a training row, and those of them whose class is that of no such row."""
    trained: dict[bytes, set[int]] = {}
    for row, label in zip(read.x[~read.test], read.y[~read.test].tolist(), strict=True):
        trained.setdefault(row.tobytes(), set()).add(label)
    found = [
        label not in trained[row.tobytes()]
        for row, label in zip(read.x[read.test], read.y[read.test].tolist(), strict=True)
        if row.tobytes() in trained
    ]
    return len(found), sum(found)
