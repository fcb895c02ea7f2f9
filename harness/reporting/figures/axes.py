"""Which fields of a store's trials are the axes of a figure: x, the curves, and what differs beside them, which tells
panels apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from ....methods.names import nearest
from ...errors import ReportError
from .trial_table import COUNTED, DATA

OPTIONS = ("method", "network", "weights")  # of which a value needs no field before it
FIXED = ("tuning", "protocol", "plugin")
CUT = ("train_ratio", "total", "head")


def fields(table: pd.DataFrame) -> list[str]:
    """The columns that a user may name."""
    dotted = [str(name) for name in table if str(name).startswith(("method.", "network.", "training."))]
    return [*DATA, *COUNTED, "parameters", *OPTIONS, *dotted]


def require_field(table: pd.DataFrame, name: str, option: str) -> str:
    """The field itself. A word of the routine needs no ``training.`` before it.

    Args:
        table: The trials.
        name: What the user says.
        option: Of the command line.

    Raises:
        ReportError: where there is no such field, with the nearest one.
    """
    known = fields(table)
    for full in (name, f"training.{name}", f"method.{name}", f"network.{name}"):
        if full in known:
            return full
    raise ReportError(f"{option}: no field {name!r} here" + nearest(name, known))


def require_numbers(table: pd.DataFrame, x: str) -> pd.DataFrame:
    """The trials that have an x. ReportError where it is no number, or all are at one."""
    having = table[table[x].notna()]
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in having[x]):
        raise ReportError(f"--x: {x} is no number")
    if having[x].nunique() < 2:
        every = "every trial that has it" if len(having) < len(table) else "every trial"
        at = f"is {having[x].iloc[0]:g} in {every}" if len(having) else "is in no trial"
        where = {"train_ratio": "data: {train_ratio: [0.01, 0.1, 1]}", "parameters": "network: [NAME, NAME]"}
        example = where.get(x, f"{'data' if x in CUT else x.rpartition('.')[0] or 'data'}: a list of values")
        raise ReportError(f"{x} {at}, so it is no axis; the spec needs {example}")
    return having.astype({x: float})


def named_options(table: pd.DataFrame, used: Sequence[str]) -> pd.DataFrame:
    """The table with the values of each method and network in its name, but for those that are an axis: ``SAM
    (rho=0.1)``."""
    for slot in ("method", "network"):
        if values := [str(name) for name in table if str(name).startswith(f"{slot}.") and name not in used]:
            words = [
                ", ".join(f"{n.partition('.')[2]}={_number(v)}" for n, v in zip(values, row, strict=True) if _said(v))
                for row in table[values].itertuples(index=False, name=None)
            ]
            names = [f"{name} ({said})" if said else name for name, said in zip(table[slot], words, strict=True)]
            table = table.assign(**{slot: names}).drop(columns=values)
    return table


def curve_field(table: pd.DataFrame, x: str, asked: str | None) -> str:
    """The field whose values are the curves: the one that is asked for, else the methods where these differ, else the
    only option or word of the routine that differs.

    Args:
        table: The trials.
        x: The field of the axis.
        asked: What the user says, a field.

    Raises:
        ReportError: where several differ and none is asked for.
    """
    if asked:
        return asked
    varying = [name for name in _differing(table) if name not in (x, *DATA, *COUNTED, *FIXED, "parameters")]
    if x == "parameters":
        varying = [name for name in varying if name != "network"]
    if "method" in varying or not varying:
        return "method"
    if len(varying) > 1:
        raise ReportError(f"--curve: {' and '.join(varying)} differ; name the one whose values are the curves")
    return varying[0]


def with_curves(table: pd.DataFrame, x: str, curve: str, beside: Sequence[str] = ()) -> tuple[pd.DataFrame, list[str]]:
    """The table with the columns ``x``, ``curve`` (the words of its value) and ``panel`` (the data set and network, and
    what else differs), and sentences about what differs with the curves alone.

    Args:
        table: The trials.
        x: The field of the axis.
        curve: The field whose values are the curves.
        beside: Fields that tell no panels apart, since the figure has another place for them.

    Raises:
        ReportError: where two trials of one seed would stand at one point.
    """
    belongs = {x, curve, *COUNTED, "parameters", *beside}
    belongs |= {*CUT} if x in COUNTED else set()
    belongs |= {"network"} if x == "parameters" else set()
    varying = [name for name in _differing(table) if name not in belongs]
    tied = [
        n for n in varying if n.startswith("training.") and table.groupby(curve, dropna=False)[n].nunique().max() < 2
    ]
    apart = [name for name in varying if name not in tied]
    notes = [f"{', '.join(tied)} differ with {curve}, so they are part of what it compares."] if tied else []
    shown = [n for n in ("dataset", "network") if n not in belongs and n not in apart]
    panels = [
        ", ".join(_word(name, value) for name, value in zip([*shown, *apart], row, strict=True) if _said(value))
        for row in table[[*shown, *apart]].itertuples(index=False, name=None)
    ]
    curves = [_word(curve, value) for value in table[curve]]
    placed = table.assign(x=table[x], curve=curves, panel=panels)
    if (twice := placed.duplicated(["panel", "curve", "x", "seed", *beside])).any():
        row = placed[twice].iloc[0]
        raise ReportError(f"two trials of seed {row['seed']} are at one point: {row['panel']}, {row['curve']}")
    return placed, notes


def _differing(table: pd.DataFrame) -> list[str]:
    held = {
        "key", "seed", "data", "learner", "recalls", "verified", "measured", "tested", "epoch", "value", "group",
        "shares", "picture",
    }  # fmt: skip
    return [str(name) for name in table if name not in held and table[name].nunique(dropna=False) > 1]


def _said(value: Any) -> bool:
    return value != "" and bool(pd.notna(value))


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


def _word(name: str, value: Any) -> str:
    """``batch_size 64``, or the value alone where it says enough."""
    return _number(value) if name in ("dataset", *OPTIONS, "tuning") else f"{name.rpartition('.')[2]} {_number(value)}"


def curve_named(curves: Iterable[str], name: str, option: str) -> str:
    """The curve of this name, or whose value this is.

    Args:
        curves: All.
        name: What the user says, such as ``128`` for ``batch_size 128``.
        option: Of the command line.

    Raises:
        ReportError: where there is none, with the nearest one.
    """
    known = list(dict.fromkeys(curves))
    for curve in known:
        if name in (curve, curve.rpartition(" ")[2]):
            return curve
    raise ReportError(f"{option}: no curve {name!r} here" + nearest(name, known))
