"""From stores to the leaderboard's four files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..leaderboard import published, report
from .rows import planned, tidy
from .spec import Shots
from .store import Store, StoreError

ENDINGS = {"md": "md", "latex": "tex", "csv": "csv", "json": "json"}


@dataclass(frozen=True)
class Board:
    """The rows of one or several stores, and what went wrong in reading them."""

    rows: pd.DataFrame
    damaged: list[str]
    notes: list[str]

    @property
    def complete(self) -> bool:
        return not self.damaged and bool((self.rows["status"] == "complete").all())

    def rendered(self, form: str, versus: str | None = None, quote: bool = False) -> str:
        """The leaderboard as ``md``, ``latex``, ``csv`` or ``json``. ValueError if ``versus`` is no method of it."""
        if form == "csv":
            return report.csv(self.rows)
        if form == "json":
            return report.json(self.rows)
        return {"md": report.markdown, "latex": report.latex}[form](self.rows, versus, self._quoted(quote), self.notes)

    def _quoted(self, everything: bool) -> pd.DataFrame | None:
        """Published rows of the data sets that are here, or all of them."""
        rows = published.published()
        rows = rows if everything else rows[rows["dataset"].isin(self.rows["dataset"].unique())]
        return None if rows.empty else rows


def gather(stores: Sequence[Store], by: Shots | None = None) -> Board:
    """Every planned trial of the stores, a trial that several hold once. StoreError where there is no store."""
    frames, damaged = [], []
    for store in stores:
        if not store.exists():
            raise StoreError(f"there is no store at {store}: no plan was run into it")
        shots = by or store.plans()[0].shots
        rows, broken = tidy(store, planned(store), shots)
        frames.append(rows)
        damaged += broken
    rows = pd.concat(frames, ignore_index=True)
    # A trial that another store has finished is not missing.
    rows = rows.sort_values("status", key=lambda s: s == "missing", kind="stable").drop_duplicates(["key", "group"])
    return Board(rows.sort_index().reset_index(drop=True), damaged, _notes(rows))


def _notes(rows: pd.DataFrame) -> list[str]:
    """What was spent, for the caption."""
    trials = rows.drop_duplicates("key")
    hours = trials["device_seconds"].sum() / 3600
    done = int((trials["status"] == "complete").sum())
    return [
        f"{done} of {len(trials)} trials are complete; they took {hours:.2f} device-hours of training.",
        "No method was tuned: every one ran at the values that its spec gives.",
    ]


def publish(store: Store) -> dict[str, str]:
    """Write the four files into the store; their addresses by form."""
    board = gather([store])
    written = {}
    for form, ending in ENDINGS.items():
        store.write(f"report/leaderboard.{ending}", board.rendered(form).encode())
        written[form] = f"{store}/report/leaderboard.{ending}"
    return written
