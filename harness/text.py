"""What may be shown: text without control characters or folders' names, tables, and lengths of time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

# Where an absolute path begins: a URL, a drive, a home, a root or a share; after an option such as -I too.
_BEGINS = r"(?:(?<![\w.])|(?<=\s-[A-Za-z]))(?:[A-Za-z][\w+.-]*://|[A-Za-z]:[/\\]|~[^\s/\\]*[/\\]|[/\\](?=\S))"
# In quotes: up to the last separator before the closing one, behind which as many open as close; none is escaped.
_QUOTED = r"(?<={q}){begins}(?:[^{q}]*[/\\])?(?=[^{q}/\\]+{q}(?!\w)(?:[^{q}]*{q}[^{q}]*{q})*[^{q}]*$)"
_FOLDERS = re.compile("|".join([*(_QUOTED.format(q=q, begins=_BEGINS) for q in "'\""), rf"{_BEGINS}(?:.*[/\\])?"]))


def printable(text: str) -> str:
    """One line: whatever would move the cursor or turn the text around is a space."""
    return "".join(character if character.isprintable() else " " for character in text)


def lines(text: str) -> str:
    """The same line by line."""
    return "\n".join(map(printable, text.split("\n")))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """``rows`` as a plain table with their names above; ``(none)`` where there are none."""
    from tabulate import tabulate  # not for --help

    # What a method or a record says may hold a terminal's control characters.
    rows = [{name: printable(str(value)) for name, value in row.items()} for row in rows]
    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True) if rows else "(none)"


def duration(seconds: float) -> str:
    """Two units at most: ``40 s``, ``14 min``, ``2 h 5 min``, ``3 d 4 h``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def money(hours: float, price: float | None) -> str:
    """What so many hours cost, in brackets; nothing where no price of an hour is given."""
    return "" if price is None else f" ({hours * price:.2f} in money, at {price:g} an hour)"


def redact_paths(text: str) -> str:
    """Each line with the last part of each absolute path and URL in it only.

    A folder's name may hold spaces, and nothing tells where a path ends that is not in quotes: of such a one, all up to
    the last separator of the line goes, and with it the words between two paths.
    """
    return "\n".join(_FOLDERS.sub("", line) for line in text.split("\n"))
