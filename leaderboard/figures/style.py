"""The style of every picture: colours and marks that stay apart without colour, and files that are the same bytes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import matplotlib as mpl
from matplotlib.figure import Figure

# Okabe and Ito's colours, which most who are colour-blind tell apart. Seven markers and four dashes have no common
# factor: without any colour, 28 lines differ.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", "-.", ":")
UNDATED = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}}


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
