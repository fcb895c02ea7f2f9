"""A recommendation in words, of which each is supported by the table."""

from __future__ import annotations

from math import isnan, nan

import pandas as pd

from .results import COLUMN, summarise
from .statistics.paired import paired

BASELINE = "ERM"
WORDS = {
    "better": "which separates after Holm's correction",
    "worse": "which separates after Holm's correction",
    "not separable": "which does not separate from chance over these seeds",
    "": "of which fewer than five complete seeds allow no verdict",
}


def recommended(rows: pd.DataFrame) -> tuple[str, list[str]]:
    """The method with the largest mean balanced accuracy, and sentences about it; nothing where none is complete.

    Args:
        rows: The tidy table of one setting, in percent.
    """
    summary = summarise(rows)
    whole = summary[(summary["group"] == "all") & (summary["status"] == "complete")].dropna(subset="mean")
    if whole.empty:
        return "", []
    best = whole.sort_values("mean", ascending=False, kind="stable").iloc[0]
    name = str(best["method"])
    sentences = [f"{name} has the largest balanced accuracy: {best['mean']:.1f} percent."]
    if BASELINE not in set(whole["method"]) or name == BASELINE:
        return name, sentences
    differences = paired(rows, BASELINE)
    same = (differences["method"] == name) & (differences[COLUMN[:3]] == best[COLUMN[:3]]).all(axis=1)
    beside = {str(row["group"]): row for row in differences[same].to_dict("records")}
    overall = beside["all"]
    sentences.append(f"That is {overall['difference']:+.1f} points beside {BASELINE}, {WORDS[overall['verdict']]}.")
    for group in ("few", "many"):
        change = beside[group]["difference"] if group in beside else nan
        sentences += [] if isnan(change) else [f"In {group.capitalize()} it changes {change:+.1f} points."]
    return name, sentences
