"""Configuration: one proposal of a search, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ..spec.schema import Value

State = Literal["running", "complete", "pruned", "failed"]


@dataclass(frozen=True)
class Configuration:
    """``values`` are those of the space, in full; ``value`` is the metric in percent, where it ended; ``epochs`` and
    ``seconds`` are what its trainings took in all, ``keys`` their trials."""

    number: int
    values: Mapping[str, Value]
    state: State = "running"
    value: float | None = None
    epochs: int = 0
    seconds: float = 0.0
    reason: str = ""
    keys: tuple[str, ...] = ()


def best(configurations: Sequence[Configuration]) -> Configuration | None:
    """The finished configuration with the highest value, the earliest of equals; None where none finished.

    One that was stopped early never competes: its value is of fewer epochs.
    """
    finished = [c for c in configurations if c.state == "complete" and c.value is not None]
    return max(finished, key=lambda c: (c.value, -c.number)) if finished else None
