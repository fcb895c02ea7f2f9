"""One table of what the studies of a folder claim, and what came of each claim."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ....datasets.catalog import DataError
from ....leaderboard.figures.contrasts import Claim
from ....leaderboard.formats.text import plain_columns
from ...errors import ReportError, StoreError
from ...storage.reader import StoreReader
from ...storage.store import Store
from ..figure_files import csv_text
from .request import FigureRequest
from .study import study_figure

COLUMNS = ("figure", "claim", "verdict", "effect", "unit", "low", "high", "n", "data", "reason")
FORMS = ("md", "csv", "json")


@dataclass(frozen=True)
class ClaimsTable:
    """The claims of several studies, each with the name of its figure; sentences about studies that have no figure yet,
    and whether every trial is complete."""

    claims: Sequence[tuple[str, Claim]]
    notes: Sequence[str]
    complete: bool
    damaged: Sequence[str]

    def rendered(self, form: str) -> str:
        """The table as Markdown, CSV or JSON. ReportError for another form."""
        if form not in FORMS:
            raise ReportError(f"--format: the claims of a folder of studies are in {', '.join(FORMS)}, not {form}")
        if form != "md":
            rows = [
                (figure, c.claim, c.verdict, c.effect, c.unit, c.low, c.high, c.n, c.panel, c.reason)
                for figure, c in self.claims
            ]
            frame = pd.DataFrame(rows, columns=list(COLUMNS))
            if form == "csv":
                return csv_text(frame)
            told: list[dict[str, Any]] = json.loads(frame.to_json(orient="records"))
            return json.dumps({"claims": told, "notes": list(self.notes)}, indent=1)
        shown = pd.DataFrame([{"figure": figure, **claim.words, "data": claim.panel} for figure, claim in self.claims])
        table = plain_columns(shown).to_markdown(index=False, disable_numparse=True) if len(shown) else "No claim."
        return "\n\n".join([str(table), *self.notes])


def studies_in(place: str) -> list[Store]:
    """The stores in a folder of which a plan asks for a figure, by name; none where the place is a store itself, or no
    folder of this machine. StoreError where a plan is damaged."""
    folder = Path(place).expanduser()
    if "://" in place or not folder.is_dir() or Store(place).exists():
        return []
    stores = [Store(str(each)) for each in sorted(folder.iterdir()) if each.is_dir()]
    return [store for store in stores if store.exists() and any(spec.figure for spec in store.plans())]


def claims_table(stores: Sequence[StoreReader]) -> ClaimsTable:
    """The claims of all studies, in the order of the stores and plans; a study that cannot be drawn is said.

    Args:
        stores: Stores or bundles of the studies.
    """
    claims, notes, complete, damaged = list[tuple[str, Claim]](), list[str](), True, list[str]()
    for store, spec in ((each, spec) for each in stores for spec in each.plans()):
        try:
            if (asked := FigureRequest.of(spec)) is None:
                continue
            drawn = study_figure(store, asked)
        except (ReportError, StoreError, DataError) as error:  # one study takes no table away
            notes, complete = [*notes, f"{spec.name}: {error}"], False
            continue
        complete, damaged = complete and drawn.complete, [*damaged, *drawn.damaged]
        claims += [(drawn.name, claim) for claim in drawn.data.claims]
    return ClaimsTable(claims, notes, complete, damaged)
