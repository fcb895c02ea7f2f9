"""Claims that a study names itself: contrasts between the curves of a figure, at one x or between two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .contrasts import Contrast, cross_fitted, halves


@dataclass(frozen=True)
class Comparison:
    """At the x ``at`` the curve ``better`` lies above ``than``; of several the best, chosen on the other half of the
    seeds.

    Args:
        better: The curves that are said to be above; none means every curve, each by itself.
        than: Those that they are compared with; none means the same curve, at ``than_at``.
        at: An x, or ``smallest`` or ``largest`` of the panel.
        than_at: The x of the second value, where it is another.
        more_than_at: The difference is said to be larger than at this x.
        group: The classes that it speaks of; None for every panel.
        panel: What the name of a panel that it speaks of holds, such as a network; None for every panel.
        margin: Within how much the two are said to be alike; None where the first is said to be above.
        say: The claim in words; made of the rest if not given.
    """

    better: Sequence[str] = ()
    than: Sequence[str] = ()
    at: float | str = "smallest"
    than_at: float | str | None = None
    more_than_at: float | str | None = None
    group: str | None = None
    panel: str | None = None
    margin: float | None = None
    say: str = ""


def compared(
    wide: pd.DataFrame, comparisons: Sequence[Comparison], panel: str, group: str, x: str, unit: str
) -> Iterator[Contrast]:
    """The contrasts of one panel. What names a curve or an x that the panel lacks is left out of it.

    Args:
        wide: The values by seed, as ``figure.by_seed`` gives them.
        comparisons: What is claimed.
        panel: The panel's name.
        group: The classes that it is of.
        x: The name of the axis.
        unit: Of the values.
    """
    for comparison in comparisons:
        if comparison.group not in (None, group) or (comparison.panel or "") not in panel:
            continue
        for better in [tuple(comparison.better)] if comparison.better else [(curve,) for curve in _curves(wide)]:
            places = [_place(wide, at) for at in (comparison.at, comparison.than_at, comparison.more_than_at)]
            if any(at is not None and np.isnan(at) for at in places):
                continue
            at, than_at, more = places
            assert at is not None  # noqa: S101  (for the type checker)
            values = _Values(wide, better, tuple(comparison.than))
            found = values.differences(at, at if than_at is None else than_at, more)
            if found is not None:
                words = comparison.say or _sentence(comparison, better, x, at, than_at, more)
                yield Contrast(panel, words, found[0], unit, comparison.margin, found[1])


@dataclass(frozen=True)
class _Values:
    wide: pd.DataFrame
    better: tuple[str, ...]
    than: tuple[str, ...]

    def differences(self, at: float, than_at: float, more: float | None) -> tuple[np.ndarray, np.ndarray | None] | None:
        """By seed, and the half of each where something was chosen; None where a curve or x is not there."""
        second_curves, xs = self.than or self.better, (at, than_at, *([] if more is None else [more]))
        if not all((curve, x) in self.wide.index for curve in (*self.better, *second_curves) for x in xs):
            return None
        options, references = self._at(self.better, at), self._at(second_curves, than_at)
        further = [(options, references)]
        if more is not None:  # the same curves at another x
            further.append((self._at(self.better, more), self._at(second_curves, more)))
        arrays = [array for pair in further for array in pair]
        whole: np.ndarray = np.logical_not(np.isnan(np.vstack(arrays)).any(axis=0))
        folds = np.zeros(len(whole), int)
        folds[whole] = halves(int(whole.sum()))
        choosing = len(self.better) > 1 or len(self.than) > 1
        if not whole.any() or (choosing and whole.sum() < 2):
            return np.full(len(whole), np.nan), folds if choosing else None
        first = _chosen(options[:, whole], folds[whole])
        second = _chosen(references[:, whole], folds[whole]) if self.than else first
        seeds = np.arange(int(whole.sum()))
        parts = [a[:, whole][first, seeds] - b[:, whole][second, seeds] for a, b in further]
        differences = np.full(len(whole), np.nan)
        differences[whole] = parts[0] - parts[1] if more is not None else parts[0]
        return differences, folds if choosing else None

    def _at(self, curves: Sequence[str], x: float) -> np.ndarray:
        """(curves, n)."""
        return self.wide.loc[[(curve, x) for curve in curves]].to_numpy(float)


def _chosen(options: np.ndarray, folds: np.ndarray) -> np.ndarray:
    return cross_fitted(options, folds) if len(options) > 1 else np.zeros(len(folds), int)


def _curves(wide: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(wide.index.get_level_values("curve")))


def _place(wide: pd.DataFrame, at: float | str | None) -> float | None:
    """The x itself; NaN where the panel has none that is near it."""
    if at is None:
        return None
    positions = np.sort(wide.index.get_level_values("x").unique().to_numpy(float))
    if isinstance(at, str):
        return float(positions[0] if at == "smallest" else positions[-1])
    near = positions[np.isclose(positions, at, rtol=1e-6, atol=0)]
    return float(near[0]) if len(near) else float("nan")


def _best_of(names: Sequence[str]) -> str:
    return f"the best of {', '.join(names)}" if len(names) > 1 else "".join(names)


def _sentence(
    comparison: Comparison, better: Sequence[str], x: str, at: float, than_at: float | None, more: float | None
) -> str:
    first, second = _best_of(better), _best_of(comparison.than)
    here = f"{x} {at:g}"
    reference = f"{second} at {x} {than_at:g}" if second and than_at is not None else second or f"at {x} {than_at:g}"
    if more is not None:
        return f"{first} gains more over {reference} at {here} than at {more:g}"
    if comparison.margin is not None:
        return f"{first} and {reference} are within {comparison.margin:g} of each other at {here}"
    if second and than_at is None:
        return f"{first} is better than {second} at {here}"
    return f"{first} at {here} is better than {reference}"
