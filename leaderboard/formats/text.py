"""Text that is safe in any format."""


def plain(text: str) -> str:
    """One line without control characters: they could move a terminal's cursor or break a table."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
