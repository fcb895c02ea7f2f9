"""A set of imbalanced-learn's collection: an ``.npz`` with the features in ``data`` and -1 or 1 in ``label``."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from ..catalog import DataError
from ..user_images.readers.array_file import arrays
from .cells import Cells, RawTable, check_size, checked_names

LABEL = "label"


class NpzFile:
    """The arrays of a file. DataError where it holds others."""

    label: str | None = LABEL

    def __init__(self, path: Path, member: str) -> None:
        self.file = f"imblearn:{member}"
        held = arrays(path)
        x, y = held.get("data"), held.get(LABEL)
        if (
            x is None
            or y is None
            or x.ndim != 2
            or y.shape != (len(x),)
            or not {x.dtype.kind, y.dtype.kind} <= set("iuf")
        ):
            shown = ", ".join(f"{name} {array.shape}" for name, array in held.items()) or "nothing"
            raise DataError(f"{path} holds {shown}: numbers in data (N, columns) and in label (N,) are expected")
        check_size(len(x), x.shape[1], self.file)
        self._x, self._y = x, y
        self.names = checked_names([*(f"x{place + 1}" for place in range(x.shape[1])), LABEL], self.file)

    def read(self, texts: Collection[str]) -> RawTable:
        """All rows."""
        columns = [Cells(name, self._x[:, place].astype(np.float64)) for place, name in enumerate(self.names[:-1])]
        label = Cells(LABEL, self._y.astype(np.float64))
        return RawTable(self.file, tuple(c.worded() if c.name in texts else c for c in (*columns, label)))
