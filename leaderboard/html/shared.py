"""What many trials of a page share, written once."""

from collections.abc import Hashable
from typing import Any


class Interner:
    """Things that many trials share, each kept once; a trial holds the number of its own."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self._places: dict[Hashable, int] = {}

    def index(self, key: Hashable, thing: Any) -> int:
        """Where the thing with this key is kept; it is kept now where it was not."""
        if key not in self._places:
            self._places[key] = len(self.kept)
            self.kept.append(thing)
        return self._places[key]
