"""What a training costs: its device seconds, and in trainings of ERM on the same machine, so that machines compare."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..results import CELL, MACHINE

UNIT = "ERM"  # the method whose training is the unit
BLOCK = CELL[:3]  # what a unit is measured within: network, routine and data


def training_costs(rows: pd.DataFrame, started: Mapping[str, float]) -> pd.DataFrame:
    """The cost of one training of each method.

    Each finished trial is divided by the mean of ERM's on its machine, in the same protocol, data set and setting;
    trials on a machine without any of ERM's are left out of that ratio.

    Args:
        rows: The tidy table. Where it has no column `machine`, nothing is known of machines, and no ratio.
        started: The seconds of the networks that a trial starts from, by its key; they are part of its cost.

    Returns:
        One row for each protocol, dataset, setting and method with a finished trial: `device_seconds`, the mean of one
        training, and `erm`, the mean ratio (NaN where there is none).
    """
    trials = trial_costs(rows, started)
    return trials.groupby([*BLOCK, "method"], sort=False)[["device_seconds", "erm"]].mean().reset_index()


def trial_costs(rows: pd.DataFrame, started: Mapping[str, float]) -> pd.DataFrame:
    """The cost of each finished trial: one row for each, seeds ascending, with its `key` and its protocol, dataset,
    setting and method, and with what :func:`training_costs` has the means of.

    Args:
        rows: As there.
        started: As there.
    """
    first = rows["group"] == rows["group"].iloc[0]  # what holds for one group of a trial holds for all
    names = ["key", *BLOCK, "method", "seed", "device_seconds", *([MACHINE] if MACHINE in rows else [])]
    counted = first & (rows["status"] == "complete")
    if not started:  # else what it started from may have taken some
        counted &= rows["device_seconds"].astype(float) > 0
    trials = rows.loc[counted, names].sort_values("seed", kind="stable")
    seconds = trials["device_seconds"].astype(float)
    if started:
        seconds += np.array([started.get(key, 0.0) for key in trials["key"]], float)
    trials, seconds = trials[seconds > 0], seconds[seconds > 0]
    machine = trials[MACHINE].astype(str) if MACHINE in trials else pd.Series("", trials.index)
    trials = trials[["key", *BLOCK, "method"]].astype(str).assign(device_seconds=seconds, machine=machine)
    units = trials[(trials["method"] == UNIT) & (trials["machine"] != "")]
    unit = units.groupby([*BLOCK, "machine"], sort=False)["device_seconds"].mean()
    places = pd.MultiIndex.from_frame(trials[[*BLOCK, "machine"]])
    own = unit.reindex(places).to_numpy() if len(unit) else np.full(len(trials), np.nan)
    return trials.drop(columns="machine").assign(erm=trials["device_seconds"] / own)
