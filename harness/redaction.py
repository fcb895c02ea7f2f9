"""Error messages without the folders in them, which name users, machines and projects."""

from __future__ import annotations

import re

# Where an absolute path begins: a URL, a drive, a home, a root or a share; after an option such as -I too.
_BEGINS = r"(?:(?<![\w.])|(?<=\s-[A-Za-z]))(?:[A-Za-z][\w+.-]*://|[A-Za-z]:[/\\]|~[^\s/\\]*[/\\]|[/\\](?=\S))"
# In quotes: up to the last separator before the closing one, behind which as many open as close; none is escaped.
_QUOTED = r"(?<={q}){begins}(?:[^{q}]*[/\\])?(?=[^{q}/\\]+{q}(?!\w)(?:[^{q}]*{q}[^{q}]*{q})*[^{q}]*$)"
_FOLDERS = re.compile("|".join([*(_QUOTED.format(q=q, begins=_BEGINS) for q in "'\""), rf"{_BEGINS}(?:.*[/\\])?"]))


def without_folders(text: str) -> str:
    """Each line with the last part of each absolute path and URL in it only.

    A folder's name may hold spaces, and nothing tells where a path ends that is not in quotes: of such a one, all up to
    the last separator of the line goes, and with it the words between two paths.
    """
    return "\n".join(_FOLDERS.sub("", line) for line in text.split("\n"))
