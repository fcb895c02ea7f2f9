"""The rows of a report as MLflow is told of them: what each is called, which trials it is of, and its numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ...leaderboard.metric import ACCURACY, Metric
from ...leaderboard.results import CELL, summarise

WORDS = [name for name in CELL if name != "group"]  # what tells a row from every other
Measured = tuple[pd.DataFrame, Metric]  # tidy rows, and what their values are
MORE = re.compile(r"[^\w.\- ]")  # what a class is called may hold more than MLflow takes in a metric's name


@dataclass(frozen=True)
class TableRow:
    """A row of a report.

    Args:
        identity: The same in every report of the row, however many seeds it has.
        name: Its method, and the data set, setting and protocol as far as the report has several.
        words: Its protocol, data set, setting and method.
        keys: Of its trials that are known.
        metrics: Its numbers by their names in MLflow; NaN where there is none.
        status: complete, incomplete, failed, missing or n/a.
        reason: Why seeds are not in the mean.
    """

    identity: str
    name: str
    words: dict[str, str]
    keys: tuple[str, ...]
    metrics: dict[str, float]
    status: str
    reason: str


def table_rows(measured: Sequence[Measured]) -> list[TableRow]:
    """The rows of a report, in its order.

    Args:
        measured: The tidy rows of its table, and after them those of further metrics.
    """
    (rows, metric), *_ = measured
    numbers: dict[tuple[str, ...], dict[str, float]] = {}
    for each, by in measured:
        for cell in summarise(each, by).to_dict("records"):
            numbers.setdefault(_words(cell), {}).update(_metrics(cell, by))
    trials = {_words(group.iloc[0]): group for _, group in rows.groupby(WORDS, sort=False, observed=True)}
    whole = {_words(cell): cell for cell in summarise(rows, metric).to_dict("records") if cell["group"] == "all"}
    return [_row(trials[words], numbers[words], cell, _name(words, list(whole))) for words, cell in whole.items()]


def _words(cell: Any) -> tuple[str, ...]:
    return tuple(str(cell[word]) for word in WORDS)


def _name(words: tuple[str, ...], every: Sequence[tuple[str, ...]]) -> str:
    protocol, dataset, setting, method = words
    several = {"data": len({each[1:3] for each in every}) > 1, "protocol": len({each[0] for each in every}) > 1}
    data = f"{dataset}, {setting}" if several["data"] else ""
    return ", ".join(filter(None, [method, data, protocol if several["protocol"] else ""]))


def _row(trials: pd.DataFrame, numbers: dict[str, float], cell: dict[Any, Any], name: str) -> TableRow:
    known = trials[trials["key"] != ""].drop_duplicates("key")
    first, seconds = trials.iloc[0], float(known["device_seconds"].mean())
    return TableRow(
        identity="/".join(filter(None, [str(first["row_key"]), str(first["variant"])])),
        name=name,
        words=dict(zip(WORDS, _words(cell), strict=True)),
        keys=tuple(known["key"]),
        metrics=numbers | {"seeds": float(cell["n"]), "train_seconds": seconds},
        status=str(cell["status"]),
        reason=str(cell["reason"]),
    )


def _metrics(cell: dict[Any, Any], metric: Metric) -> Iterator[tuple[str, float]]:
    """The mean under the name that the trials' own values have, and beside it what is known of its error."""
    of = "" if metric.name == ACCURACY.name else f"{MORE.sub('_', metric.name)}/"
    name, mean, half = f"test/{of}{cell['group']}", cell["mean"], cell["ci95"]
    yield name, mean
    yield f"{name}_stderr", cell["stderr"]
    yield f"{name}_ci95_low", mean - half
    yield f"{name}_ci95_high", mean + half


def measured_numbers(metrics: dict[str, float], known: dict[str, float]) -> dict[str, float]:
    """What of a row's numbers MLflow lacks.

    Args:
        metrics: The row's.
        known: What MLflow has.

    Returns:
        Those that differ; a number that there is no more is NaN.
    """
    return {
        name: value
        for name, value in metrics.items()
        if (name in known or not math.isnan(value)) and not _same(known.get(name), value)
    }


def _same(one: float | None, other: float) -> bool:
    return one is not None and (one == other or (math.isnan(one) and math.isnan(other)))
