"""The figures on a page: their pictures, what came of their claims, and the points behind them. They hold no script."""

from base64 import b64encode
from html import escape

from ..formats.notebook import html_table
from ..formats.text import plain
from ..tables.grid import Table
from .model import PageFigure


def section(figure: PageFigure) -> str:
    """A section of the page: the picture, a table of the claims, and the points, which open on a click."""
    title = escape(plain(figure.title))
    about = f"<p>The paper: {escape(plain(figure.claim))}</p>" if figure.claim else ""
    picture = (
        f'<img src="{_address("image/svg+xml", figure.picture)}" alt="{title}: the table below holds its points" '
        'style="max-width: 100%; background: white">'
        if figure.picture
        else "<p>There is no picture: it needs matplotlib.</p>"
    )
    notes = "".join(f"<li>{escape(plain(note))}</li>" for note in figure.notes)
    link = f'<a download="{title}.csv" href="{_address("text/csv", figure.csv)}">Save as CSV</a>'
    return (
        f'<section class="figure"><h2>Figure: {title}</h2>{about}{picture}{_scrolled(figure.claims)}'
        f'<ul class="small">{notes}</ul><details><summary>The points behind it</summary>{link}'
        f"{_scrolled(figure.points)}</details></section>"
    )


def _scrolled(table: Table) -> str:
    name = escape(plain(table.title), quote=True)
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">{html_table(table)}</div>'


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
