"""The figures that the plans of stores ask for, as a page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from ....datasets.catalog import DataError
from ....leaderboard.html.model import PageFigure, StudyChart
from ....leaderboard.tables.grid import Table
from ...errors import ReportError, StoreError
from ...storage.reader import StoreReader
from .request import FigureRequest
from .study import StudyFigure, short, study_figure


def planned_figures(stores: Sequence[StoreReader]) -> list[PageFigure]:
    """Those of all plans that ask for one, and of which something can be drawn.

    Args:
        stores: Stores and bundles.
    """
    figures = []
    for store, spec in ((each, spec) for each in stores for spec in each.plans()):
        with suppress(ReportError, StoreError, DataError):  # nothing is complete yet, or it is damaged: no page goes
            if asked := FigureRequest.of(spec):
                figures.append(page_figure(study_figure(store, asked)))
    return figures


def page_figure(drawn: StudyFigure) -> PageFigure:
    """A figure with its claims and points as tables, and the points again for charts."""
    claims = tuple((claim.panel, *claim.words.values()) for claim in drawn.data.claims)
    shown = drawn.data.points.dropna(axis=1, how="all")
    points = tuple(tuple(str(short(value)) for value in row) for row in shown.itertuples(index=False, name=None))
    heads = ("Panel", "Claim", "Verdict", "Effect", "95% interval", "n")
    try:
        picture = drawn.content(".svg")
    except ReportError:  # without matplotlib
        picture = b""
    return PageFigure(
        drawn.name,
        drawn.claim,
        Table("What came of its claims", (), claims, (), (), heads),
        Table("Points", (), points, (), (), tuple(map(str, shown.columns))),
        drawn.data.notes,
        picture,
        drawn.content(".csv"),
        [
            StudyChart(str(panel), axis, part)
            for panel, rows in drawn.data.points.groupby("panel", sort=False)
            for quantity, axis in drawn.data.axes.items()
            if len(part := rows[rows["quantity"] == quantity])
        ],
        regions=bool(drawn.data.pictures),
    )
