"""What a trial's parts noted of themselves: how far each acted, and what is to be said where one did not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from math import fsum

import numpy as np

from ...methods.recipe import Recipe
from ..spec.training import AnyTraining
from .schedule import half_lives

ENOUGH = 5.0  # half-lives of the averaged weights after a switch: a thirtieth of them is then older
HALF_LIVES = "half_lives"


def summary(
    history: Sequence[Mapping[str, float]], recipe: Recipe, training: AnyTraining, steps_per_epoch: int
) -> dict[str, float]:
    """What a method noted of its training.

    Args:
        history: What each epoch came to.
        recipe: The method.
        training: How it was trained.
        steps_per_epoch: Optimiser steps.

    Returns:
        The mean of each note over the epochs that have it; and ``half_lives``, those of the averaged weights since the
        last part that was at rest began to act, where weights are averaged and there was one.
    """
    names = dict.fromkeys(name for line in history for name in line if "." in name)
    values = {name: [line[name] for line in history if name in line] for name in names}
    notes = {name: fsum(each) / len(each) for name, each in values.items()}
    acting = [f"{slot}.acted" for slot in recipe.parts()]
    begun = [next((e for e, line in enumerate(history) if line.get(name)), 0) for name in acting]
    if training.ema and (switch := max(begun, default=0)):
        notes[HALF_LIVES] = half_lives(switch * steps_per_epoch, len(history) * steps_per_epoch, training.ema)
    return notes


def remarks(notes: Mapping[str, float], recipe: Recipe) -> tuple[str, ...]:
    """What keeps a trial's row from being what its name says.

    Args:
        notes: The means of what the method noted.
        recipe: The method.

    Returns:
        In the words of a report; nothing where all acted.
    """
    idle = [
        part.condition for slot, part in recipe.parts().items() if part.condition and not notes.get(f"{slot}.acted")
    ]
    short = [part.shortage for slot, part in recipe.parts().items() if notes.get(f"{slot}.shortage")]
    return (*idle, *short, *behind(notes.get(HALF_LIVES, ENOUGH)))


def behind(half_lives: float) -> tuple[str, ...]:
    """What is to be said of weights that were averaged over so many half-lives since a switch."""
    few = f"the averaged weights span {half_lives:.1f} half-lives after the switch, fewer than {ENOUGH:g}"
    return (few,) if half_lives < ENOUGH else ()


def history_columns(history: Sequence[Mapping[str, float]]) -> dict[str, np.ndarray]:
    """The lines of a history as one array a column; NaN where a line has no such column."""
    columns = dict.fromkeys(name for line in history for name in line)
    return {f"history_{name}": np.array([line.get(name, math.nan) for line in history]) for name in columns}
