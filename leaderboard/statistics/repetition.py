"""How far a claimed accuracy may lie from that of the same trial trained again elsewhere."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit

ALPHA = 0.01  # of all comparisons together: how often an honest claim is doubted


def tolerance(claimed: Sequence[float], least: float, comparisons: int = 1) -> float:
    """The largest difference between claim and repetition that chance explains, in the unit of ``claimed``.

    Other rounding leads a training astray from its first steps, but not further than another seed would: a repetition
    is taken for one more seed. Claim and repetition then differ by a normal variable of variance 2 sigma^2, and over
    the standard deviation of the n other seeds, which is independent of both, by Student's t with n - 1 degrees of
    freedom (the textbook prediction interval). A repetition shares subset, order and initialisation with the claim, so
    the bound is wide rather than narrow.

    Args:
        claimed: The claimed values of the same cell's other seeds.
        least: The standard deviation of the value over test images; seeds that agree better do so by chance.
        comparisons: Over how many comparisons `ALPHA` is divided (Bonferroni).

    Returns:
        The tolerance; NaN with fewer than two other seeds, which tell nothing of the spread.
    """
    if len(claimed) < 2:
        return np.nan
    spread = max(float(np.std(claimed, ddof=1)), least)
    return float(stdtrit(len(claimed) - 1, 1 - ALPHA / comparisons / 2)) * spread * 2**0.5


def image_error(accuracy: Sequence[float], images: Sequence[int]) -> float:
    """The standard deviation of a mean of per-class accuracies over test images, in percentage points.

    Each class's share right, of `accuracy` percent over `images`, is binomial; it is drawn towards one half by one
    image on each side (Agresti and Coull 1998), so that a class that is always right or always wrong varies too.
    """
    right = (np.asarray(accuracy) / 100 * images + 1) / (np.asarray(images) + 2)
    return 100 * float(np.sqrt(np.sum(right * (1 - right) / images))) / len(right)
