"""From stores to the leaderboard's four files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from ..leaderboard import published, report
from ..methods.names import nearest
from . import tuning_report as tuning
from .chosen import Planned, Tuned, planned, tuned
from .rows import Labels, tidy
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
    searches: Sequence[Tuned] = ()

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


def gather(
    stores: Sequence[Store],
    by: Shots | None = None,
    only: Spec | None = None,
    defaults: bool = False,
    budget: int | None = None,
) -> Board:
    """Every planned trial of the stores (or those of ``only``), a trial that several hold once.

    With ``defaults`` each tuned row stands also at the spec's own values; with ``budget`` the searches count as if
    they had ended after so many trials. StoreError where there is no store.
    """
    plans = [[within(spec, budget) for spec in ([only] if only else store.plans())] for store in stores]
    searched = [tuned(spec, store) for store, specs in zip(stores, plans, strict=True) for spec in specs]
    shown = _shown(plans, iter(searched), defaults)
    labels = Labels(one.row for found in shown for one in found)
    frames, damaged = [], []
    for store, specs, found in zip(stores, plans, shown, strict=True):
        rows, broken = tidy(store, found, by or specs[0].shots, labels)
        frames.append(rows)
        damaged += broken
    rows = pd.concat(frames, ignore_index=True)
    # A trial that failed or is missing here may be complete in another store.
    rank = {status: place for place, status in enumerate(("complete", "failed", "diverged", "missing"))}
    rows = rows.sort_values("status", key=lambda s: s.map(rank), kind="stable").drop_duplicates(["key", "group"])
    searches = [one for found in searched for one in found.values()]
    notes = [_groups(by or plans[0][0].shots), *_spent(rows, searches)]
    return Board(rows.sort_index().reset_index(drop=True), damaged, notes, searches)


def within(spec: Spec, budget: int | None) -> Spec:
    """The spec as if each search had ended after ``budget`` trials; a spec that asks for fewer stays as it is.

    ReportError where the search prunes and the budget does not end a generation: what was stopped in it was stopped
    for one that would not have been there.
    """
    if budget is None or spec.tune is None or budget >= spec.tune.trials:
        return spec
    if budget < 1 or (spec.tune.prune and budget % spec.tune.generation):
        whole = f"a multiple of {spec.tune.generation}, since trials were compared in generations of so many, "
        raise ReportError(f"--budget: {budget} must be {whole * spec.tune.prune}and at least 1")
    return spec.model_copy(update={"tune": spec.tune.model_copy(update={"trials": budget})})


def _shown(
    plans: Sequence[Sequence[Spec]], searched: Iterator[Mapping[str, Tuned]], defaults: bool
) -> list[list[Planned]]:
    """The trials of each store's plans, one that several plans hold once."""
    stores = [[one for spec in specs for one in planned(spec, next(searched), defaults)] for specs in plans]
    return [list({one.key: one for one in found}.values()) for found in stores]


def _groups(by: Shots) -> str:
    if by.by == "tercile":
        return "Few, Med and Many: thirds of the classes, ranked by their training images."
    return (
        f"Few, Med and Many: classes with fewer than {by.few}, {by.few} to {by.many} and more than {by.many} "
        "training images."
    )


def _spent(rows: pd.DataFrame, searches: Sequence[Tuned]) -> list[str]:
    """What the trials took, for the caption."""
    trials = rows.assign(trial=rows["key"].str.split(" ").str[0]).drop_duplicates("trial")
    hours = trials["device_seconds"].sum() / 3600
    done = int((trials["status"] == "complete").sum())
    spent = f"{done} of {len(trials)} trials are complete; training took {hours:.2g} device-hours."
    if not searches:
        return [spent, "No method was tuned: every one ran at the values that its spec gives."]
    return [spent, *tuning.caption(searches)]


def publish(board: Board, store: Store) -> dict[str, str]:
    """Write the four files into the store; their addresses by form."""
    written = {}
    for form, ending in ENDINGS.items():
        store.write(f"report/leaderboard.{ending}", board.rendered(form).encode())
        written[form] = f"{store}/report/leaderboard.{ending}"
    return written
