"""The claims of a figure: each is one contrast, tested over the seeds, with a verdict.

What a claim calls the best is chosen on one half of the seeds and judged on the other, each way round. The two halves
choose from each other, so their means are not independent: the standard error supposes that they vary together as much
as two means can. On simulated studies without any difference, 5 to 20 seeds and 2 to 16 options, at most 5 percent of
the contrasts then say "supported" or "contradicted"; with the seeds left out one by one 4 to 22 percent did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
from scipy.special import stdtr, stdtrit

from ..statistics.paired import ALPHA, FEWEST_SEEDS, NO_SPREAD, holm


@dataclass(frozen=True)
class Contrast:
    """What a claim says is above 0 or, with a ``margin``, within the margin of 0.

    Args:
        panel: Of which panel of the figure it speaks.
        claim: The claim in words.
        differences: (n,), one for each seed, seeds ascending; NaN where a trial that it needs is not complete.
        unit: Of the differences.
        margin: How far from 0 still counts as alike; None where the claim is that the difference is above 0.
        folds: (n,), which half of the seeds each belongs to; None where nothing was chosen.
        step: By how much one seed can differ at least, such as one image of all: seeds that do not vary are taken to
            have it for their standard deviation. 0 where there is none, and no word is said of such seeds.
    """

    panel: str
    claim: str
    differences: np.ndarray
    unit: str = "percentage points"
    margin: float | None = None
    folds: np.ndarray | None = None
    step: float = 0.0


@dataclass(frozen=True)
class Claim:
    """A contrast with what came of it: ``effect`` is the mean difference, ``low`` and ``high`` its 95 percent interval
    (not corrected), ``n`` the complete seeds, ``p`` Holm's over the claims of the figure. The ``verdict`` is
    ``supported``, ``contradicted``, ``not separable``, or empty where no word is due, which ``reason`` explains."""

    panel: str
    claim: str
    verdict: str
    effect: float
    low: float
    high: float
    n: int
    p: float
    unit: str
    margin: float | None = None
    reason: str = ""

    @property
    def words(self) -> dict[str, str]:
        """The claim and what came of it, as tables show it."""
        return {
            "claim": self.claim,
            "verdict": self.verdict or f"no word: {self.reason}",
            "effect": f"{self.effect:+.3g} {self.unit}",
            "95% interval": f"{self.low:+.3g} to {self.high:+.3g}",
            "n": str(self.n),
        }


def judged(contrasts: Sequence[Contrast]) -> list[Claim]:
    """The claims of a figure, with Holm's correction over all of them; one that gets no word keeps its place at p = 1.

    A claim that something is above 0 is tested by a paired t-test. A claim that two are alike is supported where the
    difference lies within the margin (two one-sided tests), contradicted where it lies beyond; each of both at half of
    the level, so that together they err in at most 5 percent at the margin.
    """
    tests = [_Test.of(contrast) for contrast in contrasts]
    adjusted = holm(np.array([1.0 if test.reason else test.p for test in tests]))
    return [test.claim(float(p)) for test, p in zip(tests, adjusted, strict=True)]


def halves(seeds: int) -> np.ndarray:
    """(n,): the half that each of so many ascending seeds belongs to, 0 and 1 in turn."""
    return np.arange(seeds) % 2


def cross_fitted(scores: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(n,): for each seed the option that has the highest mean on the other half of the seeds; the first of equal ones.

    Args:
        scores: (options, n).
        folds: (n,), as :func:`halves` gives them.
    """
    chosen = [int(np.argmax(scores[:, folds != fold].mean(axis=1))) for fold in (0, 1)]
    return np.array(chosen)[folds]


def best_chosen(options: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The value (n,) of each seed at the option that is the best on the other half of the seeds, and the half of each
    (n,); NaN where a seed does not count, and for all of fewer than two.

    Args:
        options: (options, n).
        whole: (n,), which seeds count.
    """
    folds, values = np.zeros(len(whole), int), np.full(len(whole), np.nan)
    folds[whole] = halves(int(whole.sum()))
    if whole.sum() > 1:
        chosen = cross_fitted(options[:, whole], folds[whole])
        values[whole] = options[:, whole][chosen, np.arange(len(chosen))]
    return values, folds


@dataclass(frozen=True)
class _Test:
    contrast: Contrast
    n: int
    effect: float
    error: float
    freedom: int
    reason: str

    @classmethod
    def of(cls, contrast: Contrast) -> _Test:
        values = contrast.differences[~np.isnan(contrast.differences)]
        planned, n = len(contrast.differences), len(values)
        if n < planned:
            reason = f"{planned - n} of {planned} seeds are not complete"
        else:
            reason = f"{n} seeds are fewer than {FEWEST_SEEDS}" if n < FEWEST_SEEDS else ""
        folds = np.zeros(planned, int) if contrast.folds is None else contrast.folds
        groups = [values[folds[~np.isnan(contrast.differences)] == fold] for fold in np.unique(folds)]
        groups = [group for group in groups if len(group)]
        spread = [group for group in groups if len(group) > 1 and np.ptp(group) > NO_SPREAD]
        if not spread and contrast.step > 0 and not reason:
            error = contrast.step * sum(sqrt(len(group)) for group in groups) / n
            return cls(contrast, n, float(values.mean()), error, n - len(groups), reason)
        if not spread:
            return cls(contrast, n, float(values.mean()) if n else nan, nan, 0, reason or "the seeds do not vary")
        freedom = sum(len(group) - 1 for group in spread)
        deviation = sqrt(sum(float(((group - group.mean()) ** 2).sum()) for group in spread) / freedom)
        error = deviation * sum(sqrt(len(group)) for group in groups) / n
        return cls(contrast, n, float(values.mean()), error, freedom, reason)

    @property
    def p(self) -> float:
        if (margin := self.contrast.margin) is None:
            return 2 * self._below(-abs(self.effect))
        return min(1.0, 2 * min(self._below(abs(self.effect) - margin), self._below(margin - abs(self.effect))))

    def _below(self, distance: float) -> float:
        """The chance of a t below so many standard errors."""
        return float(stdtr(self.freedom, distance / self.error))

    def claim(self, p: float) -> Claim:
        """With its p, corrected."""
        contrast, margin = self.contrast, self.contrast.margin
        half = float(stdtrit(self.freedom, 1 - ALPHA / 2)) * self.error if self.freedom else nan
        holds = self.effect > 0 if margin is None else abs(self.effect) < margin
        word = "not separable" if p >= ALPHA else "supported" if holds else "contradicted"
        return Claim(
            contrast.panel, contrast.claim, "" if self.reason else word, self.effect, self.effect - half,
            self.effect + half, self.n, nan if self.reason else p, contrast.unit, margin, self.reason,
        )  # fmt: skip
