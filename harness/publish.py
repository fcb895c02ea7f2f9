"""From stores to the leaderboard's four files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ..leaderboard import published, report
from ..methods.names import nearest
from .rows import Labels, planned, tidy
from .spec import Shots, Spec
from .store import Store


class ReportError(ValueError):
    """A report that cannot be made as asked; the message is written for the user."""


ENDINGS = {"md": "md", "latex": "tex", "csv": "csv", "json": "json"}


@dataclass(frozen=True)
class Board:
    """The rows of one or several stores, and a message for each record that could not be read."""

    rows: pd.DataFrame
    damaged: list[str]
    notes: list[str]

    @property
    def complete(self) -> bool:
        return not self.damaged and bool((self.rows["status"] == "complete").all())

    def rendered(self, form: str, versus: str | None = None, quote: bool = False) -> str:
        """The leaderboard as ``md``, ``latex``, ``csv`` or ``json``. ReportError where form or method is unknown."""
        if form not in ENDINGS:
            raise ReportError(f"--format: {form!r} is not one of {', '.join(ENDINGS)}")
        methods = list(self.rows["method"].unique())
        if versus is not None and versus not in methods:
            raise ReportError(f"--versus: no method {versus!r} here" + nearest(versus, methods))
        if versus and form in ("csv", "json"):
            raise ReportError(f"--versus: differences are in md and latex; {form} holds the means that they come from")
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


def gather(stores: Sequence[Store], by: Shots | None = None, only: Spec | None = None) -> Board:
    """Every planned trial of the stores (or those of ``only``), a trial that several hold once.

    StoreError where there is no store.
    """
    plans = [[only] if only else store.plans() for store in stores]
    trials = [planned(specs) for specs in plans]
    labels = Labels(trial for found in trials for trial in found)
    frames, damaged = [], []
    for store, specs, found in zip(stores, plans, trials, strict=True):
        rows, broken = tidy(store, found, by or specs[0].shots, labels)
        frames.append(rows)
        damaged += broken
    rows = pd.concat(frames, ignore_index=True)
    # A trial that failed or is missing here may be complete in another store.
    rank = {status: place for place, status in enumerate(("complete", "failed", "diverged", "missing"))}
    rows = rows.sort_values("status", key=lambda s: s.map(rank), kind="stable").drop_duplicates(["key", "group"])
    notes = [_groups(by or plans[0][0].shots), *_spent(rows)]
    return Board(rows.sort_index().reset_index(drop=True), damaged, notes)


def _groups(by: Shots) -> str:
    if by.by == "tercile":
        return "Few, Med and Many: thirds of the classes, ranked by their training images."
    return (
        f"Few, Med and Many: classes with fewer than {by.few}, {by.few} to {by.many} and more than {by.many} "
        "training images."
    )


def _spent(rows: pd.DataFrame) -> list[str]:
    """What the trials took, for the caption."""
    trials = rows.drop_duplicates("key")
    hours = trials["device_seconds"].sum() / 3600
    done = int((trials["status"] == "complete").sum())
    return [
        f"{done} of {len(trials)} trials are complete; training took {hours:.2g} device-hours.",
        "No method was tuned: every one ran at the values that its spec gives.",
    ]


def publish(board: Board, store: Store) -> dict[str, str]:
    """Write the four files into the store; their addresses by form."""
    written = {}
    for form, ending in ENDINGS.items():
        store.write(f"report/leaderboard.{ending}", board.rendered(form).encode())
        written[form] = f"{store}/report/leaderboard.{ending}"
    return written
