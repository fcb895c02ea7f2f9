"""Noise of the test images, beside that of the seeds: a class-stratified, paired bootstrap over stored predictions.

A replicate draws as many images of each class as there are, with replacement, and scores every method and seed on the
same ones. So an image that is hard for all moves all alike, and a difference between two methods keeps less noise than
either has. Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 8 (several samples).
"""

from collections.abc import Mapping, Sequence

import numpy as np

DRAWS = 2000
LARGEST = 1 << 22  # draws x images of one block; 32 MiB


def resampled(
    scores: np.ndarray, labels: np.ndarray, groups: Mapping[str, Sequence[int]], draws: int = DRAWS, seed: int = 0
) -> dict[str, np.ndarray]:
    """The mean per-class accuracy of each group on test sets drawn anew.

    Args:
        scores: (M, N), for each of M methods how often each of the N test images was recognised, from 0 to 1: the mean
            over its seeds.
        labels: (N,), the class of each image.
        groups: The classes of each group.
        draws: Replicates.
        seed: Of the draws; the same seed gives the same bits.

    Returns:
        For each group that has classes an array (draws, M), in percent. Rows of one draw share their images.

    Raises:
        ValueError: if a class of a group has no image.
    """
    rng = np.random.default_rng(seed)
    wanted = sorted({c for at in groups.values() for c in at})
    sums = {group: np.zeros((draws, len(scores))) for group, at in groups.items() if at}
    for c in wanted:  # in one order, whatever the groups: so that each group sees the same draws
        of_class = scores[:, labels == c].T
        if not (n := len(of_class)):
            raise ValueError(f"class {c} has no test image")
        means = np.concatenate(
            [rng.multinomial(n, np.full(n, 1 / n), size=size) @ of_class for size in _blocks(draws, LARGEST // n)]
        )
        for group in sums:
            if c in groups[group]:
                sums[group] += 100 * means / n / len(groups[group])
    return sums


def _blocks(draws: int, most: int) -> list[int]:
    most = max(most, 1)
    return [min(most, draws - start) for start in range(0, draws, most)]
