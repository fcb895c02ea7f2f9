"""What a report draws or writes beside its tables: the curves of every budget, and the critical differences."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from ...leaderboard.formats.text import spreadsheet_cell
from ...leaderboard.tables.standings import why_not
from ..errors import ReportError
from . import tuning_tables
from .report import Report

CURVES = (".csv", ".png", ".svg", ".pdf")


def write_curves(report: Report, path: Path) -> None:
    """What every smaller budget would have found, as a table or a picture.

    Args:
        report: The leaderboard.
        path: The file, whose ending says which.

    Raises:
        ReportError: where nothing was tuned, the ending is unknown, or a picture is asked for without matplotlib.
    """
    form = path.suffix.lower()
    if form not in CURVES:
        raise ReportError(f"--curve: {path} must end in {', '.join(CURVES[:-1])} or {CURVES[-1]}")
    if not report.searches:
        raise ReportError("--curve: nothing was tuned here, so there is no curve to draw")
    curves = tuning_tables.curves(report.searches)
    if form == ".csv":
        path.write_text(csv_text(curves), encoding="utf-8")
        return
    metrics = " or ".join(dict.fromkeys(line.tuned.search.tune.metric for line in report.searches))
    path.write_bytes(pictures("plots", "--curve", ", or name a .csv").budgets(curves, metrics, form[1:]))


def write_diagram(report: Report, path: Path) -> str:
    """The critical-difference diagram of the whole test set, a panel for each protocol.

    Args:
        report: The leaderboard.
        path: The file.

    Returns:
        Why there is none, where the data sets or methods are too few; else nothing.

    Raises:
        ReportError: where the ending is unknown, or matplotlib is not there.
    """
    form = path.suffix.lower()
    if form not in CURVES[1:]:
        raise ReportError(f"--diagram: {path} must end in .png, .svg or .pdf")
    rankings = [ranking for ranking in report.ranks() if ranking.group == "all"]
    if why := why_not(rankings):
        return f"--diagram: {why}"
    drawn = [ranking for ranking in rankings if ranking.ranks]
    path.write_bytes(pictures("plots", "--diagram").critical_differences(drawn, form[1:]))
    return ""


def pictures(module: str, option: str, instead: str = "") -> Any:
    """A module of ``leaderboard/figures`` that draws.

    Args:
        module: Its name.
        option: Of the command line, that asks for a picture.
        instead: What else can be asked for, in words.

    Raises:
        ReportError: where matplotlib is not installed.
    """
    try:
        return import_module(f"...leaderboard.figures.{module}", __package__)
    except ImportError as error:
        install = 'pip install "tailboard[figures]"'
        raise ReportError(f"{option}: a picture needs matplotlib ({error}): {install}{instead}") from error


def csv_text(frame: pd.DataFrame) -> str:
    """The table as CSV, in which no text is a formula."""
    safe = frame.map(lambda value: spreadsheet_cell(value) if isinstance(value, str) else value)
    return safe.to_csv(index=False, lineterminator="\n")
