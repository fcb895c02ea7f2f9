"""Class names: what a class of images or of a table's rows may be called."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from ..catalog import DataError

LONGEST = 200  # signs


def check_class_names(names: Iterable[str], where: str) -> None:
    """DataError where a name has odd signs or too many, or two are the same but for case or the form of their letters.
    A letter and its capital are two classes, as in handwriting.

    Args:
        names: The classes', each once.
        where: What the message begins with: the file or folder.
    """
    seen: dict[str, str] = {}
    for name in names:
        if len(name) > LONGEST or not name.isprintable():
            raise DataError(f"{where}: the class {name[:40]!r} has odd signs or more than {LONGEST}")
        composed = unicodedata.normalize("NFC", name)
        if (first := seen.setdefault(composed if len(composed) == 1 else composed.casefold(), name)) != name:
            how = "Unicode form" if composed == unicodedata.normalize("NFC", first) else "case"
            raise DataError(f"{where}: the classes {first!r} and {name!r} differ in {how} only: write them alike")
