"""The end of a message about an unknown name: the nearest right word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
