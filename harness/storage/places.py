"""What a place is that holds files: ReadablePlace, as a bundle is, and WritablePlace, as a store is.

A name is a path relative to the place, as ``paths.py`` spells it. Each file is whole: one that is being written is not
there yet.
"""

from __future__ import annotations

from typing import Protocol


class ReadablePlace(Protocol):
    """Files by name, to be read. Its text, ``str(place)``, is the path or URL that messages show."""

    def read(self, name: str) -> bytes:
        """The file's bytes.

        Raises:
            FileNotFoundError: where there is no such file. StoreError where it cannot be one of ours: it is larger than
                such files are, or leads out of the place.
        """
        ...

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        ...

    def names(self, folder: str, suffix: str = "") -> set[str]:
        """The names in a folder that end in ``suffix``, without it; nothing where there is no such folder."""
        ...


class WritablePlace(ReadablePlace, Protocol):
    """Files by name, to be read and written."""

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all. OSError where that cannot be done."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        ...

    def move(self, name: str, to: str) -> None:
        """Give a file another name, whatever is in it; it is not read."""
        ...
