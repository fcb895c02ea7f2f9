"""Decision regions: what networks decide on planes through three training images (figure 19)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from .contrasts import Contrast, judged
from .figure import Axis, FigureData, Picture, by_seed, points

UNIT = "bits"


def entropy(shares: np.ndarray) -> np.ndarray:
    """The entropy (...,) in bits of shares (..., C) that sum to 1: 0 where one class has all, log2(C) where all have as
    much."""
    positive = np.where(shares > 0, shares, 1.0)
    return -(shares * np.log2(positive)).sum(axis=-1)


def regions(observations: pd.DataFrame, baseline: str, pictures: Sequence[Picture] = ()) -> FigureData:
    """The share of each class over the planes, most frequent class first; the mean entropy of the planes' shares; and
    whether that of each other curve lies above the baseline's.

    Args:
        observations: As ``figure.py`` describes them, x the train ratio, and in the place of ``value`` the ``shares``
            (planes, C), classes in the order of the long tail; None where the trial is not complete.
        baseline: The curve to compare with. A panel without it claims nothing.
        pictures: The regions of one plane, for each curve.
    """
    tables, contrasts, notes = [], list[Contrast](), []
    for panel, rows in observations.groupby("panel", sort=False):
        valued = rows.assign(value=[np.nan if s is None else float(entropy(s).mean()) for s in rows["shares"]])
        wide = by_seed(valued)
        tables += [points(_shares(rows), str(panel), "share"), points(wide, str(panel), "entropy")]
        if baseline not in wide.index.get_level_values("curve"):
            notes.append(f"{panel}: {baseline} was not trained here, so nothing is compared with it.")
            continue
        base = wide.loc[baseline]
        for (curve, x), values in wide.drop(index=baseline, level="curve").iterrows():  # pyright: ignore[reportGeneralTypeIssues]
            if x in base.index:
                text = f"the entropy of {curve}'s shares is above that of {baseline}"
                contrasts.append(Contrast(str(panel), text, values.to_numpy() - base.loc[x].to_numpy(), UNIT))
    axes = {"share": Axis("class, from the most frequent on", "share of the planes (%)")}
    said = "Entropy in bits of the shares of the classes on a plane, mean over the planes of a trial."
    return FigureData("regions", pd.concat(tables), axes, judged(contrasts), [said, *notes], pictures)


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean share in percent over the planes: a row for each (curve, class from 1 on), a column for each seed."""
    classes = next((s.shape[1] for s in rows["shares"] if s is not None), 1)  # of a plan no share is known yet
    long = [
        {
            "curve": curve,
            "x": float(number + 1),
            "seed": seed,
            "value": np.nan if s is None else 100 * s[:, number].mean(),
        }
        for curve, seed, s in zip(rows["curve"], rows["seed"], rows["shares"], strict=True)
        for number in range(classes)
    ]
    return by_seed(pd.DataFrame(long, columns=["curve", "x", "seed", "value"]))
