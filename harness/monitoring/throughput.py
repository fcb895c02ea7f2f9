"""How long a run still takes: by the work that it does in a second, not by the number of its trials, since one trial
may take a hundred times as long as another."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """Accounts of work, in any one unit. What an earlier session did lessens what is left, and says nothing of how fast
    this one is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[str, float] = {}  # by account
        self._done, self._reports, self._most = 0.0, 0, 0
        self._begun: float | None = None

    def expect(self, account: str, work: float) -> None:
        """So much is to be done on an account, whatever was expected of it before."""
        self._left[account] = work

    def training(self, at_a_time: int) -> None:
        """So many trials train now."""
        if self._begun is None:
            self._begun = self._clock()
        self._most = max(self._most, at_a_time)

    def did(self, account: str, work: float) -> None:
        """So much was done now."""
        self._done += work
        self._reports += 1
        self.skip(account, work)

    def skip(self, account: str, work: float) -> None:
        """So much need not be done: an earlier session did it."""
        if account in self._left:
            self._left[account] = max(0.0, self._left[account] - work)

    def close(self, account: str) -> None:
        """Nothing more is done on an account."""
        self._left.pop(account, None)

    def seconds_left(self) -> float | None:
        """None before as many reports have come in as trials were trained at a time: what those have done that have not
        reported yet is not known, and the first would seem slow."""
        if self._begun is None or self._reports < max(self._most, 1) or self._done <= 0:
            return None
        return sum(self._left.values()) * (self._clock() - self._begun) / self._done
