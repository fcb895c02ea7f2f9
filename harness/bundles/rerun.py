"""``tailboard verify --rerun``: trials of a bundle are drawn and trained again; ``repetition.py`` compares them."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch

from ..errors import Untrusted
from ..planning.dependencies import Dependencies, resolve_dependencies
from ..planning.prepare import check_files
from ..spec.labels import label
from ..spec.schema import PROTOCOL
from ..storage import paths
from ..storage.record import Record
from ..storage.store import Store
from ..storage.temporary import temporary_folder
from ..training.failures import TIMEOUT_REASON
from ..training.job import Job, TrialContext, record_of
from ..training.trial import run_trial
from .bundle import Bundle
from .manifest import keys
from .record_checks import installed
from .repetition import OVERDUE, Judge, Repetition, elsewhere


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
        store, about = Store(folder), TrialContext(str(folder), root=root, verify=verify, plugins=plugins)
        again = dict(_trained(worker, dependencies, store, claimed, about, limits, say))
        loose = sum(bool(elsewhere(record, again[key])) for key, record in claimed.items() if key in again)
        judge = Judge(bundle, store, loose)
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
        if (found := record_of(Job.of(trial), store)) is not None:  # it was trained with another seed
            yield trial.key, found
            continue
        say(f"training {number} of {len(dependencies.trials)}: {label(trial)} ...")
        there = claimed.get(trial.key) or next(iter(claimed.values()))
        gpu = there.environment.get("device") == "cuda" and torch.cuda.is_available()
        limit = limits.get(trial.key) if there.reason.startswith(OVERDUE) else None
        job = Job.of(trial, keep_weights=trial.key in dependencies.prerequisite_keys)
        yield trial.key, worker.submit(run_trial, job, replace(about, gpu=gpu, time_limit=limit, alone=True)).result()


def _ended_well(key: str, store: Store) -> bool:
    return store.has(paths.record(key)) and store.result(key).status == "complete"
