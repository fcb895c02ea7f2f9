"""Tables of the same rows by further metrics, a column for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..metric import Metric
from ..results import COLUMN, summarise
from .grid import Table, plus_minus


@dataclass(frozen=True)
class FurtherMetrics:
    """Tidy rows of the group ``all``, by one metric after the other, and what their tables are called and say."""

    title: str
    caption: str
    measured: Sequence[tuple[pd.DataFrame, Metric]]

    def tables(self) -> list[Table]:
        """A table for each protocol, data set and setting."""
        places: dict[tuple[str, ...], dict[str, list[str]]] = {}
        for rows, metric in self.measured:
            for cell in summarise(rows, metric).to_dict("records"):
                text = plus_minus(cell["mean"], cell["stderr"]) if cell["status"] == "complete" else "–"
                methods = places.setdefault(tuple(str(cell[word]) for word in COLUMN[:3]), {})
                methods.setdefault(str(cell["method"]), []).append(text)
        heads = tuple(metric.label.removesuffix(" 0.9") for _, metric in self.measured)
        return [
            Table(
                f"{protocol}: {self.title}",
                spans=((f"{dataset}, {setting}", heads),),
                body=tuple((method, *texts) for method, texts in methods.items()),
                footnotes=(),
                caption=(self.caption,),
            )
            for (protocol, dataset, setting), methods in places.items()
        ]
