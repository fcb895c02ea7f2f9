"""How well the training images are fitted: accuracy on them over the epochs, or at the end over a number of the spec
(figure 18)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from .contrasts import Contrast, judged
from .figure import Axis, FigureData, by_seed, points

WHOLE = 100.0  # percent


def fit(observations: pd.DataFrame, x: str = "epoch", margin: float = 1.0, ordered: bool = False) -> FigureData:
    """Each curve over x; whether it ends within the margin of 100 percent; and, over epochs, whether the first curve
    gets there later than the last.

    Args:
        observations: As ``figure.py`` describes them: the accuracy on the training images in percent, a row for each x
            at which a trial was scored; and ``images``, how many they are.
        x: The name of the axis.
        margin: How many percentage points from 100 count as fitted.
        ordered: Whether the curves are in the order of a number, such as the train ratio.
    """
    tables, contrasts = [], list[Contrast]()
    for panel, rows in observations.groupby("panel", sort=False):
        wide = by_seed(rows)
        tables.append(points(wide, str(panel), "fit"))
        steps = {str(curve): 100 / int(at["images"].min()) for curve, at in rows.groupby("curve")}
        contrasts += _ends(wide, str(panel), margin, steps)
        contrasts += _order(wide, str(panel), margin) if ordered and x == "epoch" else ()
    notes = [f"Fitted: within {margin:g} percentage points of all training images, in evaluation mode, not augmented."]
    if x == "epoch":
        notes.append("A training that never got there counts as if it had at its last epoch.")
    axis = Axis(x, "accuracy on the training images (%)")
    return FigureData("fit", pd.concat(tables), {"fit": axis}, judged(contrasts), notes)


def first_fitted(values: pd.DataFrame, margin: float) -> np.ndarray:
    """(n,): the first x of each seed at which it is within the margin of 100 percent; the last where it never is, NaN
    where the seed lacks an x.

    Args:
        values: Of one curve, a row for each x ascending, a column for each seed.
        margin: In percentage points.
    """
    if values.empty:
        return np.full(values.shape[1], np.nan)
    xs, whole = values.index.to_numpy(float), values.notna().all(axis=0).to_numpy()
    there = (values >= WHOLE - margin).to_numpy()
    first = np.where(there.any(axis=0), xs[there.argmax(axis=0)], xs[-1])
    return np.where(whole, first, np.nan)


def _ends(wide: pd.DataFrame, panel: str, margin: float, steps: dict[str, float]) -> Iterator[Contrast]:
    for curve, values in wide.groupby("curve", sort=False):
        text = f"{curve} ends within {margin:g} points of 100 percent"
        yield Contrast(panel, text, values.iloc[-1].to_numpy(float) - WHOLE, margin=margin, step=steps[str(curve)])


def _order(wide: pd.DataFrame, panel: str, margin: float) -> Iterator[Contrast]:
    curves = list(dict.fromkeys(wide.index.get_level_values("curve")))
    if len(curves) > 1:
        ends = [wide.loc[curve].dropna(how="all") for curve in (curves[0], curves[-1])]
        apart = max((float(np.diff(values.index).min()) for values in ends if len(values) > 1), default=0.0)
        later = first_fitted(ends[0], margin) - first_fitted(ends[1], margin)
        yield Contrast(panel, f"{curves[0]} is fitted later than {curves[-1]}", later, "epochs", step=apart)
