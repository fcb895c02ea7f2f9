"""Prior: how frequent the classes are among the images that a metric speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np

from ...methods.names import nearest
from ...methods.text_file import read_text
from ..errors import ReportError

WORDS = {
    "test": "as in the test set",
    "balanced": "balanced",
    "train": "train",
}
EXPECTED = f"{', '.join(WORDS)}, shares as in cat=0.9,dog=0.1, or a file with a number for each class"


@dataclass(frozen=True)
class Prior:
    """A word of ``WORDS``, or a share of each class: in their order, or each by its name or number."""

    word: str = ""
    shares: tuple[float, ...] = ()
    named: tuple[tuple[str, float], ...] = ()

    @property
    def text(self) -> str:
        """For a caption."""
        if self.word:
            return WORDS[self.word]
        named = [f"{name} {share:.4g}" for name, share in self.named]
        return "shares " + (", ".join(named) or " ".join(f"{share:.4g}" for share in self.shares))

    def of(self, classes: Sequence[str], trained: Sequence[int], tested: Sequence[int]) -> np.ndarray:
        """The share of each class (C,); they sum to 1.

        Args:
            classes: Their names.
            trained: The training images of each.
            tested: The images of each that were scored.

        Raises:
            ReportError: where the shares are not of these classes.
        """
        words = {"balanced": (1.0,) * len(classes), "train": trained, "test": tested}
        shares = words[self.word] if self.word else self._of_names(classes) if self.named else self.shares
        if len(shares) != len(classes):
            raise ReportError(
                f"--prior: {len(shares)} shares are given, and a data set here has {len(classes)} classes"
            )
        if len(set(shares)) == 1:  # the same bits, whatever the word
            shares = (1.0,) * len(classes)
        return np.array(shares, dtype=float) / sum(shares)

    def _of_names(self, classes: Sequence[str]) -> Sequence[float]:
        given = dict(self.named)
        numbered = all(name.isdigit() for name in given) and not set(given) & set(classes)
        names = list(map(str, range(len(classes)))) if numbered else classes
        for name in [*given, *names]:
            if name not in names:
                raise ReportError(f"--prior: no class {name!r} here" + nearest(name, names))
            if name not in given:
                raise ReportError(f"--prior: no share of class {name!r}; every class needs one")
        return [given[name] for name in names]


AS_TESTED = Prior("test")


def parse_prior(text: str) -> Prior:
    """What the command line says. ReportError where it is no prior."""
    if text in WORDS:
        return Prior(text)
    if "=" in text:
        names, numbers = zip(*named_shares(text), strict=True)
        if len(set(names)) < len(names):
            raise ReportError(f"--prior: a class stands twice in {text!r}")
        return Prior(named=tuple(zip(names, _numbers(numbers, repr(text)), strict=True)))
    try:
        written = read_text(Path(text)).replace(",", " ").split()
    except (OSError, ValueError) as error:
        word = nearest(text, WORDS)
        raise ReportError(f"--prior: {EXPECTED} is expected: {error}{word}") from error
    return Prior(shares=_numbers(written, text))


def named_shares(text: str) -> list[tuple[str, str]]:
    """``CLASS=SHARE,...`` as pairs. The name of a class may hold commas and equals signs; what is left at the end
    without a share has an empty one."""
    pairs, begun = [], []
    for piece in text.split(","):
        begun.append(piece)
        if "=" in piece:
            name, _, share = ",".join(begun).rpartition("=")
            pairs.append((name.strip(), share))
            begun = []
    return [*pairs, (",".join(begun), "")] if begun else pairs


def _numbers(words: Sequence[str], where: str) -> tuple[float, ...]:
    try:
        shares = tuple(map(float, words))
    except ValueError as error:
        raise ReportError(f"--prior: {EXPECTED} is expected: {error}") from error
    if not shares or not (min(shares) > 0 and sum(shares) < inf):
        raise ReportError(f"--prior: every number in {where} must be above 0")
    return shares
