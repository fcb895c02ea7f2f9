"""The figures on a page: charts that the page draws from their points, what came of their claims, the points as a table
and the picture as it is printed."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from ..formats.notebook import html_table
from ..formats.text import plain
from ..tables.grid import Table
from .model import PageFigure, StudyChart
from .published import records

KINDS = {"curve": str, **dict.fromkeys(("x", "mean", "stderr", "n", "low", "high"), float)}


def charts(figures: Sequence[PageFigure]) -> dict[str, dict[str, Any]]:
    """For the page's script: of each chart by its name what its axes are, and its points. A number that there is none
    of is None."""
    return {
        name: {
            "axis": asdict(chart.axis),
            "points": records(chart.points[list(KINDS)].astype(KINDS)),
        }
        for number, figure in enumerate(figures)
        for name, chart in _named(number, figure)
    }


def sections(figures: Sequence[PageFigure]) -> str:
    """A section of the page for each: the charts, a table of the claims, and the points and the picture, which open on
    a click."""
    return "\n".join(_section(number, figure) for number, figure in enumerate(figures))


def _section(number: int, figure: PageFigure) -> str:
    title = escape(plain(figure.title))
    about = f"<p>The paper: {escape(plain(figure.claim))}</p>" if figure.claim else ""
    drawn = "".join(_place(name, title, chart) for name, chart in _named(number, figure))
    notes = "".join(f"<li>{escape(plain(note))}</li>" for note in figure.notes)
    link = f'<a download="{title}.csv" href="{_address("text/csv", figure.csv)}">Save as CSV</a>'
    return (
        f'<section class="figure"><h2>Figure: {title}</h2>{about}<div class="charts">{drawn}</div>'
        f"{_picture(title, figure)}{scrolled(figure.claims)}"
        f'<ul class="small">{notes}</ul><details><summary>The points behind it</summary>{link}'
        f"{scrolled(figure.points)}</details></section>"
    )


def _named(number: int, figure: PageFigure) -> Iterator[tuple[str, StudyChart]]:
    return ((f"study-{number}-{place}", chart) for place, chart in enumerate(figure.charts))


def _place(name: str, title: str, chart: StudyChart) -> str:
    """Where the page's script draws a chart."""
    what = f"{chart.axis.y} over {chart.axis.x}"
    caption = escape(plain(f"{chart.panel}: {what}" if chart.panel else what), quote=True)
    return (
        f'<figure><figcaption>{caption}</figcaption><div id="chart-{name}" class="chart" role="group" '
        f'aria-label="{title}, {caption}; the table below holds the points"></div>'
        f'<p id="missing-{name}" class="small"></p></figure>'
    )


def _picture(title: str, figure: PageFigure) -> str:
    if not figure.picture:
        return '<p class="small">There is no picture to print: it needs matplotlib.</p>'
    address = _address("image/svg+xml", figure.picture)
    return (
        f"<details{' open' * figure.regions}><summary>The picture as it is printed</summary>"
        f'<a download="{title}.svg" href="{address}">Save as SVG</a><br>'
        f'<img src="{address}" alt="{title}: the table below holds its points" '
        'style="max-width: 100%; background: white"></details>'
    )


def scrolled(table: Table, kind: str = "scroll") -> str:
    """A table that scrolls where it is wider than the page, of these classes."""
    name = escape(plain(table.title), quote=True)
    return f'<div class="{kind}" role="region" tabindex="0" aria-label="{name}">{html_table(table)}</div>'


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
