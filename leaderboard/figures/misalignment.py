"""How far the best train ratio lies from the test ratio, over the number of training images: figure 16."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .contrasts import Contrast, judged
from .figure import Axis, FigureData, points
from .ratio_matrix import RatioMatrix

QUANTITIES = {
    "distance": Axis("training images", "mean distance of the best train ratio from the test ratio", log_x=True),
    "log distance": Axis("training images", "the same, of their log10", log_x=True),
}


def misalignment(observations: pd.DataFrame, members: Sequence[int] | None = None) -> FigureData:
    """The mean over test ratios of abs(best train ratio - test ratio), each seed by itself, at each total.

    Args:
        observations: As ``ratio_matrix.py`` describes them, with the column ``total``: all training images.
        members: The classes that are tested; None for all.

    The distance is drawn without its sign, as the text of the appendix says; its formula is a signed mean, in which
    errors to either side would cancel.
    """
    tables, contrasts = [], list[Contrast]()
    for panel, rows in observations.groupby("panel", sort=False):
        by_total = {
            float(str(total)): distances(RatioMatrix.of(at, str(panel), members))
            for total, at in rows.groupby("total", sort=True)
        }
        index = pd.MultiIndex.from_product([["best train ratio"], list(by_total)], names=["curve", "x"])
        for number, quantity in enumerate(QUANTITIES):
            series = [pd.Series(found[0][number], index=found[1]) for found in by_total.values()]
            wide = pd.DataFrame(series).sort_index(axis=1).set_axis(index)
            tables.append(points(wide, str(panel), quantity))
            if len(by_total) > 1:
                text = f"the {quantity} is smaller with {index[-1][1]:g} training images than with {index[0][1]:g}"
                unit = "ratio" if number == 0 else "log10 of the ratio"
                contrasts.append(Contrast(str(panel), text, wide.iloc[0].to_numpy() - wide.iloc[-1].to_numpy(), unit))
    return FigureData("misalignment", pd.concat(tables), QUANTITIES, judged(contrasts))


def distances(matrix: RatioMatrix) -> tuple[np.ndarray, tuple[int, ...]]:
    """(2, n), and the seeds: the mean over test ratios of the distance of each seed's best train ratio, as it is and in
    log10; NaN for a seed that is not whole."""
    best, tested = matrix.best(), matrix.ratios[:, None]
    plain, logarithmic = np.abs(best - tested), np.abs(np.log10(best) - np.log10(tested))
    return np.stack([plain.mean(axis=0), logarithmic.mean(axis=0)]), matrix.seeds
