"""From a store to a figure: its trials, the family's arithmetic, and the forms that a figure takes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ....leaderboard.figures.comparisons import Comparison
from ....leaderboard.figures.figure import FigureData
from ....leaderboard.figures.fit import fit
from ....leaderboard.figures.improvement import improvement
from ....leaderboard.figures.misalignment import misalignment
from ....leaderboard.figures.ratio_matrix import ratio_matrix
from ....leaderboard.figures.regions import regions
from ....leaderboard.figures.sweep import scaling, sweep
from ....leaderboard.formats.text import plain_columns
from ...errors import ReportError
from ...metrics.rescoring import AS_RECORDED
from ...registry.datasets import long_tail
from ...spec.schema import Shots, Spec
from ...storage import paths
from ...storage.reader import StoreReader
from ...storage.store import Store
from ..figure_files import csv_text, pictures
from .axes import curve_field, curve_named, named_options, require_field, require_numbers, with_curves
from .other_metrics import check_metric, with_metric
from .request import FigureRequest
from .trained_state import fitted_table, region_arrays, with_convergence
from .trial_table import members_of, parameters_of, planned_table, trial_table

ENDINGS = (".svg", ".pdf", ".png", ".csv", ".json")


@dataclass(frozen=True)
class StudyFigure:
    """A figure of a store, whether every planned trial is complete, and a message for each damaged record; the study
    that it is of, where its plan asks for it, and what the paper says there."""

    data: FigureData
    complete: bool
    damaged: Sequence[str]
    study: str = ""
    claim: str = ""

    @property
    def name(self) -> str:
        """That of the study, else the kind."""
        return self.study or self.data.kind

    def facts(self) -> dict[str, Any]:
        """For machines: the kind, the axes, the curves, the claims and the notes. A number that there is none of is
        null."""
        curves: list[dict[Any, Any]] = self.data.points.to_dict("records")
        claims = [{"figure": self.name} | asdict(claim) for claim in self.data.claims]
        said = {"study": self.study} | ({"claim": self.claim} if self.claim else {}) if self.study else {}
        return said | {
            "figure": self.data.kind,
            "axes": {name: asdict(axis) for name, axis in self.data.axes.items()},
            "curves": [_plain(row) for row in curves],
            "claims": [_plain(row) for row in claims],
            "notes": list(self.data.notes),
        }

    def text(self) -> str:
        """The claims and the points as Markdown."""
        claims = pd.DataFrame([{"panel": claim.panel, **claim.words} for claim in self.data.claims])
        table = self.data.points.dropna(axis=1, how="all").map(short)
        parts = [
            plain_columns(part).to_markdown(index=False, disable_numparse=True) for part in (claims, table) if len(part)
        ]
        paper = [f"The paper: {self.claim}"] if self.claim else []
        return "\n\n".join([*paper, *parts, *self.data.notes])

    def write(self, path: Path) -> None:
        """Write the file, whose ending says in which form. ReportError for another ending, or without matplotlib."""
        form = path.suffix.lower()
        if form not in ENDINGS:
            raise ReportError(f"--output: {path} must end in {', '.join(ENDINGS)} or .html")
        path.write_bytes(self.content(form))

    def content(self, form: str) -> bytes:
        """The file of a form of ``ENDINGS``. ReportError for a picture without matplotlib."""
        if form == ".csv":
            return csv_text(self.data.points).encode()
        if form == ".json":
            return (json.dumps(self.facts(), indent=1) + "\n").encode()
        return pictures("drawing", "--output", ", or name a .csv").drawn(self.data, form[1:])


def publish(store: Store, asked: FigureRequest) -> tuple[StudyFigure, dict[str, str]]:
    """Write the figure of a run into the store's report.

    Args:
        store: Where the trials are.
        asked: What the spec asks for.

    Returns:
        The figure, and the address of each file by its form; without matplotlib there is no picture.

    Raises:
        ReportError: where there is nothing to draw.
    """
    drawn, files = study_figure(store, asked), {}
    for form in (".csv", ".json", ".svg"):
        with suppress(ReportError):
            store.write(paths.report(f"figure{form}"), drawn.content(form))
            files["figure" if form == ".svg" else form[1:]] = f"{store}/{paths.report(f'figure{form}')}"
    return drawn, files


def study_figure(store: StoreReader, asked: FigureRequest) -> StudyFigure:
    """The figure of a store's trials.

    Args:
        store: A store or a bundle.
        asked: Which figure.

    Raises:
        ReportError: where the store lacks the axes of the figure.
        StoreError: where there is no store.
        DataError: where a trial's data set is not known here.
    """
    table, shots, damaged = trial_table(store, asked.plan)
    complete = not damaged and bool(table["recalls"].notna().all())
    if not table["recalls"].notna().any():
        raise ReportError(f"no trial of {store} is complete, so there is nothing to draw")
    if asked.metric != AS_RECORDED:
        table = with_metric(store, table, shots, asked)
    figure = _FAMILIES[asked.kind](_with_arrays(store, table, asked), shots, asked)
    if figure.points.empty:
        raise ReportError(f"no two complete trials of {store} can be compared at one point: {' '.join(figure.notes)}")
    if asked.converged is not None:
        figure = with_convergence(figure, store, table.loc[table["recalls"].notna(), "key"], asked.converged)
    unverified = [] if table["verified"].all() else ["Some trials ran on data whose checksums differ."]
    return StudyFigure(replace(figure, notes=[*figure.notes, *unverified]), complete, damaged, asked.plan, asked.claim)


def check_axes(spec: Spec) -> None:
    """Check, before anything is trained, that the figure which a spec asks for can be drawn of its trials. Of one that
    asks for none nothing is checked. ReportError where they lack its axes, or a word is none."""
    if asked := FigureRequest.of(spec):
        table = planned_table(spec)
        check_metric(table, asked.metric)
        _FAMILIES[asked.kind](_with_arrays(None, table, asked), spec.shots, asked)


def _with_arrays(store: StoreReader | None, table: pd.DataFrame, asked: FigureRequest) -> pd.DataFrame:
    """The trials with what the kind is made of beside the accuracies; of a plan (no store) without values."""
    if asked.kind == "fit":
        by_epoch = asked.x in (None, "epoch")
        parts = [fitted_table(store, table, group, by_epoch).assign(group=group) for group in asked.groups]
        return pd.concat(parts, ignore_index=True)
    if asked.kind == "regions":
        trials = zip(table["key"], table["data"], table["recalls"], strict=True)
        found = [region_arrays(store, key, data, recalls is not None) for key, data, recalls in trials]
        columns = {"shares": [s for s, _ in found], "picture": [p for _, p in found]}
        return table.assign(**{name: pd.Series(each, table.index, object) for name, each in columns.items()})
    return table


def _improvement(table: pd.DataFrame, shots: Shots, asked: FigureRequest) -> FigureData:
    placed, notes, _ = _placed(table, "train_ratio", asked)
    baseline = _baseline(placed, asked)
    if placed["curve"].nunique() < 2:
        raise ReportError(f"{baseline} is the only curve, so nothing is compared with it")
    comparisons = _comparisons(placed, asked)
    figure = improvement(_valued(placed, shots, asked.groups), baseline, asked.over, comparisons=comparisons)
    return _noted(figure, notes)


def _sweep(table: pd.DataFrame, shots: Shots, asked: FigureRequest) -> FigureData:
    if not asked.x:
        raise ReportError("--x: name the number that is swept, such as train_ratio, majority, batch_size or rho")
    placed, notes, x = _placed(table, asked.x, asked)
    low, high = placed["x"].min(), placed["x"].max()
    name = x.rpartition(".")[2].replace("_", " ")
    log_x, unit = bool(0 < 20 * low <= high), asked.metric.metric.unit
    values = _valued(placed, shots, asked.groups)
    return _noted(sweep(values, name, asked.y, log_x, unit, _comparisons(placed, asked)), notes)


def _scaling(table: pd.DataFrame, shots: Shots, asked: FigureRequest) -> FigureData:
    if len(other := table.loc[table["learner"] != "images", "network"]):
        raise ReportError(
            f"--kind scaling: {other.iloc[0]} is no network on images, and its parameters are not counted"
        )
    pairs = list(zip(table["network"], table["data"], strict=True))
    sizes = {pair: parameters_of(*pair) for pair in set(pairs)}
    counted = [sizes[pair] for pair in pairs]
    placed, notes, _ = _placed(table.assign(parameters=counted), "parameters", asked)
    values, unit = _valued(placed, shots, asked.groups), asked.metric.metric.unit
    even = values[values["train_ratio"] == 1]
    balanced = set(zip(even["panel"], even["curve"], strict=True))
    return _noted(scaling(values, asked.y, unit, _comparisons(placed, asked), balanced), notes)


def _ratio_matrix(table: pd.DataFrame, shots: Shots, asked: FigureRequest) -> FigureData:
    placed, notes, members = _tails(table, shots, asked)
    y = "accuracy (%)" if asked.metric == AS_RECORDED else asked.y
    return _noted(ratio_matrix(placed, members, asked.margin, y, asked.metric.metric.unit), notes)


def _misalignment(table: pd.DataFrame, shots: Shots, asked: FigureRequest) -> FigureData:
    if table["total"].nunique() < 2:
        raise ReportError("--kind misalignment: the spec needs several totals, as in data: {total: [500, 2000]}")
    placed, notes, members = _tails(table, shots, asked, beside=("total",))
    return _noted(misalignment(placed, members), notes)


def _fit(table: pd.DataFrame, shots: Shots, asked: FigureRequest) -> FigureData:
    """The table has a row for each group and epoch."""
    if len(other := table.loc[table["learner"] == "estimator", "network"]):
        raise ReportError(f"--kind fit: {other.iloc[0]} is no network, and nothing says how well it fits its rows")
    x = "epoch" if asked.x in (None, "epoch") else require_field(table, str(asked.x), "--x")
    table = table if x == "epoch" else require_numbers(table, x)
    curve = require_field(table, asked.curve, "--curve") if asked.curve else None
    if curve is None and x != "train_ratio" and table["train_ratio"].nunique() > 1:
        curve = "train_ratio"
    table = named_options(table, [x, *filter(None, [curve])])
    curve = curve_field(table, x, curve)
    ordered = all(isinstance(value, (int, float)) for value in table[curve])
    parts = []
    for group in asked.groups:
        rows = table[table["group"] == group]
        placed, notes = with_curves(rows.sort_values(curve, kind="stable") if ordered else rows, x, curve)
        sizes = {data: [long_tail(data)[c] for c in members_of(data, group, shots)] for data in set(placed["data"])}
        panel = placed["panel"] + ("" if len(asked.groups) == 1 and group == "all" else f", {group} classes")
        parts.append(placed.assign(panel=panel, images=[sum(sizes[data]) for data in placed["data"]]))
    return _noted(fit(pd.concat(parts, ignore_index=True), x.rpartition(".")[2], asked.margin, ordered), notes)


def _regions(table: pd.DataFrame, shots: Shots, asked: FigureRequest) -> FigureData:
    """The table has the shares of each trial, and a picture of some."""
    if len(other := table.loc[table["learner"] != "images", "network"]):
        raise ReportError(f"--kind regions: {other.iloc[0]} is no network on images, and planes lie between images")
    if few := [data.name for data in dict.fromkeys(table["data"]) if len(long_tail(data)) < 3]:
        raise ReportError(f"--kind regions: {few[0]} has two classes, and a plane lies through images of three")
    curve = require_field(table, asked.curve, "--curve") if asked.curve else None
    table = named_options(table, [*filter(None, [curve])])
    placed, notes = with_curves(table, "seed", curve_field(table, "seed", curve), beside=("seed",))
    placed = placed.assign(x=placed["train_ratio"])
    shown = [
        replace(row["picture"], panel=row["panel"], curve=row["curve"])
        for row in placed.drop_duplicates(["panel", "curve"]).to_dict("records")
        if row["picture"] is not None
    ]
    return _noted(regions(placed, _baseline(placed, asked), shown), notes)


_FAMILIES: dict[str, Callable[[pd.DataFrame, Shots, FigureRequest], FigureData]] = {
    "improvement": _improvement,
    "sweep": _sweep,
    "scaling": _scaling,
    "ratio_matrix": _ratio_matrix,
    "misalignment": _misalignment,
    "fit": _fit,
    "regions": _regions,
}


def _baseline(placed: pd.DataFrame, asked: FigureRequest) -> str:
    """The curve that others are compared with. ReportError where it is not there."""
    curves = list(placed["curve"].unique())
    if asked.baseline is None and "ERM" not in curves:
        raise ReportError(f"--baseline: name the curve to compare with, one of {', '.join(curves)}")
    return curve_named(curves, asked.baseline or "ERM", "--baseline")


def _placed(
    table: pd.DataFrame, x: str, asked: FigureRequest, beside: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str], str]:
    """The trials with x, curve and panel; sentences for the caption; and the field of x."""
    x = require_field(table, x, "--x")
    curve = require_field(table, asked.curve, "--curve") if asked.curve else None
    table = named_options(require_numbers(table, x), [x, *filter(None, [curve])])
    placed, notes = with_curves(table, x, curve_field(table, x, curve), beside)
    return placed, notes, x


def _valued(placed: pd.DataFrame, shots: Shots, groups: Sequence[str]) -> pd.DataFrame:
    """The observations: a panel for each group of classes. ReportError where a group has no class in any trial."""
    tables = []
    for group in groups:
        known = {data: members_of(data, group, shots) for data in set(placed["data"])}
        members = [known[data] for data in placed["data"]]
        if not any(members):
            raise ReportError(f"--group: no class of any trial is {group}")
        values = [
            float(recalls[list(at)].mean()) if recalls is not None and at else np.nan
            for recalls, at in zip(placed["recalls"], members, strict=True)
        ]
        if "measured" in placed:
            values = [each.get(group, np.nan) for each in placed["measured"]]
        panel = placed["panel"] + (f", {group} classes" if len(groups) > 1 or group != "all" else "")
        tables.append(placed.assign(value=values, panel=panel, group=group)[np.array([bool(at) for at in members])])
    return pd.concat(tables, ignore_index=True)


def _comparisons(placed: pd.DataFrame, asked: FigureRequest) -> list[Comparison]:
    """The claims that are named, in the words of the curves. ReportError for a curve, x or group that is not there."""
    curves, positions = placed["curve"].unique(), placed["x"].unique()
    found = []
    for claim in asked.claims:
        if claim.group not in (None, *asked.groups):
            raise ReportError(f"claims: of {claim.group} classes; the figure is of {', '.join(asked.groups)}")
        if claim.panel and not any(claim.panel in panel for panel in placed["panel"].unique()):
            raise ReportError(f"claims: no panel is of {claim.panel!r}; {'; '.join(placed['panel'].unique())}")
        for at in (claim.at, claim.than_at, claim.more_than_at):
            if isinstance(at, float) and not np.isclose(positions, at, rtol=1e-6, atol=0).any():
                raise ReportError(f"claims: no trial is at {at:g}; {', '.join(f'{x:g}' for x in np.sort(positions))}")
        better, than = (
            [curve_named(curves, word, f"claims.{name}") for word in words]
            for name, words in (("better", claim.better), ("than", claim.than))
        )
        words = (claim.at, claim.than_at, claim.more_than_at, claim.group, claim.panel, claim.margin, claim.say)
        found.append(Comparison(better, than, *words))
    return found


def _tails(
    table: pd.DataFrame, shots: Shots, asked: FigureRequest, beside: Sequence[str] = ()
) -> tuple[pd.DataFrame, list[str], Sequence[int] | None]:
    """The same for a matrix of ratios, a panel for each curve; and the classes that are tested."""
    if set(table["profile"]) != {"exp"}:
        raise ReportError(f"--kind {asked.kind}: the test ratios are those of the profile exp")
    if len(asked.groups) > 1 or asked.groups[0] in ("few", "med", "many"):
        raise ReportError(f"--group: {asked.kind} is of all, minority or majority")
    placed, notes, _ = _placed(table, "train_ratio", asked, beside)
    if placed["curve"].nunique() > 1:
        placed = placed.assign(panel=placed["panel"] + ", " + placed["curve"])
    if asked.kind == "ratio_matrix" and placed.groupby("panel")["images"].nunique().max() > 1:
        low, high = placed["images"].min(), placed["images"].max()
        notes.append(f"The train ratios have {low} to {high} images: with data: {{total: N}} each has as many.")
    group = asked.groups[0]
    named = {members_of(data, group, shots) for data in set(placed["data"])}
    if len(named) > 1:
        raise ReportError("the data sets have other numbers of classes; draw them one by one")
    return placed, notes, None if group == "all" else named.pop()


def _noted(figure: FigureData, notes: Sequence[str]) -> FigureData:
    return replace(figure, notes=[*notes, *figure.notes])


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): None if isinstance(value, float) and isnan(value) else value for name, value in row.items()}


def short(value: Any) -> Any:
    """A number in five digits that count, empty where there is none; anything else as it is."""
    return ("" if isnan(value) else f"{value:.5g}") if isinstance(value, float) else value
