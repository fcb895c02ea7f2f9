"""Text that is safe in any format."""

import pandas as pd

FORMULA = ("=", "+", "-", "@")  # with which a spreadsheet lets a formula begin


def plain(text: str) -> str:
    """One line without control characters: they could move a terminal's cursor or break a table."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())


def plain_lines(text: str) -> str:
    """The same of a text of several lines, which keep their spaces."""
    return "\n".join("".join(c if c.isprintable() else " " for c in line) for line in text.split("\n"))


def plain_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The same table, each text in it as :func:`plain` makes it."""
    return frame.map(lambda value: plain(value) if isinstance(value, str) else value)


def spreadsheet_cell(text: str) -> str:
    """Plain text that no spreadsheet takes for a formula: an apostrophe before it says that it is text."""
    text = plain(text)
    return f"'{text}" if text.startswith(FORMULA) else text
