"""Rows of an array that are read when they are asked for: of images that lie in a mapped file and may not fit into
memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

AT_ONCE = 2**24  # bytes that are read at a time


class Rows:
    """Rows of an array (N, ...), as an array of its own whose rows are copied only where they are asked for."""

    def __init__(self, array: np.ndarray, indices: np.ndarray | None = None) -> None:
        """Of ``array`` the rows ``indices``, or all of them."""
        self._array, self._indices = np.asarray(array), indices

    def __len__(self) -> int:
        return len(self._array if self._indices is None else self._indices)

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Some of the rows, by a slice or an array of positions; a copy."""
        taken = self._array[rows if self._indices is None else self._indices[rows]]
        return taken if taken.base is None else taken.copy()  # a slice is a view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array that these rows would be."""
        return len(self), *self._array.shape[1:]

    @property
    def dtype(self) -> np.dtype:
        """The type of its values."""
        return self._array.dtype

    @property
    def nbytes(self) -> int:
        """The bytes that it would take in memory."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def chunks(x: np.ndarray | Rows) -> Iterator[np.ndarray]:
    """The rows in their order, about AT_ONCE bytes at a time."""
    each = max(1, AT_ONCE // max(1, x.nbytes // max(1, len(x))))
    for start in range(0, len(x), each):
        yield x[start : start + each]
