"""Curves as a picture: the only file that imports matplotlib, which comes with the extra ``figures``."""

from __future__ import annotations

import textwrap
import warnings
from io import BytesIO
from itertools import cycle, islice
from math import ceil
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..leaderboard.report import plain

PANEL = ["protocol", "dataset", "setting"]
SIZE = (7.2, 3.9)  # inches of a panel
# Okabe and Ito's colours, which most who are colour-blind tell apart. Seven markers and four dashes have no common
# factor: without any colour, 28 lines differ.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
UNDATED = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}


def budgets(curves: pd.DataFrame, metric: str, form: str) -> bytes:
    """The expected best over the number of trials: a panel for each protocol, data set and setting, a line for each
    method.

    Args:
        curves: What ``leaderboard.budget.curves`` returns.
        metric: What the values are, for the axis.
        form: ``png``, ``svg`` or ``pdf``.

    Returns:
        The file. The same curves and versions give the same bytes: no date, no random name, no setting of the user's.
    """
    panels = list(curves.groupby(PANEL, sort=False))
    wide = min(2, len(panels))
    tall = ceil(len(panels) / wide)
    # From here on matplotlib is as it was shipped, whatever a matplotlibrc says.
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = "tailboard"
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that its font lacks shows boxes
        figure = Figure(figsize=(SIZE[0] * wide, SIZE[1] * tall), dpi=120, layout="constrained")
        grid = figure.subplots(tall, wide, squeeze=False).flat
        for axes, (names, panel) in zip(grid, panels, strict=False):
            _panel(axes, ", ".join(map(str, names)), panel, metric)
        for axes in islice(figure.axes, len(panels), None):
            axes.set_axis_off()
        file = BytesIO()
        figure.savefig(file, format=form, metadata=UNDATED[form])
    return file.getvalue()


def _panel(axes: Axes, title: str, panel: pd.DataFrame, metric: str) -> None:
    looks = zip(cycle(COLOURS), cycle(MARKERS), cycle(DASHES))
    names, lines = [], []
    for (method, curve), (colour, marker, dash) in zip(panel.groupby("method", sort=False), looks, strict=False):
        drawn = curve.dropna(subset="expected_best")
        lines += axes.plot(
            drawn["trials"], drawn["expected_best"], color=colour, marker=marker, linestyle=dash, markersize=4
        )
        names.append(str(method) if len(drawn) else f"{method} (no trial finished)")
    inert: dict[str, Any] = {"parse_math": False}  # a name with two dollars is no formula
    axes.set_title(textwrap.fill(plain(title), 64), fontsize=9, **inert)
    axes.set_xlabel("trials")
    axes.set_ylabel(f"expected best {plain(metric)} (%)", fontsize=9, **inert)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    # Names come after the legend, which would leave out one that begins with an underscore.
    legend = axes.legend(lines, [str(i) for i in range(len(lines))], loc="center left", bbox_to_anchor=(1, 0.5))
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=textwrap.fill(plain(name), 32), fontsize=8, **inert)
