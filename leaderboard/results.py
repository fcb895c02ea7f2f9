"""The tidy table, with one row for each trial and shot group, and its summary, with one row for each cell."""

import json
from collections.abc import Iterable, Sequence
from math import fsum

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from .metric import ACCURACY, GROUPS, Metric

COLUMNS = (
    "key",  # of the trial; empty while its row is pending
    "dataset", "setting", "protocol", "method", "seed", "group",
    "classes", "value", "status", "reason", "verified", "device_seconds",
)  # fmt: skip
ROW = (  # columns of a report's rows beside these, which no statistic needs
    "row_key",  # a hash of what the row trains, without its seeds and protocol: the same in every report
    "variant",  # of the row: tuned, defaults (its method is tuned, and stands here untuned), empty without a search
    "pending",  # whether the row has no values to train at
)
NOTES = "notes"  # a column beside these too: how far each part of the trial's method acted, as JSON, or nothing
MACHINE = "machine"  # and this: on what each trial was trained, or nothing
NOT_YET = "not run yet"  # the reason of a missing trial that says no more than its status
STATUSES = ("complete", "failed", "diverged", "missing")
COLUMN = ["protocol", "dataset", "setting", "group"]  # what one column of a table holds fixed
CELL = ["protocol", "dataset", "setting", "method", "group"]  # what all but the seed holds fixed
TRIAL = ["protocol", "dataset", "setting", "method", "seed"]  # what all but the group holds fixed


def check(rows: pd.DataFrame, metric: Metric = ACCURACY) -> None:
    """Refuse a table that the statistics would misread. That no two trials share a cell and a seed is seen only once
    they are in order (see :func:`_arrangement`).

    Raises:
        ValueError: naming the column, or the first offending row.
    """
    if difference := set(COLUMNS) ^ (set(rows.columns) - {*ROW, NOTES, MACHINE}):
        raise ValueError(f"missing or unknown columns {sorted(difference)}; the table has {', '.join(COLUMNS)}")
    if rows.empty:
        raise ValueError("the table has no rows: a plan holds at least one trial")
    for column in ("key", *CELL, "seed", "classes", "reason"):
        if rows[column].isna().any():
            raise ValueError(f"column {column!r} has empty values")
    for column, allowed in (("group", GROUPS), ("status", STATUSES), ("verified", (True, False))):
        if unknown := set(rows[column].unique()) - set(allowed):
            raise ValueError(f"column {column!r} has {sorted(map(str, unknown))}; it may hold {allowed}")
    value = rows["value"].astype(float)
    measured = (rows["status"] == "complete") & (rows["classes"] > 0)
    faults = {
        "a value must stand exactly where a trial is complete and its group has classes": measured != value.notna(),
        f"a value must be a {metric.kind}": measured & ~value.between(metric.low, metric.top),
        "a complete trial must have a key": (rows["status"] == "complete") & (rows["key"] == ""),
    }
    for message, at_fault in faults.items():
        _refuse(rows, at_fault, message)


def _refuse(rows: pd.DataFrame, at_fault: pd.Series, message: str) -> None:
    if at_fault.any():
        raise ValueError(f"{message}: {rows.loc[at_fault].iloc[0].to_dict()}")


def arranged(rows: pd.DataFrame, metric: Metric = ACCURACY) -> pd.DataFrame:
    """The checked rows in the order of presentation: columns and methods as they first appear, few to all.

    Seeds ascend within a cell, so that sums, and with them the bits of every mean, do not depend on the order
    in which trials finished.

    Raises:
        ValueError: if the table is not tidy (see `check`).
    """
    order, _ = _arrangement(rows, metric)
    return rows.iloc[order].astype({"value": float}).reset_index(drop=True)


def _arrangement(rows: pd.DataFrame, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """The places of the checked rows in the order of presentation, and for each place of that order the number of its
    cell. ValueError if the table is not tidy."""
    check(rows, metric)
    protocol = numbered(rows, ["protocol"])
    place = numbered(rows, ["protocol", "dataset", "setting"], protocol)
    of_place = np.empty(int(place.max()) + 1, np.int64)
    of_place[place] = protocol
    rank = np.empty_like(of_place)
    rank[np.argsort(of_place, kind="stable")] = np.arange(len(rank))
    method = numbered(rows, ["method"])
    cell = rank[place]  # in place from here on: there may be millions
    cell *= int(method.max()) + 1
    cell += method
    cell *= len(GROUPS)
    cell += rows["group"].map({name: position for position, name in enumerate(GROUPS)}).to_numpy(np.int8)
    seeds, seed_of = pd.factorize(rows["seed"], sort=True)
    seeds = seeds.astype(np.min_scalar_type(len(seed_of)))
    order = np.lexsort([seeds, cell])
    cell, another = cell[order], np.diff(seeds[order]) != 0
    next_cell = cell[1:] != cell[:-1]
    if not (next_cell | another).all():
        _refuse(rows, rows.duplicated([*CELL, "seed"]), "two trials share a cell and a seed")
    return order, np.cumsum(np.concatenate([[False], next_cell]), dtype=np.int32)


def numbered(rows: pd.DataFrame, columns: Sequence[str], first: np.ndarray | None = None) -> np.ndarray:
    """Which of the distinct combinations in these columns each row has, counted as they appear.

    Args:
        rows: Any table.
        columns: Those of it.
        first: What the first of them alone comes to, where that is known.
    """
    codes = _small(pd.factorize(rows[columns[0]])[0]) if first is None else first
    for name in columns[1:]:
        column, words = pd.factorize(rows[name])
        if len(words) > 1:
            column += codes.astype(np.int64) * len(words)
            codes = _small(pd.factorize(column)[0])
    return codes


def _small(codes: np.ndarray) -> np.ndarray:
    """The same numbers, from 0 on, in as few bytes as hold them."""
    return codes.astype(np.min_scalar_type(int(codes.max(initial=0))))


def summarise(rows: pd.DataFrame, metric: Metric = ACCURACY) -> pd.DataFrame:
    """The mean over seeds of each cell, and what became of the seeds that are not in it.

    Args:
        rows: The tidy table. A failed, diverged or missing trial is counted, never averaged.
        metric: What its values are, which says how large they may be.

    Returns:
        One row for each protocol, dataset, setting, method and group: `mean` and `stderr` in percent (`ddof=1`;
        NaN with fewer than two seeds), `std` (of the seeds, `ddof=1`) and `ci95` (half of the mean's 95 percent
        interval, by Student's t with n - 1 degrees of freedom), `n` seeds in the mean, `planned` seeds, `failed`
        seeds (diverged ones too), `status` (complete, incomplete, failed, missing or n/a), `reason`, and `verified`:
        whether every finished trial ran on a verified copy of the data.

    Raises:
        ValueError: if the table is not tidy (see `check`).
    """
    order, cells = _arrangement(rows, metric)
    summary = rows[CELL].iloc[order[np.flatnonzero(np.diff(cells, prepend=-1))]].reset_index(drop=True).infer_objects()
    finished, missing = (rows["status"] == word for word in ("complete", "missing"))
    columns = {
        "value": rows["value"].astype(float),
        "finished": finished,
        "failed": ~finished & ~missing,
        "verified": rows["verified"].astype(bool) | ~finished,
    }
    by_cell = pd.DataFrame({name: column.to_numpy()[order] for name, column in columns.items()}).groupby(cells)
    summary = summary.join(
        by_cell.agg(
            mean=("value", "mean"),
            stderr=("value", "sem"),
            std=("value", "std"),
            n=("value", "count"),
            planned=("value", "size"),
            failed=("failed", "sum"),
            finished=("finished", "sum"),
            verified=("verified", "all"),
        )
    )
    status = np.select(
        [
            summary["n"] == summary["planned"],
            summary["n"] > 0,
            summary["finished"] > 0,  # finished without a value: the group has no classes
            summary["failed"] > 0,
        ],
        ["complete", "incomplete", "n/a", "failed"],
        default="missing",
    )
    half = stdtrit((summary["n"] - 1).clip(lower=1), 0.975) * summary["stderr"]
    reason = _reasons(rows, order, cells, summary["planned"].to_numpy(), status != "n/a")
    without = np.flatnonzero(status == "n/a")
    lacks, datasets = dict(metric.lacks), summary["dataset"].iloc[without].tolist()
    for cell, dataset in zip(without, datasets, strict=True):
        reason[cell] = lacks.get(str(dataset), "0 classes")
    summary = summary.assign(status=status, ci95=half, reason=reason)
    return summary[[*CELL, "mean", "stderr", "n", "planned", "failed", "status", "reason", "verified", "std", "ci95"]]


def empty_groups(rows: pd.DataFrame) -> dict[str, list[str]]:
    """By protocol the groups that hold no class in any of its data sets, few first, as Few where there are two classes
    of hundreds of rows; never `all`. A protocol without such a group has no entry, nor one whose data sets all lack the
    metric.

    Args:
        rows: The tidy table.
    """
    empty: dict[str, list[str]] = {}
    if (rows["classes"] > 0).all():
        return empty
    most = rows.groupby(["protocol", "group"], observed=True)["classes"].max()
    for protocol, group in sorted(most.index[most == 0], key=lambda pair: GROUPS.index(pair[1])):
        if group != "all" and most.get((protocol, "all"), 1) > 0:
            empty.setdefault(str(protocol), []).append(str(group))
    return empty


def with_classes(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without those of :func:`empty_groups`, which are no columns of what a reader is shown.

    Args:
        rows: The tidy table.
    """
    empty = empty_groups(rows)
    for protocol, groups in empty.items():
        rows = rows[(rows["protocol"] != protocol) | ~rows["group"].isin(groups)]
    return rows


def mean_notes(texts: Iterable[str]) -> dict[str, float]:
    """The mean of each note over the trials that have it.

    Args:
        texts: The column `notes` of these trials.
    """
    values: dict[str, list[float]] = {}
    for notes in map(json.loads, filter(None, texts)):
        for name, value in notes.items():
            values.setdefault(name, []).append(value)
    return {name: fsum(each) / len(each) for name, each in values.items()}


def _reasons(
    rows: pd.DataFrame, order: np.ndarray, cells: np.ndarray, planned: np.ndarray, asked: np.ndarray
) -> list[str]:
    """Why seeds are not in the mean, cell by cell: "1 of 5 diverged: loss not finite; 2 of 5 missing"; and of those
    that are in it, what of their method did not act: "5 of 5: no image was accepted". The arguments are the rows, as
    :func:`_arrangement` orders them, how many are planned of each cell, and of which cells it is asked."""
    has_verdict = (rows["value"].isna() | (rows["reason"] != "")).to_numpy()[order] & asked[cells]
    noted = rows[["value", "reason", "status"]].iloc[order[has_verdict]]
    valued = noted["value"].notna()
    stated = noted["reason"].where(valued | (noted["status"] != "complete") & (noted["reason"] != NOT_YET), "")
    noted = noted.assign(cell=cells[has_verdict], reason=stated, status=noted["status"].astype(str).mask(valued, ""))
    counts = noted.groupby(["cell", "status", "reason"]).size().reset_index(name="count")
    reasons = [""] * len(planned)
    for cell, status, reason, count in counts.itertuples(index=False, name=None):
        what = {"complete": " without classes", "": ""}.get(status, f" {status}")
        text = f"{count} of {planned[cell]}{what}" + (f": {reason}" if reason else "")
        reasons[cell] = f"{reasons[cell]}; {text}" if reasons[cell] else text
    return reasons
