"""What stands behind each line of the page, as plain objects: its trials with their evidence, and its curve."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from ..formats.text import plain, plain_lines
from ..results import NOTES, mean_notes
from .mistakes import mistakes
from .model import Evidence
from .published import number
from .shared import Interner

LINE = ["protocol", "dataset", "setting", "method"]
MOST_EPOCHS = 60  # of a curve: more would not be seen
Row = dict[Hashable, Any]
Trials = list[list[Row]]


def trials_of(rows: pd.DataFrame) -> dict[tuple[str, ...], Trials]:
    """The trials of each line in the order of their seeds, each as its rows, one for each group."""
    of_line: dict[tuple[str, ...], dict[Any, list[Row]]] = {}
    for row in rows.to_dict("records"):
        of_line.setdefault(tuple(str(row[word]) for word in LINE), {}).setdefault(row["seed"], []).append(row)
    return {name: list(seeds.values()) for name, seeds in of_line.items()}


def behind(trials: Trials, evidence: Mapping[str, Evidence], profiles: Interner, facts: Interner) -> dict[str, Any]:
    """What the page shows of one line where it is asked: each trial, the curve, the values, the command.

    Args:
        trials: The rows of each trial.
        evidence: What stands behind each trial, by its key; trials may be left out.
        profiles: Where the classes of trials are kept, each once.
        facts: Where their machines are.
    """
    notes = mean_notes(trial[0].get(NOTES, "") for trial in trials)
    evidences = [evidence.get(trial[0]["key"], Evidence()) for trial in trials]
    return {
        "trials": [_trial(trial, of_trial, profiles, facts) for trial, of_trial in zip(trials, evidences, strict=True)],
        "curve": _curve(evidences),
        "values": _values(evidences),
        "mistakes": mistakes(evidences),
        "rerun": next((list(of_trial.rerun) for of_trial in evidences if of_trial.rerun[0]), []),
    } | ({"notes": {plain(name): value for name, value in notes.items()}} if notes else {})


def _trial(rows: Sequence[Row], evidence: Evidence, profiles: Interner, facts: Interner) -> dict[str, Any]:
    first = rows[0]
    trial = {
        "seed": int(first["seed"]),
        "key": plain(first["key"]),
        "status": first["status"],
        "reason": plain(first["reason"]),
        "verified": bool(first["verified"]),
        "seconds": number(first["device_seconds"] + evidence.start_seconds),
        "values": {row["group"]: number(row["value"]) for row in rows},
    }
    if evidence.right:
        about = (evidence.counts, evidence.tests, evidence.classes, evidence.groups)
        words = ("counts", "tests", "classes", "groups")
        profile = {word: list(each) for word, each in zip(words, about, strict=True)}
        trial |= {"right": list(evidence.right), "profile": profiles.index(about, profile)}
    if evidence.facts:
        told = {name: plain(word) for name, word in evidence.facts.items()}
        trial["facts"] = facts.index(tuple(told.items()), told)
    texts = {"log": plain_lines(evidence.log), "course": plain(evidence.course), "starts": plain(evidence.starts)}
    return trial | {name: text for name, text in texts.items() if text}


def _values(some: Sequence[Evidence]) -> dict[str, str]:
    """Seeds of one line share their values; the first trial that has any tells them."""
    return next(({plain(n): plain(str(v)) for n, v in one.values.items()} for one in some if one.values), {})


def _curve(evidences: Sequence[Evidence]) -> dict[str, list[float]] | None:
    """The training loss by epoch, as the mean over the seeds that have one."""
    losses: dict[int, list[float]] = {}
    for epoch, loss in (point for one in evidences for point in one.curve):
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
