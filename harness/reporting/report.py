"""Report: the rows of one or several stores with all that their report says, and the forms that it takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from ...leaderboard.formats import latex, markdown, records
from ...leaderboard.metric import ACCURACY, GROUPS, Metric
from ...leaderboard.published import rows as published
from ...leaderboard.published.comparison import Routine
from ...leaderboard.results import empty_groups, summarise
from ...leaderboard.statistics.ranks import Ranks, ranked
from ...leaderboard.tables.cost import cost_tables
from ...leaderboard.tables.further_metrics import FurtherMetrics
from ...leaderboard.tables.grid import Table
from ...leaderboard.tables.report_tables import UNCERTAINTY, View
from ...leaderboard.tables.standings import standings, why_not
from ...methods.names import nearest
from ..errors import ReportError
from ..planning.reported import NOT_TRIED
from ..storage.record import Weights
from . import tuning_tables

if TYPE_CHECKING:
    from ..spec.schema import Trial
    from .bootstrap import TestSetBootstrap


def known(uncertainty: str) -> str:
    """The word itself. ReportError where it is none of --uncertainty."""
    if uncertainty not in UNCERTAINTY:
        raise ReportError(f"--uncertainty: {uncertainty!r} is not one of {', '.join(UNCERTAINTY)}")
    return uncertainty


ENDINGS = {"md": "md", "latex": "tex", "csv": "csv", "json": "json"}
FOR_PROGRAMS = ("csv", "json")


@dataclass(frozen=True)
class Report:
    """The rows of one or several stores, a message for each record that could not be read, sentences for the caption,
    and what was tuned."""

    rows: pd.DataFrame
    damaged: list[str]
    notes: list[str]
    searches: Sequence[tuning_tables.TunedRow] = ()
    routines: Mapping[str, Routine] = field(default_factory=dict)  # how the rows of each protocol were trained
    metric: Metric = ACCURACY
    weights: Weights = "last_ema"  # of which the rows are
    more: Sequence[Table] = ()  # tables that were asked for
    further: Sequence[FurtherMetrics] = ()  # the same rows by other metrics
    predictions: TestSetBootstrap | None = None
    trials: Mapping[str, Trial] = field(default_factory=dict)  # one of each method, by its label
    sources: Mapping[str, int] = field(
        default_factory=dict
    )  # by the key of a row, of which store it is; else the first
    started: Mapping[str, float] = field(default_factory=dict)  # seconds of what a trial started from, by its key

    @property
    def complete(self) -> bool:
        """Whether every planned trial is complete, and no record damaged; what is not tried is none of them."""
        reasons = self.rows.loc[self.rows["status"] != "complete", "reason"].astype(str)
        return not self.damaged and bool(reasons.str.startswith(NOT_TRIED).all())

    @cached_property
    def files(self) -> Mapping[str, str]:
        """The four forms that a run leaves, by their names. What programs read is the same for each run of the same
        plan, to the byte: what a training took is left out."""
        return {form: (self.without_costs if form in FOR_PROGRAMS else self.rendered)(form) for form in ENDINGS}

    def rendered(
        self,
        form: str,
        versus: str | None = None,
        quote: bool = False,
        uncertainty: str = "se",
        printed: latex.LatexOptions | None = None,
    ) -> str:
        """The leaderboard as text.

        Args:
            form: ``md``, ``text`` (the same for a terminal, without escapes), ``latex``, ``csv`` or ``json``.
            versus: A method with which every other is compared, seed by seed.
            quote: Show every published row, and beside the measured ones those of the same method and data.
            uncertainty: What follows ±: ``se``, ``std`` or ``ci95``.
            printed: How the LaTeX looks.

        Returns:
            The text.

        Raises:
            ReportError: where a word is unknown.
        """
        return "".join(self.pieces(form, versus, quote, uncertainty, printed))

    def pieces(
        self,
        form: str,
        versus: str | None = None,
        quote: bool = False,
        uncertainty: str = "se",
        printed: latex.LatexOptions | None = None,
    ) -> Iterator[str]:
        """The same text in pieces, one after the other, of which a large table has several; raises at once.

        Args:
            form: As of :meth:`rendered`.
            versus: As of :meth:`rendered`.
            quote: As of :meth:`rendered`.
            uncertainty: As of :meth:`rendered`.
            printed: As of :meth:`rendered`.

        Raises:
            ReportError: where a word is unknown.
        """
        known(uncertainty)
        if form not in (*ENDINGS, "text"):
            raise ReportError(f"--format: {form!r} is not one of text, {', '.join(ENDINGS)}, parquet")
        self.require(versus)
        if form in FOR_PROGRAMS:
            self._only_cells(form, quote)
        if form == "csv":
            return records.csv_pieces(self.rows, self.metric, versus, self.started)
        if form == "json":
            return iter([records.json(self.rows, self.metric, versus, self.measured, self.started)])
        view = View(uncertainty, self.metric, self.routines if quote and self.metric == ACCURACY else {})
        shown = self.rows, versus, self.quoted(quote), self.notes, self.tables, view
        if form in ("md", "text"):
            return iter([markdown.markdown(*shown, escaped=form == "md")])
        for method in printed.methods if printed else ():
            self.require(method, "--rows")
        self.without_columns(printed.groups if printed else ())
        return iter([latex.latex(*shown, printed)])

    @property
    def measured(self) -> list[tuple[pd.DataFrame, Metric]]:
        """The rows by each of the further metrics."""
        return [pair for each in self.further for pair in each.measured]

    @property
    def tables(self) -> list[Table]:
        """The tables that follow those of the rows: of other metrics, what was asked for, what was tuned, and what a
        training costs."""
        costs = cost_tables(self.rows, self.started)
        further = [table for each in self.further for table in each.tables()]
        return [*further, *self.more, *tuning_tables.tables(self.searches), *costs]

    def parquet(self, versus: str | None = None, quote: bool = False) -> bytes:
        """The tidy rows, from which every other form comes. ReportError where more is asked for."""
        if versus:
            raise ReportError("--versus: parquet holds the rows of every seed; csv and json tell of differences")
        self._only_cells("parquet", quote)
        return records.parquet(self.rows, self.metric, self.started)

    def without_costs(self, form: str) -> str:
        """``csv`` or ``json`` without what a training cost: what every run of the same plan comes to, byte by byte."""
        if form == "csv":
            return records.csv(self.rows, self.metric)
        return records.json(self.rows, self.metric, further=self.measured)

    def ranks(self) -> list[Ranks]:
        """The average ranks of each protocol and group (see ``leaderboard.statistics.ranks``)."""
        return ranked(summarise(self.rows, self.metric), self.metric)

    def with_ranks(self, versus: str | None) -> Report:
        """With tables of how the methods stand over all data sets, and why they are not ranked where they are not."""
        self.require(versus)
        tables = standings(self.rows, versus, self.metric)
        why = why_not(self.ranks()) if versus is None else ""  # with a reference its table says it
        return replace(self, more=[*self.more, *tables], notes=[*self.notes, *filter(None, [why])])

    def with_bootstrap(self, versus: str | None) -> Report:
        """With tables of what other test images would have given."""
        self.require(versus)
        tables = self.predictions.tables(versus) if self.predictions else []
        return replace(self, more=[*self.more, *tables])

    def require(self, method: str | None, option: str = "--versus") -> None:
        """ReportError where there is no such method, with the nearest one."""
        methods = list(self.rows["method"].unique())
        if method is not None and method not in methods:
            raise ReportError(f"{option}: no method {method!r} here" + nearest(method, methods))

    def without_columns(self, groups: Sequence[str]) -> list[str]:
        """The protocols whose tables have none of these groups; none where all groups are shown.

        Args:
            groups: Words of `GROUPS`; empty for all.

        Raises:
            ReportError: where no table has one of them.
        """
        empty = empty_groups(self.rows)
        without = [protocol for protocol, none in empty.items() if groups and set(groups) <= set(none)]
        if len(without) < self.rows["protocol"].nunique():
            return without
        in_all = set.intersection(*map(set, empty.values()))
        there = [group for group in GROUPS if group in set(self.rows["group"]) - in_all]
        raise ReportError(f"--columns: no class is in {' or '.join(groups)}; the table has {', '.join(there)}")

    def quoted(self, everything: bool) -> pd.DataFrame | None:
        """All published rows, or the paper's of the data sets that are here; of another metric there are none."""
        rows = published.published()
        if not everything:
            rows = rows[
                rows["source"].str.startswith(published.PAPER) & rows["dataset"].isin(self.rows["dataset"].unique())
            ]
        return rows if everything or (len(rows) and self.metric == ACCURACY) else None

    def _only_cells(self, form: str, quote: bool) -> None:
        for option, wanted in {"--noise and --ranks": self.more, "--published": quote}.items():
            if wanted:
                raise ReportError(f"{option}: in md and latex only; {form} holds what the leaderboard is made of")
