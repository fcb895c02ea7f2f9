"""What the driver has to say to its workers while they train; in a file of its own, so that its process imports no
torch."""

from __future__ import annotations

from ..training.stop_decision import StopDecision


class StopSignal:
    """Whether the run is being stopped, and which process has each trial now.

    A node that is out of touch is given up, and its trials go to others; but its workers may live on for a while.
    """

    def __init__(self) -> None:
        self._stopping = False
        self._holders: dict[str, str] = {}

    def stop(self) -> None:
        """Ask every trial to save itself and end."""
        self._stopping = True

    def assign(self, trial: str, holder: str) -> None:
        """Say which actor (``holder``) a trial is given to; another that still trains it is asked to end."""
        self._holders[trial] = holder

    def should_stop(self, trial: str, holder: str) -> StopDecision:
        """What ``holder``, which trains the trial of this key, does next."""
        if self._holders.get(trial, holder) != holder:
            return StopDecision.MOVED
        return StopDecision.DRAIN if self._stopping else StopDecision.CONTINUE
