"""FigureData: what the arithmetic of a figure gives and its drawing takes; and the observations that it starts from.

Observations are a table with one row for each planned trial: ``panel`` (what the trials of one panel share), ``curve``,
``x``, ``seed`` and ``value``, which is NaN where the trial is not complete; and ``group``
where panels are of several groups of classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .contrasts import Claim

POINTS = ("panel", "quantity", "curve", "x", "mean", "stderr", "n", "low", "high")


@dataclass(frozen=True)
class Axis:
    """What a quantity of a figure is drawn against: labels, whether the scale of each is logarithmic, and whether the
    diagonal or the line at 0 is drawn too."""

    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    diagonal: bool = False
    zero: bool = False


@dataclass(frozen=True)
class Picture:
    """The decision regions of one plane.

    Args:
        panel: Of which panel of the figure.
        curve: Of which curve.
        regions: (side, side), the number of the class at each point, rows from below.
        corners: (3, 2), where the three images stand, in shares of the width and height.
        classes: (3,), the numbers of their classes.
    """

    panel: str
    curve: str
    regions: np.ndarray
    corners: np.ndarray
    classes: Sequence[int]


@dataclass(frozen=True)
class FigureData:
    """The curves of a figure and its claims.

    Args:
        kind: Which family it is of.
        points: With the columns ``POINTS``: the mean over ``n`` seeds at each x, its standard error (ddof 1) or, where
            there is one in its place, a band from ``low`` to ``high``.
        axes: What each ``quantity`` is drawn against.
        claims: Judged.
        notes: Sentences for the caption.
        pictures: What is shown beside the curves.
    """

    kind: str
    points: pd.DataFrame
    axes: Mapping[str, Axis]
    claims: Sequence[Claim]
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()


def by_seed(observations: pd.DataFrame) -> pd.DataFrame:
    """The values of one panel: a row for each (curve, x), curves as they first appear and x ascending, a column for
    each seed, seeds ascending; NaN where a trial is not complete."""
    order = list(observations["curve"].unique())
    wide = observations.pivot(index=["curve", "x"], columns="seed", values="value").sort_index(axis=1)
    return wide.sort_index(level="x").reindex(order, level="curve")


def points(wide: pd.DataFrame, panel: str, quantity: str) -> pd.DataFrame:
    """The mean and standard error of each row of :func:`by_seed`, with the columns ``POINTS``.

    Args:
        wide: The values by seed.
        panel: The panel that they are of.
        quantity: What they are.
    """
    table = pd.DataFrame({"mean": wide.mean(axis=1), "stderr": wide.sem(axis=1), "n": wide.count(axis=1)}).reset_index()
    table = table.assign(panel=panel, quantity=quantity, low=float("nan"), high=float("nan"))
    return table[table["n"] > 0][list(POINTS)]


def group_of(observations: pd.DataFrame) -> str:
    """The group of classes that the observations of a panel are of."""
    return str(observations["group"].iloc[0]) if "group" in observations else "all"
