"""A recommendation in words, of which each is supported by the table and by the accuracies of the classes."""

from __future__ import annotations

from collections.abc import Hashable
from math import isnan
from typing import Any

import numpy as np
import pandas as pd

from .metric import ACCURACY, Metric
from .results import CELL, COLUMN, summarise
from .statistics.paired import paired
from .tables.grid import enough_digits

BASELINE = "ERM"
WORDS = {
    "better": "which separates after Holm's correction",
    "worse": "which separates after Holm's correction",
    "not separable": "which does not separate from chance over these seeds",
    "": "of which fewer than five complete seeds allow no verdict",
}
STEPS = 200  # between a balanced deployment and one as in training
CLASSES = ("method", "class", "images", "accuracy")


def joined(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows of several networks or estimators as those of one, where a method is called ``METHOD on NETWORK`` (an
    ensemble brings its own), and the baseline on the network where its mean is largest. Of one they stay as they are.

    All were trained on the same draws, so that they are compared seed by seed.
    """
    if rows["protocol"].nunique() <= 1:
        return rows, BASELINE
    method, network = rows["method"].astype(str), rows["protocol"].astype(str).str.partition(",")[0]
    own = network.groupby(rows["row_key"].astype(str)).transform("nunique") > 1  # one row beside several networks
    named = rows.assign(method=method.where(own, method + " on " + network), protocol="all")
    again = own & named.duplicated([*CELL, "seed"])
    named, method = named[~again].reset_index(drop=True), method[~again].reset_index(drop=True)
    of_baseline = named[(method == BASELINE) & (named["group"] == "all") & named["value"].notna()]
    if of_baseline.empty:
        return named, BASELINE
    return named, str(of_baseline.groupby("method")["value"].mean().idxmax())


def recommended(
    rows: pd.DataFrame, classes: pd.DataFrame | None = None, baseline: str = BASELINE, things: str = "images"
) -> tuple[str, list[str]]:
    """The method with the largest mean balanced accuracy, and sentences about it; nothing where none is complete.

    Args:
        rows: The tidy table of one setting, in percent.
        classes: Of each method and class, as ``CLASSES``, the mean accuracy over seeds in percent, and the class's
            training images.
        baseline: The method that the others are compared with, where it is among them.
        things: What the classes hold.
    """
    whole = _complete(rows)
    if whole.empty:
        return "", []
    best, methods = whole.iloc[0], list(whole.sort_index()["method"])
    name = str(best["method"])
    sentences = [f"{name} has the largest balanced accuracy: {best['mean']:.1f} percent."]
    if baseline in methods and name != baseline:
        sentences += _beside(rows, best, baseline)
    sentences += _runner_up(rows, whole, best, baseline)
    if classes is not None and not classes.empty:
        table = classes.pivot(index="method", columns="class", values="accuracy").loc[methods]
        images = classes.drop_duplicates("class").set_index("class")["images"].loc[table.columns]
        sentences += [_worst_class(table, name, baseline), *_priors(table, images.to_numpy(float), name, things)]
    return name, sentences


def first_by(rows: pd.DataFrame, metric: Metric) -> list[str]:
    """The method that is first by another metric, of which more is better, and by how much; nothing where none is
    complete.

    Args:
        rows: The tidy table of one setting.
        metric: What its values are.
    """
    rows, baseline = joined(rows)
    whole = _complete(rows, metric)
    if whole.empty:
        return []
    best = whole.iloc[0]
    sentence = f"By {metric.label} {best['method']} is first: {best['mean']:.1f} percent"
    if baseline not in set(whole["method"]) or best["method"] == baseline:
        return [f"{sentence}."]
    beside = _differences(rows, best["method"], best, baseline, metric)["all"]
    return [f"{sentence}, {_points(beside['difference'])} points beside {baseline}, {WORDS[beside['verdict']]}."]


def _complete(rows: pd.DataFrame, metric: Metric = ACCURACY) -> pd.DataFrame:
    """The cells of all classes whose seeds are all complete, the largest mean first."""
    summary = summarise(rows, metric)
    whole = summary[(summary["group"] == "all") & (summary["status"] == "complete")].dropna(subset="mean")
    return whole.sort_values("mean", ascending=False, kind="stable")


def _differences(
    rows: pd.DataFrame, method: str, place: pd.Series, versus: str, metric: Metric = ACCURACY
) -> dict[str, dict[Hashable, Any]]:
    """What a method changes beside another, by group.

    Args:
        rows: The tidy table.
        method: Which.
        place: A cell of the protocol, data set and setting that it is of.
        versus: The other.
        metric: What the values are.
    """
    found = paired(rows, versus, metric)
    same = (found["method"] == method) & (found[COLUMN[:3]] == place[COLUMN[:3]]).all(axis=1)
    return {str(row["group"]): row for row in found[same].to_dict("records")}


def _beside(rows: pd.DataFrame, best: pd.Series, baseline: str) -> list[str]:
    """What the method changes beside the baseline: in all classes, and in the rare and the frequent ones."""
    beside = _differences(rows, best["method"], best, baseline)
    overall = beside["all"]
    sentences = [f"That is {_points(overall['difference'])} points beside {baseline}, {WORDS[overall['verdict']]}."]
    for group in ("few", "many"):
        if group in beside and not isnan(change := beside[group]["difference"]):
            sentences.append(f"In {group.capitalize()} it changes {_points(change)} points.")
    return sentences


def _points(difference: float, sign: str = "+") -> str:
    return f"{difference:{sign}z.{enough_digits(difference, 1)}f}"


def _runner_up(rows: pd.DataFrame, whole: pd.DataFrame, best: pd.Series, baseline: str) -> list[str]:
    """The next method, where it is not the baseline, of which enough was said."""
    rest_of_methods = whole[whole["method"] != best["method"]]
    if rest_of_methods.empty or (rest_of_methods.iloc[0]["method"] == baseline and best["method"] != baseline):
        return []
    second = rest_of_methods.iloc[0]
    verdict = _differences(rows, second["method"], best, str(best["method"]))["all"]["verdict"]
    behind = _points(best["mean"] - second["mean"], sign="-")
    return [f"Next is {second['method']}, {behind} points behind, {WORDS[verdict]}."]


def _worst_class(table: pd.DataFrame, name: str, baseline: str) -> str:
    def worst(method: str) -> str:
        return f"{table.loc[method].idxmin()} ({table.loc[method].min():.1f} percent)"

    beside = f"; {baseline}'s is {worst(baseline)}" if baseline in table.index and name != baseline else ""
    return f"Its worst class is {worst(name)}{beside}."


def _priors(table: pd.DataFrame, images: np.ndarray, name: str, things: str) -> list[str]:
    """Where the classes are less even than a balanced deployment: whether the method stays the best. Their shares run
    from even ones to those of training, as powers of these."""
    factor = images.max() / images.min()
    if factor == 1:
        return []
    powers = np.linspace(0, 1, STEPS + 1)
    shares = images ** powers[:, None]
    accuracy = (shares / shares.sum(axis=1, keepdims=True)) @ table.to_numpy().T
    mine = accuracy[:, list(table.index).index(name)]
    ahead = np.flatnonzero(accuracy.max(axis=1) > mine + 1e-9)
    if not len(ahead):
        return [
            f"It stays the best where the classes are as frequent as in training (factor {factor:.3g}): "
            f"{mine[-1]:.1f} percent of such {things}."
        ]
    first = ahead[0]
    winner = str(table.index[accuracy[first].argmax()])
    last = str(table.index[accuracy[-1].argmax()])
    at = f"{factor ** powers[first]:.2g}"
    return [
        f"For {things} whose classes differ by a factor of more than about {at}, the mean of {winner} is larger; as in "
        f"training ({factor:.3g}), {last} has {accuracy[-1].max():.1f} percent and {name} {mine[-1]:.1f}."
    ]
