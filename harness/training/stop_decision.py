"""StopDecision: what a worker is told when it asks whether to train on. Without torch, since the driver answers."""

from __future__ import annotations

from enum import Enum


class StopDecision(Enum):
    """What a trial does at the end of an epoch."""

    CONTINUE = "continue"
    """It trains on."""
    DRAIN = "drain"
    """The run is being stopped: the trial writes a checkpoint and ends."""
    MOVED = "moved"
    """Another process has the trial now: this one writes nothing more."""
