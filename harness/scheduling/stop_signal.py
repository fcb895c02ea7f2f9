"""What the driver has to say to its workers while they train; in a file of its own, so that a process that answers for
it imports no torch."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..training.stop_decision import StopDecision

ASK_SECONDS = 1.0  # between two questions to another process: each costs that one time, and the worker too


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


class FolderStopSignal:
    """The same for workers on the driver's own machine, through a folder that goes when the driver does: no process
    answers, and to ask is to look at a file or two."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stop(self) -> None:
        """Ask every trial to save itself and end."""
        self._write("stop", "")

    def assign(self, trial: str, holder: str) -> None:
        """Say which actor (``holder``) a trial is given to; another that still trains it is asked to end."""
        if not self._write(trial, holder):  # whom it was given to before is then not known either
            with suppress(OSError):
                (self._folder / trial).unlink()

    def should_stop(self, trial: str, holder: str) -> StopDecision:
        """What ``holder``, which trains the trial of this key, does next; where the folder is gone, so is the run."""
        try:
            known = (self._folder / trial).read_text()
        except FileNotFoundError:
            known = holder if self._folder.exists() else ""
        if known != holder:
            return StopDecision.MOVED
        return StopDecision.DRAIN if (self._folder / "stop").exists() else StopDecision.CONTINUE

    def _write(self, name: str, text: str) -> bool:
        """Whether it is written: whole or not at all, for a worker may look just now. On a full disk not at all; to
        stop is said again and again, and of what is killed on the driver's own machine nothing lives on."""
        part = self._folder / f"{name}.part"
        with suppress(OSError):
            part.write_text(text)
            part.replace(self._folder / name)
            return True
        return False


def now_and_then(
    ask: Callable[[], StopDecision], clock: Callable[[], float] = time.monotonic
) -> Callable[[], StopDecision]:
    """The same question, put no more often than every ``ASK_SECONDS``; in between the last answer holds.

    Args:
        ask: The question.
        clock: Seconds.
    """
    asked, answer = -ASK_SECONDS, StopDecision.CONTINUE

    def answered() -> StopDecision:
        nonlocal asked, answer
        if (now := clock()) - asked >= ASK_SECONDS:
            asked, answer = now, ask()
        return answer

    return answered
