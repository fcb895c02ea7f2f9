"""What may be shown: text without control characters or folders' names, tables, and lengths of time."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

NARROWEST = 12  # characters of a folded column

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


def table(rows: Sequence[Mapping[str, Any]], indent: str = "") -> str:
    """Rows as a plain table. Where that is wider than the terminal it goes to, columns are folded between words; where
    it is still too wide, each row is a paragraph.

    Args:
        rows: What stands in each column, by the column's name.
        indent: What stands before each line.

    Returns:
        The table with the names above; ``(none)`` where there are no rows.
    """
    # What a method or a record says may hold a terminal's control characters.
    shown = [{name: printable(str(value)) for name, value in row.items()} for row in rows]
    text = _tabulated(shown) if shown else "(none)"
    width = shutil.get_terminal_size().columns - len(indent) if sys.stdout.isatty() else 0
    if width and _width(text) > width:
        text = _tabulated(_folded(shown, width))
        text = text if _width(text) <= width else _paragraphs(shown, width)
    return textwrap.indent(text, indent)


def _tabulated(rows: Sequence[Mapping[str, str]]) -> str:
    from tabulate import tabulate  # not for --help

    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True)


def _width(text: str) -> int:
    return max(map(len, text.splitlines()))


def _folded(rows: Sequence[Mapping[str, str]], width: int) -> list[dict[str, str]]:
    """The rows with their widest columns folded, all to the same number of characters."""
    names = dict.fromkeys(name for row in rows for name in row)
    cells = {name: [f"{name}  ", *(row.get(name, "") for row in rows)] for name in names}  # tabulate pads a name
    wanted = {name: max(map(len, each)) for name, each in cells.items()}
    words = {name: max(map(len, " ".join(each).split())) for name, each in cells.items()}
    most, gaps = max(wanted.values()), 2 * (len(names) - 1)
    while most > NARROWEST and gaps + sum(min(wanted[name], max(most, words[name])) for name in names) > width:
        most -= 1
    fold = textwrap.TextWrapper(most, break_long_words=False, break_on_hyphens=False).fill
    return [{name: fold(cell) for name, cell in row.items()} for row in rows]


def _paragraphs(rows: Sequence[Mapping[str, str]], width: int) -> str:
    """The first cell of each row, and below it the others that hold something, each with its column's name."""
    fold = textwrap.TextWrapper(width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False).fill
    heads = [next(iter(row.values())) for row in rows]
    rest = [[fold(f"{name}: {cell}") for name, cell in [*row.items()][1:] if cell] for row in rows]
    return "\n".join("\n".join([head, *lines]) for head, lines in zip(heads, rest, strict=True))


def listed(text: str) -> list[str]:
    """Names with commas between them. What stands in parentheses is of a name: ``Focal Loss (loss.gamma=2, ...)``."""
    names, depth = [""], 0
    for sign in text:
        depth = max(0, depth + (sign == "(") - (sign == ")"))
        if sign == "," and not depth:
            names.append("")
        else:
            names[-1] += sign
    return [name.strip() for name in names if name.strip()]


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
    if price is None:
        return ""
    cost = f"{hours * price:,.2f}"
    return f" ({'less than 0.01' if cost == '0.00' and hours else cost} in money, at {price:g} an hour)"


def redact_paths(text: str) -> str:
    """Each line with the last part of each absolute path and URL in it only.

    A folder's name may hold spaces, and nothing tells where a path ends that is not in quotes: of such a one, all up to
    the last separator of the line goes, and with it the words between two paths.
    """
    return "\n".join(_FOLDERS.sub("", line) for line in text.split("\n"))
