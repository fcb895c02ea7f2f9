"""Classes of images or of a table's rows: what one may be called, and in which order they stand."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping

from ..catalog import DataError

LONGEST = 200  # signs
JOINERS = "\u200c\u200d"
WHOLE = re.compile(r"([+-]?\d+)\.0+")  # as a program writes a column of whole numbers in which one was missing


def check_class_names(names: Iterable[str], where: str) -> None:
    """DataError where a name has odd signs or too many, or two are the same but for case or the form of their letters,
    or the same whole number, as 1 and 1.0. A letter and its capital are two classes, as in handwriting.

    Args:
        names: The classes', each once.
        where: What the message begins with: the file or folder.
    """
    seen: dict[str, str] = {}
    for name in names:
        if len(name) > LONGEST:
            raise DataError(f"{where}: the class {name[:40]!r}... has more than {LONGEST} signs")
        if odd := next((sign for sign in name if _is_odd(sign)), None):
            raise DataError(f"{where}: the class {name[:40]!r} has a sign that is not printed, U+{ord(odd):04X}")
        composed = unicodedata.normalize("NFC", name)
        alike = WHOLE.sub(r"\1", composed) if WHOLE.fullmatch(composed) else composed.lower()
        if (first := seen.setdefault(composed if len(composed) == 1 else alike, name)) != name:
            same = unicodedata.normalize("NFC", first)
            how = "Unicode form" if composed == same else "case" if composed.lower() == same.lower() else "the point"
            raise DataError(f"{where}: the classes {first!r} and {name!r} differ in {how} only: write them alike")


def class_order(trained: Mapping[str, int]) -> tuple[str, ...]:
    """The classes by how many training images or rows each has, the largest first; of equal ones by name, or by number
    where all are."""
    numbers = all(name.isdecimal() for name in trained)
    return tuple(sorted(trained, key=lambda name: (-trained[name], int(name) if numbers else 0, name)))


def _is_odd(sign: str) -> bool:
    """Of control, format and unassigned signs those that join letters are part of words."""
    return sign not in JOINERS and unicodedata.category(sign) in {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
