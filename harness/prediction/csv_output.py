"""Predictions as CSV: where it goes, and its cells."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ...leaderboard.formats.text import spreadsheet_cell
from ..storage.files import Files


@contextmanager
def csv_goal(path: Path | None, terminal: TextIO) -> Iterator[TextIO]:
    """Where a CSV goes: into a file, whole or not at all, or to the terminal.

    Args:
        path: The file; None where there is none.
        terminal: Where it goes then.

    Raises:
        OSError: where the file cannot be written.
    """
    if path is None:
        yield terminal
        return
    text = io.StringIO()
    yield text
    Files(path.parent).write(path.name, text.getvalue().encode())


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula; a number is none."""
    try:
        float(text)
    except ValueError:
        return spreadsheet_cell(text)
    return text
