"""A whole search with a stand-in for the training: its store, its study, and a driver that may be killed."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from tailboard.harness.planning.reported import reported_trials
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.registry.datasets import long_tail
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Spec, Trial
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job, record_of
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.configuration import Configuration
from tailboard.harness.tuning.dimension import Dimension
from tailboard.harness.tuning.optuna_study import create_study
from tailboard.harness.tuning.results import SearchResult
from tailboard.harness.tuning.search import Search, searches
from tailboard.methods.range import Range

RAW = {
    "name": "t",
    "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60},
    "methods": ["SAM-A"],
    "network": "small",
    "training": {"epochs": 8, "batch_size": 32},
    "seeds": 2,
}


def spec_of(tune: Mapping[str, Any] | None = None, **changes: Any) -> Spec:
    return parse(RAW | changes | {"tune": {"trials": 8, "parameters": "all"} | dict(tune or {})})


def fraction(*words: object) -> float:
    """A number in [0, 1) that looks random and is a function of the words."""
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:6]) / 2**48


# What is proposed


def dimension(default: Any, *interval: Any, **words: Any) -> Dimension:
    return Dimension(Range(*interval, **words), default)


MIXED = {
    "step.rho": dimension(0.05, 0.01, 1.0, log=True),
    "extra.lambda": dimension(25.0, 1.0, 200.0, log=True),
    "loss.gamma": dimension(1.0, 0.0, 3.0),
    "head.width": dimension(8, 4, 64, log=True),
    "mixer.beta": dimension(0.999, choices=(0.9, 0.99, 0.999)),
}
SMALL = {"a.x": dimension(2, choices=(1, 2, 3)), "b.y": dimension("left", choices=("left", "right"))}


class Killed(Exception):
    """The process died at this moment."""


class Memory(optuna.storages.InMemoryStorage):
    """A storage that outlives its process: what was written stays, and ``left`` writes later the process dies."""

    left = math.inf

    def _write(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed


def _mortal(name: str) -> Callable[..., Any]:
    def write(self: Memory, *args: Any, **words: Any) -> Any:
        self._write()
        return getattr(optuna.storages.InMemoryStorage, name)(self, *args, **words)

    return write


for _name in ("create_new_trial", "set_study_user_attr", "set_trial_user_attr", "set_trial_intermediate_value",
              "set_trial_state_values"):  # fmt: skip
    setattr(Memory, _name, _mortal(_name))


# A whole search, with a stand-in for the training


class Lab:
    """A spec, the store that it fills, and a stand-in that leaves there what a trial's training would.

    ``score(trial, epochs)`` is the balanced accuracy after so many epochs, or ``failed`` or ``diverged``.
    """

    def __init__(self, folder: Path, spec: Spec, score: Callable[[Trial, int], float | str]) -> None:
        self.store, self.spec, self.score = Store(folder), spec, score
        self.memory = Memory()
        self.trained: Counter[str] = Counter()  # by job, in whatever process
        self.broken_trials: dict[str, str] = {}
        self.ended: list[str] = []
        self.most = 0  # at a time
        save_searches(spec, searches(spec), self.store)
        self.store.write_plan(spec)

    # what flows tell
    def on_configurations(self, search: Search, trials: list[Trial]) -> None: ...

    def on_search_end(self, search: Search, winner: Configuration | None) -> None: ...

    def on_trial_end(self, record: Record) -> None:
        self.ended.append(record.key)

    def on_abandoned(self, trial: Trial, reason: str) -> None:
        self.broken_trials[trial.key] = reason

    def train(self, job: Job) -> None:
        """What ``run_trial`` leaves of a job."""
        trial, found = job.trial, self.score(job.trial, job.target_epoch)
        about: dict[str, Any] = {
            "counts": long_tail(trial.data, trial.val_per_class),
            "train_seconds": float(job.target_epoch),
        }
        if isinstance(found, str):
            record = Record(
                key=trial.key, trial=trial, status=found, reason="it broke", epochs=job.target_epoch - 1, **about
            )
            self.store.write_record(record)
        else:
            spread = np.linspace(-1, 1, 10) * min(found, 100 - found, 9.0)
            accuracy = {"last_ema": tuple(float(value) for value in found + spread)}
            status = "complete" if job.is_final else "pruned"
            record = Record(
                key=trial.key, trial=trial, status=status, accuracy=accuracy, epochs=job.target_epoch,
                finished="2026-01-01T00:00:00+00:00", **about,
            )  # fmt: skip
            (self.store.write_record if job.is_final else self.store.write_rung)(record)
            if job.is_final and job.keep_weights:
                self.store.write_weights(trial.key, {})
        self.trained[job.id] += 1

    def drive(
        self,
        workers: int = 1,
        rng: random.Random | None = None,
        kill: float = 0.0,
        lost: Callable[[Job], bool] | None = None,
    ) -> bool:
        """Train all that there is to train, ``workers`` jobs at a time that end in any order; False where the driver
        was killed, with chance ``kill`` before and after each job's end."""
        rng = rng or random.Random(0)  # noqa: S311
        running: list[Job] = []
        agenda = JobQueue(self.store)
        try:
            fill_queue(agenda, RunRequest(self.spec), self.memory, self)
            while True:
                while len(running) < workers and (job := agenda.pop()):
                    running.append(job)
                self.most = max(self.most, len(running))
                if not running:
                    break
                job = running.pop(rng.randrange(len(running)))
                if lost and lost(job):
                    agenda.fail(job)
                    continue
                if rng.random() < kill:
                    return False
                self.train(job)
                if rng.random() < kill:
                    return False
                agenda.complete(job, record_of(job, self.store))
        except Killed:
            return False
        assert not len(agenda), "nothing runs, and something waits"
        return True

    def studies(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that is in every study, but for when it was written."""
        return {
            study.study_name: [
                (
                    t.number,
                    t.params,
                    t.state.name,
                    t.values,
                    t.intermediate_values,
                    json.dumps(t.user_attrs, sort_keys=True),
                )
                for t in optuna.load_study(study_name=study.study_name, storage=self.memory).trials
            ]
            for study in optuna.get_all_study_summaries(self.memory)
        }

    def tuned(self) -> list[SearchResult]:
        found = []
        for search in searches(self.spec).values():
            study = create_study(self.memory, search.name)
            configurations = tuple(study.configurations()[: self.spec.tune.trials])
            found.append(SearchResult(search, configurations, {}, study.exhausted))
        return found

    def only(self) -> SearchResult:
        (found,) = self.tuned()
        return found

    def reported(self) -> set[str]:
        """The trials that the report shows and the store has."""
        found = {one.search.experiment.canonical: one for one in self.tuned()}
        return {one.trial.key for one in reported_trials(self.spec, found) if not one.why} & self.store.finished()


def bumpy(trial: Trial, until: int) -> float | str:
    """Any values, some of which diverge or break, and one of which is best after some epochs and not after others."""
    values = [*sorted(trial.method.values.items()), trial.training.lr, trial.training.weight_decay]
    fate = fraction("fate", values)
    if trial.method.values and fate < 0.15:
        return "diverged" if fate < 0.1 or until < 4 else "failed"
    return round(20 + 50 * fraction(values) + 5 * until / 8 + 5 * fraction(values, until, trial.seed), 6)


def next_of(agenda: JobQueue, lab: Lab, keys: set[str]) -> Job | None:
    """The next job of these trials, when all before it are done."""
    while (job := agenda.pop()) is not None:
        lab.train(job)
        agenda.complete(job, record_of(job, lab.store))
        if job.trial.key in keys:
            return job
    return None
