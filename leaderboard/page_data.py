"""What the page is made of, as one plain object: blocks of columns, lines of cells, and the trials behind them."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from scipy.stats import t as student

from . import report
from .compared import USUAL_SEEDS, rule
from .evidence import Evidence, Subject
from .page_quoted import number, quoted, records
from .pool import Pool
from .report import plain
from .results import GROUPS, arranged, summarise
from .statistics import ALPHA, FEWEST_SEEDS, NO_SPREAD, detectable
from .tables import MEASURED, UNVERIFIED

BLOCK = ["protocol", "dataset", "setting"]
LINE = [*BLOCK, "method"]
MOST_EPOCHS = 60  # of a curve: more would not be seen
Row = dict[Hashable, Any]


def content(subject: Subject) -> dict[str, Any]:
    """The page's object, of lists, numbers and strings only; numbers that are not there are None.

    Names are made plain (see `report.plain`), accuracies are in percent and times in seconds.

    Raises:
        ValueError: if the rows are not tidy, or `versus` is not among the methods.
    """
    rows = arranged(subject.rows)
    if subject.versus is not None and subject.versus not in set(rows["method"]):
        raise ValueError(f"no method {subject.versus!r} to compare with")
    cells = summarise(rows)
    profiles, facts = Pool(), Pool()
    lines = _lines(rows, cells, subject.evidence, profiles, facts)
    return {
        "title": plain(subject.title),
        "notes": [*MEASURED[1:], *([] if cells["verified"].all() else [UNVERIFIED]), *map(plain, subject.notes)],
        "compared": rule(),
        "spread": subject.uncertainty,
        "versus": subject.versus and plain(subject.versus),
        "shots": list(subject.shots) if subject.shots else None,
        "methods": [plain(method) for method in rows["method"].unique()],
        "blocks": _blocks(cells),
        "lines": lines,
        "profiles": profiles.kept,
        "facts": facts.kept,
        **quoted(cells, subject),
        "budget": [] if subject.budget is None else records(subject.budget),
        "metric": plain(subject.metric),
        "statistics": _statistics(cells),
        "markup": {"markdown": report.MARKDOWN, "latex": report.LATEX, "safe": "".join(sorted(report.SAFE_IN_LATEX))},
    }


def _blocks(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """Each protocol's data sets and settings, with the groups that they have."""
    return [
        {
            **{word: plain(str(block[word].iloc[0])) for word in BLOCK},
            "verified": bool(block["verified"].all()),
            "groups": [group for group in GROUPS if group in set(block["group"])],
        }
        for _, block in cells.groupby(BLOCK, sort=False)
    ]


def _lines(
    rows: pd.DataFrame, cells: pd.DataFrame, evidence: Mapping[str, Evidence], profiles: Pool, facts: Pool
) -> list[dict[str, Any]]:
    """Each method of each block: its cells by group, and its trials by seed."""
    block = cells.groupby(BLOCK, sort=False).ngroup()
    methods = {method: number for number, method in enumerate(rows["method"].unique())}
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for place, cell in zip(block, cells.to_dict("records"), strict=True):
        name = tuple(str(cell[word]) for word in LINE)
        line = found.setdefault(
            name, {"block": place, "method": methods[cell["method"]], "cells": {}, "trials": [], "curve": None}
        )
        line["cells"][cell["group"]] = {
            "mean": number(cell["mean"]),
            "stderr": number(cell["stderr"]),
            **{word: cell[word] for word in ("n", "planned", "failed", "status")},
            "reason": plain(cell["reason"]),
            "verified": bool(cell["verified"]),
        }
    behind: dict[tuple[str, ...], list[Evidence]] = {}
    for (*name, _), trial in _trials(rows).items():
        one = evidence.get(trial[0]["key"], Evidence())
        found[tuple(name)]["trials"].append(_trial(trial, one, profiles, facts))
        behind.setdefault(tuple(name), []).append(one)
    for name, some in behind.items():
        found[name] |= {
            "curve": _curve(some),
            "values": _values(some),
            "rerun": next((list(one.rerun) for one in some if one.rerun[0]), []),
        }
    return list(found.values())


def _trials(rows: pd.DataFrame) -> dict[tuple[Any, ...], list[Row]]:
    """The rows of each trial, one for each group, by line and seed."""
    found: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows.to_dict("records"):
        found.setdefault((*(row[word] for word in LINE), row["seed"]), []).append(row)
    return found


def _trial(rows: Sequence[Row], one: Evidence, profiles: Pool, facts: Pool) -> dict[str, Any]:
    first = rows[0]
    trial = {
        "seed": int(first["seed"]),
        "key": plain(first["key"]),
        "status": first["status"],
        "reason": plain(first["reason"]),
        "verified": bool(first["verified"]),
        "seconds": number(first["device_seconds"]),
        "values": {row["group"]: number(row["value"]) for row in rows},
    }
    if one.right:
        about = (one.counts, one.tests, one.classes, one.groups)
        words = ("counts", "tests", "classes", "groups")
        profile = {word: list(each) for word, each in zip(words, about, strict=True)}
        trial |= {"right": list(one.right), "profile": profiles.place(about, profile)}
    if one.facts:
        told = {name: plain(word) for name, word in one.facts.items()}
        trial["facts"] = facts.place(tuple(told.items()), told)
    return trial | {name: text for name, text in (("log", one.log), ("course", plain(one.course))) if text}


def _values(some: Sequence[Evidence]) -> dict[str, str]:
    """Seeds of one line share their values; the first trial that has any tells them."""
    return next(({plain(n): plain(str(v)) for n, v in one.values.items()} for one in some if one.values), {})


def _curve(some: Sequence[Evidence]) -> dict[str, list[float]] | None:
    """The training loss by epoch, as the mean over the seeds that have one."""
    losses: dict[int, list[float]] = {}
    for epoch, loss in (point for one in some for point in one.curve):
        losses.setdefault(epoch, []).append(loss)
    if not losses:
        return None
    every = sorted(losses.items())
    kept = every[:: math.ceil(len(every) / MOST_EPOCHS)]
    kept += [] if kept[-1] == every[-1] else [every[-1]]
    return {
        "epoch": [epoch for epoch, _ in kept],
        "loss": [float(f"{math.fsum(each) / len(each):.4g}") for _, each in kept],  # enough digits to draw
    }


def _statistics(cells: pd.DataFrame) -> dict[str, Any]:
    """The constants by which the page judges as `statistics.paired` does: the quantiles of Student's t by n, and the
    detectable difference in standard errors by n and the number of comparisons."""
    counts = range(2, int(cells["planned"].max()) + 1)
    families = {int(n) - out for n in cells.groupby([*BLOCK, "group"]).size() for out in (0, 1)} - {0}
    return {
        "alpha": ALPHA,
        "fewest": FEWEST_SEEDS,
        "no_spread": NO_SPREAD,
        "usual": USUAL_SEEDS,
        "quantile": {n: float(student.ppf(1 - ALPHA / 2, n - 1)) for n in counts},
        "detectable": {n: {family: detectable(n, family) for family in sorted(families)} for n in counts},
    }
