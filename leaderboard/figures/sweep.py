"""A value over a number that is swept: a hyperparameter, the images of the majority, the train ratio (figures 17, 20),
or the parameters of the network (figures 9, 10)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pandas as pd

from .comparisons import Comparison, compared
from .contrasts import Contrast, best_chosen, judged
from .figure import Axis, FigureData, by_seed, group_of, points


def sweep(
    observations: pd.DataFrame,
    x: str,
    y: str,
    log_x: bool = False,
    unit: str = "percentage points",
    comparisons: Sequence[Comparison] = (),
) -> FigureData:
    """Each curve over x; whether it ends higher than it begins, and whether its optimum lies inside of the range: the
    best value inside against either end.

    Args:
        observations: As ``figure.py`` describes them.
        x: The name of the axis.
        y: What the values are.
        log_x: Whether x is drawn on a logarithmic scale.
        unit: Of a difference.
        comparisons: What is claimed in the place of that.
    """
    tables, contrasts = [], list[Contrast]()
    for panel, rows in observations.groupby("panel", sort=False):
        wide = by_seed(rows)
        tables.append(points(wide, str(panel), "value"))
        contrasts += compared(wide, comparisons, str(panel), group_of(rows), x, unit)
        for curve, values in () if comparisons else wide.groupby("curve", sort=False):
            contrasts += _contrasts(values.droplevel("curve"), str(panel), str(curve), x, unit)
    return FigureData("sweep", pd.concat(tables), {"value": Axis(x, y, log_x)}, judged(contrasts))


def scaling(
    observations: pd.DataFrame,
    y: str,
    unit: str = "percentage points",
    comparisons: Sequence[Comparison] = (),
    balanced: Collection[tuple[str, str]] = (),
) -> FigureData:
    """Each curve over the parameters of its networks, and whether the best smaller network beats the largest; on
    balanced data, whether the largest beats the best smaller one.

    Args:
        observations: As ``figure.py`` describes them; x is the number of parameters.
        y: What the values are.
        unit: Of a difference.
        comparisons: What is claimed in the place of that.
        balanced: The panels and curves whose training data are balanced.
    """
    tables, contrasts = [], list[Contrast]()
    for panel, rows in observations.groupby("panel", sort=False):
        wide = by_seed(rows)
        tables.append(points(wide, str(panel), "value"))
        contrasts += compared(wide, comparisons, str(panel), group_of(rows), "parameters", unit)
        for curve, values in () if comparisons else wide.groupby("curve", sort=False):
            table = values.droplevel("curve")
            if len(table) > 1:
                contrasts.append(_largest(table, str(panel), str(curve), unit, (panel, curve) in balanced))
    axis = Axis("parameters of the network", y, log_x=True)
    return FigureData("scaling", pd.concat(tables), {"value": axis}, judged(contrasts))


def _largest(table: pd.DataFrame, panel: str, curve: str, unit: str, balanced: bool) -> Contrast:
    """The largest network against the best smaller one, of which the first should win on ``balanced`` data only."""
    scores, largest = table.to_numpy(), f"the largest ({table.index[-1]:,.0f} parameters)"
    differences, folds = best_against(scores[:-1], scores[-1])
    if balanced:
        return Contrast(panel, f"{curve}: {largest} beats the best smaller network", -differences, unit, folds=folds)
    return Contrast(panel, f"{curve}: the best smaller network beats {largest}", differences, unit, folds=folds)


def best_against(options: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """The best option minus the reference, the best chosen on the other half of the seeds.

    Args:
        options: (options, n), NaN where a trial is not complete.
        reference: (n,).

    Returns:
        The differences (n,), NaN where a trial that they need is not complete, and the half of each seed (n,); None
        where there is nothing to choose.
    """
    whole: np.ndarray = np.logical_not(np.isnan(np.vstack([options, reference])).any(axis=0))
    if len(options) == 1:
        return np.where(whole, options[0] - reference, np.nan), None
    best, folds = best_chosen(options, whole)
    return best - reference, folds


def _contrasts(table: pd.DataFrame, panel: str, curve: str, x: str, unit: str) -> Iterator[Contrast]:
    scores, (first, last) = table.to_numpy(), (table.index[0], table.index[-1])
    if first < last:
        yield Contrast(panel, f"{curve}: {x} {last:g} beats {first:g}", scores[-1] - scores[0], unit)
    for end, at in ((0, first), (-1, last)) if len(table) > 2 else ():
        differences, folds = best_against(scores[1:-1], scores[end])
        yield Contrast(panel, f"{curve}: the best {x} inside the range beats {at:g}", differences, unit, folds=folds)
