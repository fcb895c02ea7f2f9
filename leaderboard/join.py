"""The rows of several stores as those of one, and what a reader must know of that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd

from .results import CELL, ROW, STATUSES

MOST_NAMED = 5  # in a sentence
SAME = ["row_key", "variant"]  # a method, however its values are written: 2 and 2.0 are one
ENDED_BADLY = ("failed", "diverged")


def join_tables(frames: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, Mapping[str, int], list[str]]:
    """The rows, each trial once; by its key the number of the frame that a trial is of; sentences for the caption.

    A trial that failed or is missing in one may be complete in another, which then counts; else the first that ended.
    Of one frame nothing is said: its trials are its own.
    """
    if len(frames) == 1:
        return frames[0], {}, []
    rank = dict.fromkeys(STATUSES, 1) | {"complete": 0, "missing": 2}
    every = pd.concat([frame.astype(object).assign(source=i) for i, frame in enumerate(frames)], ignore_index=True)
    every = every.astype({name: frames[0][name].dtype for name in ("seed", "classes", "value", "device_seconds")})
    first = every.groupby(SAME, sort=False)["method"].transform("first")
    other = every["method"] != first
    names = dict(zip(every.loc[other, "method"], first[other], strict=True))
    every["method"] = every["method"].replace(names)  # wherever it stands: a row holds all its data sets
    best_first = every.sort_values("status", key=lambda s: s.map(rank), kind="stable")
    rows = best_first.drop_duplicates(["key", *ROW, *CELL, "seed"]).sort_index().reset_index(drop=True)
    sources = dict(zip(rows["key"], rows["source"], strict=True))
    rows = rows.drop(columns="source").astype({"verified": bool, "pending": bool})
    return rows, sources, [*_failed_elsewhere(every, rows), *_other_seeds(rows)]


def _failed_elsewhere(every: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """A failure that a repetition hides would else be told nowhere."""
    complete = rows.loc[rows["status"] == "complete", "key"]
    bad = every[every["status"].isin(ENDED_BADLY) & every["key"].isin(complete)].drop_duplicates("key")
    failures = bad[["method", "dataset", "setting", "seed", "status"]].itertuples(index=False)
    words = [f"{method}, {data}, {setting}, seed {seed}: {status}" for method, data, setting, seed, status in failures]
    return [f"Complete here, but not in another of these: {shortened(words)}."] if words else []


def _other_seeds(rows: pd.DataFrame) -> list[str]:
    """Rows of other seeds share no difference by seed, and pooled groups may have more of them."""
    first = rows[rows["group"] == rows["group"].iloc[0]]
    seeds = first.groupby(CELL, sort=False)["seed"].agg(frozenset).reset_index()
    words = []
    for _, column in seeds.groupby(["protocol", "dataset", "setting"], sort=False):
        usual, count = Counter(column["seed"]).most_common(1)[0]
        others = column if 2 * count <= len(column) else column[column["seed"] != usual]
        words += [f"{method} ({_span(s)})" for method, s in zip(others["method"], others["seed"], strict=True)]
    which = shortened(list(dict.fromkeys(words)))
    return [f"Not all rows of a column are of the same seeds: {which}."] if words else []


def _span(seeds: frozenset[int]) -> str:
    numbers = sorted(seeds)
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]} to {numbers[-1]}"
    return shortened([str(number) for number in numbers])


def shortened(words: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(words) - MOST_NAMED
    return "; ".join(words[:MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
