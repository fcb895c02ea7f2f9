"""The pictures of a report: what each budget finds, and critical differences."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import islice
from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..formats.text import plain
from ..statistics.ranks import Ranks
from .style import COLOURS, INERT, as_shipped, looks, name_lines, saved

PANEL = ["protocol", "dataset", "setting"]
SIZE = (7.2, 3.9)  # inches of a panel


def budgets(curves: pd.DataFrame, metric: str, form: str) -> bytes:
    """The expected best over the number of trials: a panel for each protocol, data set and setting, a line for each
    method.

    Args:
        curves: What ``leaderboard.statistics.budget.curves`` returns.
        metric: What the values are, for the axis.
        form: ``png``, ``svg`` or ``pdf``.

    Returns:
        The file. The same curves and versions give the same bytes: no date, no random name, no setting of the user's.
    """
    panels = list(curves.groupby(PANEL, sort=False))
    wide = min(2, len(panels))
    tall = ceil(len(panels) / wide)
    with as_shipped():
        figure = Figure(figsize=(SIZE[0] * wide, SIZE[1] * tall), dpi=120, layout="constrained")
        grid = figure.subplots(tall, wide, squeeze=False).flat
        for axes, (names, panel) in zip(grid, panels, strict=False):
            _panel(axes, ", ".join(map(str, names)), panel, metric)
        for axes in islice(figure.axes, len(panels), None):
            axes.set_axis_off()
        return saved(figure, form)


def critical_differences(diagrams: Sequence[Ranks], form: str) -> bytes:
    """Demsar's diagram: the methods along their average rank, 1 on the left; a bar joins those that lie less than the
    critical difference apart. A panel for each protocol and group; as the same bytes as :func:`budgets` does."""
    most = max(len(ranks.ranks) for ranks in diagrams)
    with as_shipped():
        figure = Figure(figsize=(SIZE[0], (1.6 + 0.22 * most) * len(diagrams)), dpi=120, layout="constrained")
        for axes, ranks in zip(figure.subplots(len(diagrams), 1, squeeze=False).flat, diagrams, strict=True):
            _diagram(axes, ranks)
        return saved(figure, form)


def cliques(ranks: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """The longest runs (first, last) of ascending ranks that lie within less than the critical difference; a run of one
    is none, and none lies within another."""
    runs: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = max(i for i, other in enumerate(ranks) if other - rank < critical)
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def _diagram(axes: Axes, standing: Ranks) -> None:
    """The better half's names stand on the left, best on top; the others' on the right, worst on top."""
    names, ranks = list(standing.ranks), list(standing.ranks.values())
    k, half = len(names), (len(names) + 1) // 2
    runs = cliques(ranks, standing.critical)
    line: dict[str, Any] = {"color": "black", "linewidth": 0.9}
    axes.set_axis_off()
    axes.set_xlim(1 - 0.55 * (k - 1), k + 0.55 * (k - 1))
    axes.set_ylim(-half - len(runs) * 0.35 - 0.8, 2.6)
    axes.plot([1, k], [0, 0], **line)
    for tick in range(1, k + 1):
        axes.plot([tick, tick], [0, 0.18], **line)
        axes.text(tick, 0.3, str(tick), ha="center", va="bottom", fontsize=8)
    axes.plot([1, 1 + min(standing.critical, k - 1)], [1.5, 1.5], color="black", linewidth=2)
    axes.text(1, 1.65, f"CD = {standing.critical:.2f} ({standing.datasets} data sets)", fontsize=8, va="bottom")
    title = f"{standing.protocol}, {standing.group.title()}: average rank, 1 is best"
    axes.set_title(textwrap.fill(plain(title), 80), fontsize=9, **INERT)
    below = -0.35 * len(runs)
    for i, (name, rank) in enumerate(zip(names, ranks, strict=True)):
        left = i < half
        height = below - 0.7 - (i if left else k - 1 - i)
        end = 1 - 0.03 * k if left else k + 0.03 * k
        axes.plot([rank, rank, end], [0, height, height], **line)
        text = f"{textwrap.shorten(plain(name), 44, placeholder='…')}  {rank:.2f}"
        axes.text(end, height, f"{text} " if left else f" {text}", ha="right" if left else "left", va="center",
                  fontsize=8, **INERT)  # fmt: skip
    for i, (first, last) in enumerate(runs):
        height = -0.25 - 0.35 * i
        axes.plot([ranks[first] - 0.04, ranks[last] + 0.04], [height, height], color=COLOURS[0], linewidth=3)


def _panel(axes: Axes, title: str, panel: pd.DataFrame, metric: str) -> None:
    names, lines = [], []
    for (method, curve), (colour, marker, dash) in zip(panel.groupby("method", sort=False), looks(), strict=False):
        drawn = curve.dropna(subset="expected_best")
        lines += axes.plot(
            drawn["trials"], drawn["expected_best"], color=colour, marker=marker, linestyle=dash, markersize=4
        )
        names.append(str(method) if len(drawn) else f"{method} (no trial finished)")
    axes.set_title(textwrap.fill(plain(title), 64), fontsize=9, **INERT)
    axes.set_xlabel("trials")
    axes.set_ylabel(f"expected best {plain(metric)} (%)", fontsize=9, **INERT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    name_lines(axes, lines, names, width=32, size=8, loc="center left", bbox_to_anchor=(1, 0.5))
