"""Tables of what a training of each method costs."""

from collections.abc import Mapping

import pandas as pd

from ..shown_setting import data_in_setting
from ..statistics.cost import UNIT, training_costs
from .grid import Table, hours_text

HEADS = ("Device-hours", f"{UNIT} trainings")
CAPTION = (
    f"Device-hours of one training, and how many trainings of {UNIT} that is: each finished trial over the mean of "
    f"{UNIT}'s on the same machine, network and data; – where {UNIT} has none there.",
    "The networks that a method starts from are counted. Trials that share a machine slow each other, so this is "
    "rough; what tuning took is not in it.",
)


def cost_tables(rows: pd.DataFrame, started: Mapping[str, float]) -> list[Table]:
    """A table for each protocol in which a method can be compared with ERM on one machine.

    Args:
        rows: The tidy table.
        started: The seconds of the networks that a trial starts from, by its key.
    """
    tables = []
    for protocol, costs in training_costs(rows, started).groupby("protocol", sort=False):
        others = costs[costs["method"] != UNIT]
        if others["erm"].isna().all():
            continue
        places = list(dict.fromkeys(zip(costs["dataset"], costs["setting"], strict=True)))
        texts = {
            (cost["method"], cost["dataset"], cost["setting"]): (
                hours_text(cost["device_seconds"] / 3600),
                "–" if pd.isna(cost["erm"]) else f"{cost['erm']:.2f}",
            )
            for cost in costs.to_dict("records")
        }
        here = set(rows.loc[rows["protocol"] == protocol, "method"])
        methods = [method for method in dict.fromkeys(rows["method"]) if method in here]  # as in every other table
        body = [(str(method), *(t for p in places for t in texts.get((method, *p), ("–", "–")))) for method in methods]
        spans = tuple((data_in_setting(data, setting), HEADS) for data, setting in places)
        tables.append(Table(f"{protocol}: cost of a training", spans, tuple(body), (), CAPTION))
    return tables
