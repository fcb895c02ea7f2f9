"""What an option gains over a baseline at each train ratio: figures 6, 7, 8 and 11, equations 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from .comparisons import Comparison, compared
from .contrasts import Contrast, judged
from .figure import Axis, FigureData, by_seed, group_of, points

READINGS = {
    "baseline": "over the baseline's accuracy",
    "option": "over the option's accuracy, as equation 1 is printed",
}


def relative_gain(option: np.ndarray, baseline: np.ndarray, over: str = "baseline") -> np.ndarray:
    """By how many percent accuracies differ from those of the baseline.

    Args:
        option: Accuracies.
        baseline: Those of the baseline, above 0, in the same order.
        over: The denominator: ``baseline`` (equation 2, and equation 1 as the text explains it) or ``option``
            (equation 1 as it is printed). NaN where it is 0.

    Source: Shwartz-Ziv et al., "Simplifying Neural Network Training Under Class Imbalance" (2023), appendix A.1, A.4.
    """
    denominator = np.asarray(baseline if over == "baseline" else option, float)
    return 100 * (option - baseline) / np.where(denominator > 0, denominator, np.nan)


def improvement(
    observations: pd.DataFrame,
    baseline: str,
    over: str = "baseline",
    x: str = "train ratio",
    comparisons: Sequence[Comparison] = (),
) -> FigureData:
    """The gain of every other curve over ``baseline``, paired by seed.

    Args:
        observations: As ``figure.py`` describes them, the values accuracies in percent.
        baseline: The curve to compare with. A panel without it, and an x at which it was not trained, is left out.
        over: As :func:`relative_gain` takes it.
        x: The name of the axis.
        comparisons: What is claimed of the gains, in which the baseline's is 0; that each gains, and most at the
            smallest x, if not given.
    """
    tables, contrasts, notes = [], list[Contrast](), [f"Gain in percent {READINGS[over]}."]
    for panel, rows in observations.groupby("panel", sort=False):
        wide = by_seed(rows)
        if baseline not in wide.index.get_level_values("curve"):
            notes.append(f"{panel or 'a panel'}: {baseline} was not trained here, so it is left out.")
            continue
        base = wide.loc[baseline]
        wide = wide[wide.index.get_level_values("x").isin(base.index)]
        matched = base.loc[wide.index.get_level_values("x")]
        every = pd.DataFrame(
            relative_gain(wide.to_numpy(), matched.to_numpy(), over), index=wide.index, columns=wide.columns
        )
        gains = every.drop(index=baseline, level="curve")
        tables.append(points(gains, str(panel), "gain"))
        if comparisons:
            contrasts += compared(every, comparisons, str(panel), group_of(rows), x, "percent")
        else:
            contrasts += _contrasts(gains, str(panel), baseline, x)
    axis = Axis(x, f"gain over {baseline} (%)", log_x=True, zero=True)
    return FigureData("improvement", pd.concat(tables), {"gain": axis}, judged(contrasts), notes)


def _contrasts(gains: pd.DataFrame, panel: str, baseline: str, x: str) -> Iterator[Contrast]:
    for curve, values in gains.groupby("curve", sort=False):
        table = values.droplevel("curve")
        least, most = table.index.min(), table.index.max()
        first, last = table.loc[least].to_numpy(), table.loc[most].to_numpy()
        yield Contrast(panel, f"{curve} is better than {baseline} at {x} {least:g}", first, "percent")
        if least < most:
            text = f"{curve} gains more over {baseline} at {x} {least:g} than at {most:g}"
            yield Contrast(panel, text, first - last, "percent")
