"""A trial that was trained again, compared with what a bundle claims of it.

On the same kind of machine a CPU gives the same bits. Elsewhere, and on a GPU, a repetition is taken for one more seed:
its balanced accuracy must lie as close to the claim as the other seeds of the cell allow; by how much is worked out in
``leaderboard/statistics/repetition.py``. What does not depend on rounding (images, values) must be equal anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any, Literal

from ...leaderboard.results import CELL
from ...leaderboard.statistics.repetition import image_error, tolerance
from ..metrics.shots import shot_means
from ..reporting import gather
from ..spec.labels import label
from ..storage.record import Provenance, Record
from ..storage.store import Store
from ..training.failures import TIMEOUT_REASON, is_out_of_memory
from .bundle import Bundle
from .record_checks import installed, later_values

MACHINE = ("system", "processor", "instruction_set", "threads", "device", "gpu", "cuda")
VERSIONS = ("tailboard", "torch", "torchvision", "numpy")  # of packages that a trial's numbers go through
UNRELATED = ("ray", "optuna", "mlflow")  # packages of every record that no trial's numbers go through
ABSENT = "ModuleNotFoundError", "ImportError"
OVERDUE = "TimeLimit: "  # begins the reason of a trial that ran out of time
FEW_SEEDS = "its other seeds are too few, or spread too far, to judge by"
Verdict = Literal["same", "differs", "not judged"]
PREDICTIONS = ("last_ema", "last", "labels")


@dataclass(frozen=True)
class Repetition:
    """One trial trained again. ``rule`` says how it was compared, ``differences`` what does not hold by it."""

    key: str
    label: str
    verdict: Verdict
    rule: str
    differences: tuple[str, ...] = ()


def elsewhere(claimed: Record, again: Record) -> list[str]:
    """In what the machine, or what runs on it, is not that of the claim; that a GPU promises no bits is said too.

    Args:
        claimed: The bundle's record.
        again: That of the repetition.

    Returns:
        The differences, in words.
    """
    libraries = installed(claimed).keys() & installed(again).keys()  # of a table's trial; older records name none
    names = (*VERSIONS, *sorted(libraries - {*VERSIONS, *UNRELATED}))
    before, now = _facts(claimed, names), _facts(again, names)
    found = [f"{name} {before[name]} there, {now[name]} here" for name in before if before[name] != now[name]]
    return found or (["on a GPU the same bits are not promised"] if now["device"] != "cpu" else [])


def _facts(record: Record, names: Sequence[str]) -> dict[str, str]:
    """The machine, and the versions of the packages of these names."""
    packages = installed(record)
    found = {name: record.environment.get(name) for name in MACHINE} | {name: packages.get(name) for name in names}
    return {name: str(value) for name, value in found.items()}


class Judge:
    """Compares a claim with its repetition; ``comparisons``: how many of the trials another machine repeats here."""

    def __init__(self, bundle: Bundle, store: Store, comparisons: int) -> None:
        self._bundle, self._store, self._comparisons = bundle, store, comparisons
        self._rows, self._by = gather.gather([bundle], defaults=True).rows, bundle.plans()[0].shots

    def repetition(self, claimed: Record, repeated: Record | None) -> Repetition:
        """What a claim and its repetition come to; there is none of what could not be trained."""
        identity = claimed.key, label(claimed.trial)
        if repeated is None and claimed.reason.startswith(TIMEOUT_REASON):
            return Repetition(*identity, "not judged", f"it would hang here too, if that is true: {claimed.reason}")
        if repeated is None:
            return Repetition(*identity, "not judged", "the trial whose network it starts from did not end well here")
        apart = elsewhere(claimed, repeated)
        if repeated.status != claimed.status or repeated.status != "complete":
            return Repetition(*identity, *_ends(claimed, repeated, apart))
        fixed = tuple(_fixed(claimed, repeated))
        if not apart:
            found = fixed + tuple(self._bits(claimed.key)) + tuple(self._moved(claimed, repeated))
            return Repetition(
                *identity, "differs" if found else "same", "the same kind of machine: the same bits", found
            )
        before, now = (shot_means(record, self._by)["all"] for record in (claimed, repeated))
        limit, where = self._limit(claimed), f"another machine ({'; '.join(apart)})"
        if not limit < max(before, 100 - before):  # NaN too
            rule = f"{where}: All {before:.2f} and now {now:.2f}, but {FEW_SEEDS}"
            return Repetition(*identity, "differs" if fixed else "not judged", rule, fixed)
        rule = f"{where}: All {before:.2f} and now {now:.2f}, which may differ by {limit:.2f} as the other seeds spread"
        beyond = (f"All: claimed {before:.2f}, now {now:.2f}",) if abs(before - now) > limit else ()
        return Repetition(*identity, "differs" if fixed or beyond else "same", rule, (*fixed, *beyond))

    def _bits(self, key: str) -> Iterator[str]:
        before, now = self._bundle.arrays(key), self._store.arrays(key)
        for name in PREDICTIONS:
            if before[name].shape != now[name].shape:
                yield f"{name}: claimed of shape {before[name].shape}, now {now[name].shape}"
            elif other := int((before[name] != now[name]).reshape(len(now[name]), -1).any(axis=1).sum()):
                yield f"{name}: others for {other} of {len(now[name])} images"

    def _moved(self, claimed: Record, again: Record) -> Iterator[str]:
        before, now = shot_means(claimed, self._by), shot_means(again, self._by)
        yield from (f"{g}: claimed {before[g]!r}, now {now[g]!r}" for g in before if before[g] != now.get(g))

    def _limit(self, claimed: Record) -> float:
        """How far balanced accuracy may be from the claim, in percentage points."""
        rows = self._rows[self._rows["group"] == "all"]
        shown = rows[rows["key"] == claimed.key]
        if shown.empty:  # others start from it, and no row shows it
            return nan
        mine = shown.iloc[0]
        cell = (rows[CELL] == [mine[name] for name in CELL]).all(axis=1) & (rows["seed"] != mine["seed"])
        least = image_error(claimed.accuracy["last_ema"], claimed.test_counts)
        return tolerance(rows.loc[cell, "value"].dropna().tolist(), least, self._comparisons)


def _ends(claimed: Record, repeated: Record, apart: Sequence[str]) -> tuple[Verdict, str, tuple[str, ...]]:
    """Of a trial that did not end well there or here: a failure that now succeeds differs, and the reverse. What time
    and memory are enough for is the machine's, and where rounding differs, so may be what a loss that is near to
    diverging comes to."""
    ends = tuple(f"status: {when} {_end(record)}" for when, record in (("claimed", claimed), ("now", repeated)))
    if claimed.status == repeated.status and (claimed.status == "diverged" or _kind(claimed) == _kind(repeated)):
        return "same", f"the same end: {_end(repeated)}", ()
    if repeated.status == "failed" and repeated.reason.startswith(ABSENT):
        return "not judged", "what its method needs is not installed here", ends
    if claimed.status == repeated.status:
        return "not judged", "both failed, but not alike", ends
    if any(record.reason.startswith(OVERDUE) or is_out_of_memory(record.reason) for record in (claimed, repeated)):
        return "not judged", "what time and memory are enough for is the machine's", ends
    if apart and claimed.status == "diverged" and repeated.status == "complete":
        return "not judged", f"another machine ({'; '.join(apart)}): other rounding may not diverge", ends
    return "differs", "the same end", ends


def _kind(record: Record) -> str:
    """The class of the exception: its message may name times and places."""
    return record.reason.partition(":")[0]


def _end(record: Record) -> str:
    return ": ".join(filter(None, [record.status, record.reason])) + f" after {record.train_seconds:.2g} s of training"


def _fixed(claimed: Record, again: Record) -> Iterator[str]:
    """What rounding cannot move."""
    for name in ("counts", "test_counts", "data", "values"):
        before, now = getattr(claimed, name), getattr(again, name)
        if name == "values":
            silent = later_values(claimed)
            now = {each: value for each, value in now.items() if each not in silent}
        if json.dumps(_plain(before), sort_keys=True) != json.dumps(_plain(now), sort_keys=True):
            yield f"{name}: claimed {before}, now {now}"


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, Provenance) else value
