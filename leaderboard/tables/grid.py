"""A table of plain text, before any markup, and the wide grid that cells make."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ..metric import GROUPS
from ..shown_setting import data_in_setting
from ..statistics.paired import NO_SPREAD

Headers = dict[tuple[str, str], str]  # (data set, setting) -> the text above its groups
Place = tuple[str, str, str, str]  # method, data set, setting, group
SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def marks(words: Iterable[str]) -> dict[str, str]:
    """A raised number for each, from 1 on, in their order."""
    return {word: str(i).translate(SUPERSCRIPT) for i, word in enumerate(dict.fromkeys(words), start=1)}


@dataclass(frozen=True)
class Table:
    """One table as plain text. Each row of `body` has a text for each word of `head` (a method, unless it says
    otherwise), then one for each group of each span. `emphasis` has the word `bold` or `underlined` for places (row,
    column)."""

    title: str
    spans: tuple[tuple[str, tuple[str, ...]], ...]  # (data set and setting, or no word, its groups)
    body: tuple[tuple[str, ...], ...]
    footnotes: tuple[str, ...]
    caption: tuple[str, ...]
    head: tuple[str, ...] = ("Method",)
    emphasis: Mapping[tuple[int, int], str] = field(default_factory=dict)


def hours_text(hours: float) -> str:
    """Hours in two digits; from a hundred on in whole ones, such as "0.017", "42" or "1,234"."""
    return f"{hours:.2g}" if hours < 99.5 else f"{hours:,.0f}"


def enough_digits(value: float, digits: int) -> int:
    """As many decimals as it takes to show that a difference is one: of 0.04 one decimal would show none.

    Args:
        value: The difference; where it is no more than rounding, `digits` are enough.
        digits: The fewest.
    """
    while abs(value) > NO_SPREAD and float(f"{value:.{digits}f}") == 0:
        digits += 1
    return digits


def plus_minus(mean: float, error: float, sign: str = "-", digits: int = 1) -> str:
    """Such as "29.1 ± 0.4", or "29.1" where a single seed leaves the error unknown.

    Args:
        mean: The number.
        error: Its error; NaN where there is none.
        sign: What stands before a negative number.
        digits: After the point.
    """
    shown = f"{mean:{sign}z.{digits}f}"
    return shown if pd.isna(error) else f"{shown} ± {error:.{digits}f}"


def headers(cells: pd.DataFrame) -> Headers:
    """The header of each (data set, setting); a data set is marked if any trial ran on an unverified copy."""
    unverified = set(cells.loc[~cells["verified"], "dataset"])
    pairs = dict.fromkeys(zip(cells["dataset"], cells["setting"], strict=True))
    return {
        (dataset, setting): data_in_setting(dataset + " (unverified)" * (dataset in unverified), setting)
        for dataset, setting in pairs
    }


def grid(
    title: str,
    cells: pd.DataFrame,
    above: Headers,
    *,
    write: Callable[..., str],
    caption: Sequence[str],
    footnotes: Sequence[str] = (),
    emphasis: Mapping[Place, str] | None = None,
) -> Table:
    """Long cells to a wide table; a cell that the plan does not have reads "–".

    Args:
        title: Of the table.
        cells: A line for each cell, with its row and column.
        above: The headers of columns.
        write: Writes the text of a cell.
        caption: Sentences above the table.
        footnotes: Sentences below it.
        emphasis: How the text of a cell is emphasised, by its place.
    """
    places = zip(cells["method"], cells["dataset"], cells["setting"], cells["group"], strict=True)
    texts = dict(zip(places, map(write, cells.itertuples()), strict=True))
    present = {place[1:] for place in texts}
    groups = {pair: [group for group in GROUPS if (*pair, group) in present] for pair in above}
    columns = [(*pair, group) for pair, names in groups.items() for group in names]
    methods = list(dict.fromkeys(cells["method"]))
    return Table(
        title,
        spans=tuple((above[pair], tuple(name.title() for name in names)) for pair, names in groups.items()),
        body=tuple((method, *(texts.get((method, *column), "–") for column in columns)) for method in methods),
        footnotes=tuple(footnotes),
        caption=tuple(caption),
        emphasis={
            (i, j): word
            for i, method in enumerate(methods)
            for j, column in enumerate(columns, start=1)
            if (word := (emphasis or {}).get((method, *column)))
        },
    )
