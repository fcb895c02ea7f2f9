"""How long a run still takes: the work that is left, at the speed that each method has shown, over the slots in use.

No schedule ends before its work is spread evenly over the slots, nor before its longest chain. One that leaves no
slot idle while anything can start takes at most the sum of both, which is at most twice the larger (R. L. Graham,
"Bounds on multiprocessing timing anomalies", SIAM J. Appl. Math. 17, 1969): the larger is the estimate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from time import monotonic

ALL = ""  # beside the methods' names: all methods together


@dataclass(eq=False)
class Work:
    """Epochs that are to be trained, of one trial or of all trials of a search.

    Args:
        method: By whose speed they are trained.
        flops: Operations of one epoch.
        epochs: How many are left.
        serial: The share of them that is trained one after the other: all of a trial's, some of a search's.
        then: What begins only after them.
    """

    method: str
    flops: float
    epochs: float
    serial: float = 1.0
    then: list[Work] = field(default_factory=list)


class EtaEstimator:
    """Learns the speed of each method from the epochs that this session trains."""

    def __init__(self) -> None:
        self._seconds, self._flops = defaultdict[str, float](float), defaultdict[str, float](float)
        self._heard: dict[str, float] = {}

    def heard(self, key: str, work: Work, epochs: int) -> None:
        """A trial has trained some epochs since it was heard last. When its first epoch began is not known: a process
        may start slowly.

        Args:
            key: The trial's.
            work: What it is.
            epochs: How many; 0 where it trains no more, and was scored.
        """
        if key in self._heard:
            self.observe(work, epochs, monotonic() - self._heard.pop(key))
        if epochs:
            self._heard[key] = monotonic()

    def observe(self, work: Work, epochs: float, seconds: float) -> None:
        """A worker has trained.

        Args:
            work: What it trained.
            epochs: How many of it.
            seconds: What they took.
        """
        for name in (work.method, ALL):
            self._seconds[name] += seconds
            self._flops[name] += epochs * work.flops

    def _time(self, work: Work, epochs: float) -> float:
        """The seconds of so many epochs, at the speed of the work's method, or of all where that is not known yet."""
        name = work.method if self._flops[work.method] else ALL
        return epochs * work.flops * self._seconds[name] / self._flops[name]

    def _chain(self, work: Work) -> float:
        """The seconds of what is left to do one after the other, with what follows."""
        return self._time(work, work.epochs * work.serial) + max(map(self._chain, work.then), default=0.0)

    def seconds_left(self, left: Iterable[Work], running: Sequence[tuple[Work, float]], slots: int) -> float | None:
        """The time until all work is done, if each method keeps its speed.

        Args:
            left: All that is not done.
            running: The work of each trial that is trained now, and the epochs that are left of that trial.
            slots: How many trials are trained at a time.

        Returns:
            Seconds; None as long as no speed is known.
        """
        if not self._flops[ALL]:
            return None
        free = min((self._time(*trial) for trial in running), default=0.0) if len(running) >= slots else 0.0
        begun = {work for work, _ in running}
        total = longest = 0.0
        for work in left:
            total += self._time(work, work.epochs)
            longest = max(longest, self._chain(work) + (0.0 if work in begun else free))
        return max(total / slots, longest)
