"""Names: the end of a message about an unknown one, which is the nearest right word; and what a name reads like."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable

LONGEST = 500  # signs of a name that is looked at
WITH_VALUES = re.compile(r"(.+?)\([\w.]+=.*\)")  # as a row of a method at other values is called, without blanks
UNSEEN = "\u115f\u1160\u2800\u3164\uffa0"  # letters and signs that show nothing


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
    seen, plain = {_seen(each): each for each in known}, _seen(name)
    valued = WITH_VALUES.fullmatch(plain if len(plain) <= LONGEST else f"{plain[:LONGEST]})")
    terms = (valued[1] if valued else plain).split("+")
    return " + ".join(seen[term] for term in terms) if all(term in seen for term in terms) else ""


def _seen(name: str) -> str:
    """Without case, width, blanks, marks and what shows nothing. Another alphabet's letter stays another."""
    plain = unicodedata.normalize("NFKC", name).casefold()
    return "".join(sign for sign in plain if unicodedata.category(sign)[0] not in "CMZ" and sign not in UNSEEN)
