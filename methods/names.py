"""Names: the end of a message about an unknown one, which is the nearest right word; and what a name reads like."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

LONGEST = 500  # signs of a name that is looked at
WITH_VALUES = re.compile(r"(.+?)\s*\([\w.]+=.*\)")  # as a row of a method at other values is called


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'ERM'?``, or the list of all that is known where nothing comes near."""
    names = {name.lower(): name for name in sorted(known)}
    close = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {names[close[0]]!r}?"
    return f"; known: {', '.join(names.values()) or 'none'}"


def nearest_sentence(word: str, known: Iterable[str]) -> str:
    """The same with a stop at its end, for a message that goes on behind it."""
    end = nearest(word, known)
    return end if end.endswith("?") else f"{end}."


def read_as(name: str, known: Iterable[str]) -> str:
    """What a reader would take a name for that is not among those known: one of them in other letters, with signs that
    are not seen, or with values, or a sum of them. Empty where it is read as none.

    Args:
        name: The name.
        known: The names of methods.
    """
    if len(name) > LONGEST:
        return ""
    seen = {_seen(each): each for each in known}
    valued = WITH_VALUES.fullmatch(name)
    terms = [_seen(term) for term in (valued[1] if valued else name).split("+")]
    return " + ".join(seen[term] for term in terms) if all(term in seen for term in terms) else ""


def _seen(name: str) -> str:
    """Without case, width, blanks and what is not printed."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(sign for sign in plain if sign.isprintable() and not sign.isspace())
