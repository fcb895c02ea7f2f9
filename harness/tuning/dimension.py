"""What is searched of a row: its dimensions, as they are kept in files. Nothing here imports torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from ...methods.range import Range


@dataclass(frozen=True)
class Dimension:
    """A hyperparameter that is searched, and the value that the spec's own row has."""

    range: Range
    default: Any


Space = Mapping[str, Dimension]
SPACE = TypeAdapter(dict[str, Dimension])


def at_least(space: Space) -> int:
    """So many configurations a space holds at least: of a fraction four digits count."""
    count = 1
    for dimension in space.values():
        ends = dimension.range
        span, largest = ends.high - ends.low, max(abs(ends.low), abs(ends.high))
        fraction = not (ends.choices or isinstance(dimension.default, int))
        step = 10.0 ** (math.floor(math.log10(largest)) - 3) if fraction and largest else 1.0
        count *= len(ends.choices) or int(span / step) + (not fraction) or 1
    return count


def canonical(space: Space) -> str:
    """The space as JSON with sorted names, the same whether its ranges were written as whole numbers or not."""
    once = SPACE.validate_json(SPACE.dump_json(dict(sorted(space.items())), warnings=False))
    return SPACE.dump_json(once).decode()
