"""``tailboard verify --rerun``: trials of a bundle trained again, and compared with what it claims of them.

On the same kind of machine a CPU gives the same bits. Elsewhere, and on a GPU, a repetition is taken for one more seed:
its balanced accuracy must lie as close to the claim as the other seeds of the cell allow; by how much is worked out in
``leaderboard/statistics/repetition.py``. What does not depend on rounding (images, values) must be equal anywhere.
"""

from __future__ import annotations

import json
import multiprocessing
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path
from typing import Any, Literal

import torch

from ...leaderboard.results import CELL
from ...leaderboard.statistics.repetition import image_error, tolerance
from ..errors import Untrusted
from ..metrics.shots import shot_means
from ..planning.dependencies import Dependencies, resolve_dependencies
from ..planning.prepare import check_files
from ..reporting import gather
from ..spec.labels import label
from ..spec.schema import PROTOCOL
from ..storage import paths
from ..storage.record import Provenance, Record
from ..storage.store import Store
from ..storage.temporary import temporary_folder
from ..training.failures import TIMEOUT_REASON, is_out_of_memory
from ..training.job import Job
from ..training.trial import TrialContext, run_trial
from .bundle import Bundle
from .manifest import keys
from .record_checks import installed

MACHINE = ("system", "processor", "instruction_set", "threads", "device", "gpu", "cuda")
VERSIONS = ("tailboard", "torch", "torchvision", "numpy")  # of packages that a trial's numbers go through
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


def sample_trials(bundle: Bundle, count: int, seed: int) -> list[Record]:
    """Reported trials of a bundle, drawn at random. Those that are said to have failed are among them: whoever calls
    the worst seeds failed has better ones left.

    Args:
        bundle: What is drawn from.
        count: How many are drawn; all where there are no more.
        seed: Of the draw.

    Returns:
        Their records.
    """
    reported = [key for key in sorted(bundle.finished()) if bundle.record(key).trial.stage == "report"]
    chosen = random.Random(seed).sample(reported, min(count, len(reported)))  # noqa: S311  (no secret)
    return [bundle.record(key) for key in chosen]


def plugins_of(bundle: Bundle, chosen: Sequence[Record]) -> dict[str, str]:
    """The plugins that trials are made of; what they start from is of no plugin (see ``schema.prerequisite``).

    Args:
        bundle: Where they are.
        chosen: The trials' records.

    Returns:
        The text of each, by its SHA-256.
    """
    asked = {record.trial.method.plugin for record in chosen}
    return {digest: text for spec in bundle.plans() for digest, text in spec.plugins.items() if digest in asked}


def check_trust(bundle: Bundle, chosen: Sequence[Record], trusted: bool) -> list[str]:
    """What is to be said of the code that is about to run.

    Args:
        bundle: What is run again.
        chosen: The trials.
        trusted: Whether the user lets plugins of the bundle run.

    Returns:
        A line for each plugin.

    Raises:
        Untrusted: where the trials have plugins and nobody vouches for them.
    """
    methods: dict[str, set[str]] = {}
    for method in (record.trial.method for record in chosen):
        if method.plugin:
            methods.setdefault(method.plugin, set()).add(method.name)
    plugins = [f"{paths.plugin(digest)} ({', '.join(sorted(names))})" for digest, names in sorted(methods.items())]
    if plugins and not trusted:
        raise Untrusted(
            f"--rerun would run code that the bundle brings, as you: {'; '.join(plugins)}. Read it (unzip -p {bundle} "
            f"'plugins/*'), then say --trust-plugins, with the same --seed"
        )
    return plugins


def rerun(
    bundle: Bundle, chosen: Sequence[Record], root: Path | None, verify: bool, say: Callable[[str], None]
) -> Iterator[Repetition]:
    """Train trials again, each after those that it starts from, in a store of their own that is gone afterwards. Of
    those it starts from, what the bundle claims is compared too.

    Args:
        bundle: What is checked.
        chosen: The trials. One of another protocol is not trained: the same words give other numbers here.
        root: The folder that holds the data.
        verify: Refuse data whose checksums are not the official ones.
        say: Is told in lines what is trained.

    Returns:
        What came of each trial.

    Raises:
        DataError: where the data are not here.
    """
    yield from map(_of_another_protocol, (one for one in chosen if one.trial.protocol != PROTOCOL))
    chosen = [record for record in chosen if record.trial.protocol == PROTOCOL]
    if not chosen:
        return
    plugins = plugins_of(bundle, chosen)
    limits = {key: spec.resources.time_limit for spec in bundle.plans() for key in keys(spec, bundle)}
    with temporary_folder() as folder, _process() as worker:
        dependencies = worker.submit(resolve_dependencies, [record.trial for record in chosen], plugins).result()
        check_files(dependencies.trials, root, verify)
        claimed = {t.key: bundle.record(t.key) for t in dependencies.trials if bundle.has(paths.record(t.key))}
        store, about = (
            Store(folder),
            TrialContext(str(folder), root=root, verify=verify, plugins=plugins),
        )
        again = dict(_trained(worker, dependencies, store, claimed, about, limits, say))
        loose = sum(bool(elsewhere(record, again[key])) for key, record in claimed.items() if key in again)
        judge = _Judge(bundle, store, loose)
        yield from (judge.repetition(record, again.get(key)) for key, record in claimed.items())


def _of_another_protocol(record: Record) -> Repetition:
    made, by = record.trial.protocol, installed(record).get("tailboard", "of that protocol")
    rule = (
        f"made under protocol {made}, and this version trains under protocol {PROTOCOL}, whose numbers are others: "
        f"tailboard {by}, which made it, can repeat it"
    )
    return Repetition(record.key, label(record.trial), "not judged", rule)


@contextmanager
def _process() -> Iterator[Executor]:
    """A process in which methods run, since this one has read the labels that the bundle holds. It ends with the block,
    and at once where an error or a signal ends that. OSError where it dies."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as worker:
        try:
            yield worker
        except BrokenProcessPool as error:
            raise OSError("the process that trains again died; its memory may have run out") from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.kill()
            raise


def _trained(
    worker: Executor,
    dependencies: Dependencies,
    store: Store,
    claimed: Mapping[str, Record],
    about: TrialContext,
    limits: Mapping[str, float | None],
    say: Callable[[str], None],
) -> Iterator[tuple[str, Record]]:
    """Each that can be: not one whose start did not end well here. A time limit holds for what is said to have run
    into it; another trial may take as long as it likes, on a machine that may be slower."""
    for number, trial in enumerate(dependencies.trials, start=1):
        if not all(_ended_well(key, store) for key in dependencies.of.get(trial.key, ())):
            continue
        if trial.key in claimed and claimed[trial.key].reason.startswith(TIMEOUT_REASON):  # here nobody would stop it
            continue
        say(f"training {number} of {len(dependencies.trials)}: {label(trial)} ...")
        there = claimed.get(trial.key) or next(iter(claimed.values()))
        gpu = there.environment.get("device") == "cuda" and torch.cuda.is_available()
        limit = limits.get(trial.key) if there.reason.startswith(OVERDUE) else None
        job = Job.of(trial, keep_weights=trial.key in dependencies.prerequisite_keys)
        yield trial.key, worker.submit(run_trial, job, replace(about, gpu=gpu, time_limit=limit, alone=True)).result()


def _ended_well(key: str, store: Store) -> bool:
    return store.has(paths.record(key)) and store.result(key).status == "complete"


def elsewhere(claimed: Record, again: Record) -> list[str]:
    """In what the machine, or what runs on it, is not that of the claim; that a GPU promises no bits is said too.

    Args:
        claimed: The bundle's record.
        again: That of the repetition.

    Returns:
        The differences, in words.
    """
    before, now = _facts(claimed), _facts(again)
    found = [f"{name} {before[name]} there, {now[name]} here" for name in before if before[name] != now[name]]
    return found or (["on a GPU the same bits are not promised"] if now["device"] != "cpu" else [])


def _facts(record: Record) -> dict[str, str]:
    packages = installed(record)
    found = {name: record.environment.get(name) for name in MACHINE} | {name: packages.get(name) for name in VERSIONS}
    return {name: str(value) for name, value in found.items()}


class _Judge:
    """Compares a claim with its repetition; ``comparisons``: how many of the trials another machine repeats here."""

    def __init__(self, bundle: Bundle, store: Store, comparisons: int) -> None:
        self._bundle, self._store, self._comparisons = bundle, store, comparisons
        self._rows, self._by = gather.gather([bundle], defaults=True).rows, bundle.plans()[0].shots

    def repetition(self, claimed: Record, repeated: Record | None) -> Repetition:
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
        if json.dumps(_plain(before), sort_keys=True) != json.dumps(_plain(now), sort_keys=True):
            yield f"{name}: claimed {before}, now {now}"


def _plain(value: Any) -> Any:
    return value.model_dump() if isinstance(value, Provenance) else value
