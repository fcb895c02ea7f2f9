"""Records that are read once each, a few at a time: a store may hold ten thousand, and be far away."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from ..errors import StoreError
from ..storage.record import TrialResult

R = TypeVar("R", bound=TrialResult)


class Readings(Generic[R]):
    """What was asked for and not read yet. One thread may ask while another reads."""

    def __init__(self, read: Callable[[str], R], keys: Iterable[str] = ()) -> None:
        self._read, self._asked = read, set[str]()
        self._left: deque[str] = deque()
        self.want(keys)

    def want(self, keys: Iterable[str]) -> None:
        """Read these too; those that were asked for before are passed over."""
        for key in keys:
            if key not in self._asked:
                self._asked.add(key)
                self._left.append(key)

    def forget(self, keys: Iterable[str]) -> None:
        """These are other records from now on."""
        self._asked.difference_update(keys)

    def read(self, seconds: float) -> list[tuple[str, R | None]]:
        """What can be read in so long, one at least; None in place of a record that is damaged or was removed."""
        found, end = [], time.monotonic() + seconds
        while self._left and (not found or time.monotonic() < end):
            key = self._left.popleft()
            try:
                found.append((key, self._read(key)))
            except (StoreError, OSError):
                found.append((key, None))
        return found
