"""What a method, a record or a plan says may hold a terminal's control characters: they are not passed on."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line: whatever would move the cursor or turn the text around is a space."""
    return "".join(character if character.isprintable() else " " for character in text)


def lines(text: str) -> str:
    """The same line by line."""
    return "\n".join(map(printable, text.split("\n")))
