"""Draws the curves of a figure: error bars are one standard error, and curves differ without colour too."""

from __future__ import annotations

import textwrap
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator, StrMethodFormatter

from ..formats.text import plain
from .figure import Axis, FigureData, Picture
from .style import INERT, as_shipped, looks, name_lines, saved

SIZE = (4.6, 3.2)  # inches of a panel
MOST_MARKS = 12  # points of a curve with a marker and an error bar


def drawn(figure: FigureData, form: str) -> bytes:
    """The figure, a row for each panel and a column for each quantity; no title inside but the names of several panels.

    Args:
        figure: What the arithmetic gave.
        form: ``png``, ``svg`` or ``pdf``.

    Returns:
        The file. The same figure and versions give the same bytes: no date, no random name, no setting of the user's.
    """
    panels = list(figure.points.groupby("panel", sort=False))
    shown = {name: [each for each in figure.pictures if each.panel == name] for name, _ in panels}
    wide, tall = len(figure.axes) + max(map(len, shown.values()), default=0), len(panels)
    with as_shipped():
        picture = Figure(figsize=(SIZE[0] * wide, SIZE[1] * tall), dpi=150, layout="constrained")
        grid = picture.subplots(tall, wide, squeeze=False)
        for row, (name, points) in zip(grid, panels, strict=True):
            for axes, (quantity, axis) in zip(row, figure.axes.items(), strict=False):
                _curves(axes, points[points["quantity"] == quantity], axis)
            for axes, picture_of in zip_longest(row[len(figure.axes) :], shown[name]):
                _regions(axes, picture_of, points)
            if tall > 1:
                row[0].set_title(textwrap.fill(plain(str(name)), 60), fontsize=8, loc="left", **INERT)
        return saved(picture, form)


def _regions(axes: Axes, shown: Picture | None, points: pd.DataFrame) -> None:
    """Which class is decided where, from dark (the most frequent) to light, and the three images by their classes."""
    axes.set_axis_off()
    if shown is None:
        return
    classes = int(points.loc[points["quantity"] == "share", "x"].max())
    look: dict[str, Any] = {"cmap": "viridis", "vmin": -0.5, "vmax": classes - 0.5, "interpolation": "nearest"}
    axes.imshow(shown.regions, origin="lower", extent=(0, 1, 0, 1), **look)
    for (x, y), label in zip(shown.corners, shown.classes, strict=True):
        box = {"boxstyle": "circle", "facecolor": "white", "linewidth": 0.6}
        axes.text(x, y, str(label + 1), fontsize=7, ha="center", va="center", bbox=box)
    of = points[(points["quantity"] == "entropy") & (points["curve"] == shown.curve)]
    said = f"{shown.curve}: {of['mean'].iloc[0]:.2f} bits" if len(of) else shown.curve
    axes.set_title(textwrap.fill(plain(said), 40), fontsize=8, **INERT)


def _curves(axes: Axes, points: pd.DataFrame, axis: Axis) -> None:
    lines, names = [], []
    for (name, curve), (colour, marker, dash) in zip(points.groupby("curve", sort=False), looks(), strict=False):
        x, mean = curve["x"].to_numpy(float), curve["mean"].to_numpy(float)
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": dash, "markersize": 4, "linewidth": 1.2}
        every = -(-len(x) // MOST_MARKS)  # of a long curve some, as a picture with all is illegible and large
        look |= {"markevery": every, "errorevery": every, "capsize": 2.5, "elinewidth": 0.9}
        lines.append(axes.errorbar(x, mean, yerr=_errors(curve), **look))
        names.append(str(name))
    if axis.log_x:
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis, points["x"])
    if axis.log_y:
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis, points["x"] if axis.diagonal else points["mean"])
    if axis.diagonal and len(points):
        ends = [points["x"].min(), points["x"].max()]
        axes.plot(ends, ends, color="0.5", linewidth=0.8, zorder=0)
    if axis.zero:
        axes.axhline(0, color="0.5", linewidth=0.8, zorder=0)
    axes.set_xlabel(plain(axis.x), fontsize=9, **INERT)
    axes.set_ylabel(textwrap.fill(plain(axis.y), 40), fontsize=9, **INERT)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25, linewidth=0.6)
    if len(names) > 1:
        name_lines(axes, lines, names, width=30, size=7)


def _errors(curve: pd.DataFrame) -> np.ndarray:
    """(2, points): how far the bar goes down and up; nothing where there is neither error nor band."""
    low = (curve["mean"] - curve["low"]).fillna(curve["stderr"])
    high = (curve["high"] - curve["mean"]).fillna(curve["stderr"])
    return np.nan_to_num(np.stack([low, high]).astype(float)).clip(min=0)


def _plain_ticks(axis: XAxis | YAxis, measured: pd.Series) -> None:
    """The numbers that were measured, where they are few."""
    if 1 < measured.nunique() <= 8:
        axis.set_ticks(sorted(measured.unique()))
        large = measured.max() >= 1e5  # where six digits and more would run into one another
        axis.set_major_formatter(EngFormatter(sep=" ") if large else StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())
