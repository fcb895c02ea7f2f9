"""One training, all test ratios: accuracy at each pair of train and test ratio, from the recalls of each class (figures
12 to 15), and how far the best train ratio lies from the test ratio (figures 13, 14, 16).

Observations have ``recalls`` (C,) in percent in the place of ``value``, classes in the order of the long tail; of
another metric than accuracy also ``tested``, its value at each test ratio.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10

import numpy as np
import pandas as pd

from .contrasts import Contrast, best_chosen, judged
from .figure import POINTS, Axis, FigureData, points

DRAWS = 2000  # of the bootstrap over seeds


def exponential_prior(classes: int, ratio: float) -> np.ndarray:
    """(C,): the shares of classes whose sizes fall exponentially to ``ratio`` times the first; they sum to 1."""
    shares = ratio ** (np.arange(classes) / (classes - 1))
    return shares / shares.sum()


def reweighted(recalls: np.ndarray, ratios: Sequence[float], members: Sequence[int] | None = None) -> np.ndarray:
    """Accuracy on test sets of other ratios: the sum over classes of the share times the recall.

    Args:
        recalls: (..., C), in percent.
        ratios: The test ratios (T,).
        members: The classes that are tested; None for all.

    Returns:
        (..., T), in percent: exact, as if the test set were subsampled infinitely often.
    """
    priors = np.stack([exponential_prior(recalls.shape[-1], ratio) for ratio in ratios], axis=-1)
    if members is not None:
        priors = priors[list(members)] / priors[list(members)].sum(axis=0)
        recalls = recalls[..., list(members)]
    return recalls @ priors


@dataclass(frozen=True)
class RatioMatrix:
    """The accuracies of one panel: ``ratios`` (R,) ascending, trained at and tested at; ``seeds`` (n,), those that are
    planned; ``accuracy`` (R trained, R tested, n), NaN where a trial is not complete."""

    panel: str
    ratios: np.ndarray
    seeds: tuple[int, ...]
    accuracy: np.ndarray

    @classmethod
    def of(cls, rows: pd.DataFrame, panel: str, members: Sequence[int] | None = None) -> RatioMatrix:
        """From the observations of one panel.

        Args:
            rows: The observations of a figure.
            panel: Which panel.
            members: The classes of a group, where the matrix is of one; None for all.
        """
        ratios, seeds = np.sort(rows["x"].unique()), tuple(sorted(rows["seed"].unique()))
        accuracy = np.full((len(ratios), len(ratios), len(seeds)), np.nan)
        tested = rows["tested"] if "tested" in rows else [None] * len(rows)
        for x, seed, recalls, values in zip(rows["x"], rows["seed"], rows["recalls"], tested, strict=True):
            if recalls is not None:
                every = [float(ratio) for ratio in ratios]
                accuracy[int(np.searchsorted(ratios, x)), :, seeds.index(seed)] = (
                    reweighted(np.asarray(recalls, float), every, members)
                    if values is None
                    else [values[ratio] for ratio in every]
                )
        return cls(panel, ratios, seeds, accuracy)

    @property
    def whole(self) -> np.ndarray:
        """(n,): whether the trials of a seed are complete at every train ratio."""
        return np.logical_not(np.isnan(self.accuracy).any(axis=(0, 1)))

    def best(self) -> np.ndarray:
        """(R tested, n): the train ratio with the highest accuracy of each seed; NaN for a seed that is not whole."""
        best = np.full(self.accuracy.shape[1:], np.nan)
        best[:, self.whole] = self.ratios[self.accuracy[:, :, self.whole].argmax(axis=0)]
        return best

    def band(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The train ratio (R tested,) with the highest mean accuracy, and the middle 95 percent of it over seeds drawn
        anew (a bootstrap, whose band says little with few seeds)."""
        whole = self.accuracy[:, :, self.whole]
        n = whole.shape[2]
        drawn = np.random.default_rng(0).integers(0, n, (DRAWS, n))
        counts = (drawn[:, :, None] == np.arange(n)).sum(axis=1)
        means = np.einsum("rtn,dn->drt", whole, counts / n)
        low, high = np.quantile(self.ratios[means.argmax(axis=1)], [0.025, 0.975], axis=0, method="nearest")
        return self.ratios[whole.mean(axis=2).argmax(axis=0)], low, high

    def optimal(self) -> tuple[np.ndarray, np.ndarray]:
        """(R tested, n): the accuracy at the best train ratio, which the other half of the seeds chose; and the half of
        each seed (n,)."""
        values, folds = zip(*(best_chosen(tested, self.whole) for tested in self.accuracy.swapaxes(0, 1)), strict=True)
        return np.stack(values), folds[0]


def ratio_matrix(
    observations: pd.DataFrame,
    members: Sequence[int] | None = None,
    margin: float = 1.0,
    y: str = "accuracy (%)",
    unit: str = "percentage points",
) -> FigureData:
    """Accuracy over the test ratio, trained at the same ratio (identical), balanced, and at the best one (optimal); the
    best train ratio over the test ratio; and the whole matrix.

    Args:
        observations: As above; x is the train ratio. The test ratios are the train ratios.
        members: The classes that are tested; None for all.
        margin: Within how much of a difference optimal and identical count as alike.
        y: What the values are.
        unit: Of a difference.
    """
    tables, contrasts, value = [], list[Contrast](), y.removesuffix(" (%)")
    for panel, rows in observations.groupby("panel", sort=False):
        matrix = RatioMatrix.of(rows, str(panel), members)
        tables += _tables(matrix, value)
        contrasts += _contrasts(matrix, margin, unit)
    label = f"{value} at that test ratio{y.removeprefix(value)}"
    axes = {
        value: Axis("test ratio", label, log_x=True),
        "best": Axis("test ratio", "best train ratio", log_x=True, log_y=True, diagonal=True),
        "matrix": Axis("test ratio", label, log_x=True),
    }
    notes = [
        "Optimal is the train ratio that one half of the seeds chose, judged on the other half.",
        f"Best: the highest mean over seeds; the band holds 95 percent of {DRAWS} bootstrap draws of the seeds.",
    ]
    return FigureData("ratio_matrix", pd.concat(tables), axes, judged(contrasts), notes)


def _tables(matrix: RatioMatrix, value: str) -> Iterator[pd.DataFrame]:
    identical = np.einsum("rrn->rn", matrix.accuracy)
    curves = {"identical": identical, "balanced": matrix.accuracy[-1], "optimal": matrix.optimal()[0]}
    if matrix.ratios[-1] != 1:
        del curves["balanced"]
    yield points(_wide(matrix, curves), matrix.panel, value)
    trained = {f"trained at {ratio:g}": matrix.accuracy[at] for at, ratio in enumerate(matrix.ratios)}
    if matrix.whole.any():
        best, low, high = matrix.band()
        named = {"panel": matrix.panel, "quantity": "best", "curve": "best train ratio", "stderr": np.nan}
        rows = {"x": matrix.ratios, "mean": best, "low": low, "high": high, "n": int(matrix.whole.sum())} | named
        yield pd.DataFrame(rows)[list(POINTS)]
    yield points(_wide(matrix, trained), matrix.panel, "matrix")


def _wide(matrix: RatioMatrix, curves: dict[str, np.ndarray]) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([list(curves), matrix.ratios], names=["curve", "x"])
    return pd.DataFrame(np.concatenate(list(curves.values())), index=index, columns=list(matrix.seeds))


def _contrasts(matrix: RatioMatrix, margin: float, unit: str) -> Iterator[Contrast]:
    ratios, panel = matrix.ratios, matrix.panel
    if len(ratios) < 2:
        return
    identical = np.einsum("rrn->rn", matrix.accuracy)
    if ratios[-1] == 1:
        text = f"at test ratio {ratios[0]:g} training at it beats balanced training"
        yield Contrast(panel, text, identical[0] - matrix.accuracy[-1, 0], unit)
    optimal, folds = matrix.optimal()
    text = f"over all test ratios the optimal train ratio gains less than {margin:g} points over the identical one"
    yield Contrast(panel, text, (optimal - identical).mean(axis=0), unit, margin, folds)
    step = (log10(ratios[-1]) - log10(ratios[0])) / (len(ratios) - 1)
    # without its sign: errors to either side would cancel, and a best ratio that is chance be called the test ratio
    apart = np.log10(matrix.best()) - np.log10(ratios)[:, None]
    text = f"the best train ratio is on average within a step of the grid, {10**step:.3g} times, of the test ratio"
    yield Contrast(panel, text, np.abs(apart).mean(axis=0), "log10 of the ratio", margin=step)
    text = "where it is not the test ratio, the best train ratio is the more balanced of the two"
    yield Contrast(panel, text, apart.mean(axis=0), "log10 of the ratio")
