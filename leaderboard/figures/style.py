"""The style of every picture: colours and marks that stay apart without colour, and files that are the same bytes."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..formats.text import plain

# Okabe and Ito's colours, which most who are colour-blind tell apart. Seven markers and four dashes have no common
# factor: without any colour, 28 lines differ.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
INERT: dict[str, Any] = {"parse_math": False}  # a name with two dollars is no formula
UNDATED = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}


def looks() -> Iterator[tuple[str, str, str]]:
    """Colour, marker and dashes of one line after the other."""
    return zip(cycle(COLOURS), cycle(MARKERS), cycle(DASHES))


def name_lines(axes: Axes, lines: Sequence[Any], names: Sequence[str], width: int, size: int, **where: Any) -> None:
    """A legend. Names come after it, which would leave out one that begins with an underscore.

    Args:
        axes: Where the lines are drawn.
        lines: They.
        names: Theirs.
        width: After how many signs a name is broken.
        size: Of its letters.
        where: The place of the legend, as matplotlib names it.
    """
    legend = axes.legend(lines, list(map(str, range(len(lines)))), **where)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set(text=textwrap.fill(plain(name), width), fontsize=size, **INERT)


@contextmanager
def as_shipped() -> Iterator[None]:
    """In it matplotlib is as it was shipped, whatever a matplotlibrc says."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams["svg.hashsalt"] = "tailboard"
        mpl.rcParams["svg.fonttype"] = "none"  # text as text: half the bytes, and it can be searched and read aloud
        warnings.filterwarnings("ignore", message="Glyph")  # a name in letters that its font lacks shows boxes
        yield


def saved(figure: Figure, form: str) -> bytes:
    """The file in a ``form`` of ``UNDATED``, without a date."""
    file = BytesIO()
    figure.savefig(file, format=form, metadata=UNDATED[form])
    return file.getvalue()
