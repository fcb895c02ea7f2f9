"""Tables of the same rows by further metrics, a column for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..metric import Metric
from ..results import COLUMN, summarise
from ..shown_setting import data_in_setting
from .cell_texts import CellTexts
from .grid import Table


@dataclass(frozen=True)
class FurtherMetrics:
    """Tidy rows of the group ``all``, by one metric after the other, and what their tables are called and say."""

    title: str
    caption: str
    measured: Sequence[tuple[pd.DataFrame, Metric]]

    def tables(self) -> list[Table]:
        """A table for each protocol, data set and setting."""
        heads = tuple(metric.label.removesuffix(" 0.9") for _, metric in self.measured)
        summaries = [summarise(rows, metric) for rows, metric in self.measured]
        places = pd.concat(summaries).groupby(COLUMN[:3], sort=False)
        return [self._table(tuple(map(str, place)), cells, heads) for place, cells in places]

    def _table(self, place: tuple[str, ...], cells: pd.DataFrame, heads: tuple[str, ...]) -> Table:
        protocol, dataset, setting = place
        texts, rows = CellTexts(cells), dict[str, list[str]]()
        for cell in cells.itertuples():  # of one metric after the other
            rows.setdefault(str(cell.method), []).append(texts.text(cell))
        return Table(
            f"{protocol}: {self.title}",
            spans=((data_in_setting(dataset, setting), heads),),
            body=tuple((method, *each) for method, each in rows.items()),
            footnotes=tuple(texts.footnotes),
            caption=(self.caption,),
        )
