"""How well a cluster of 512 slots is filled, and what a trial costs the driver: the agenda on a simulated clock.

    .venv/bin/python benchmarks/scheduling/packing.py [trials] [slots]

Ten thousand trials of nine methods and three long tails, whose true durations are their estimated work times a random
factor that the agenda does not know (log-normal, sigma 0.3); every ninth starts from another's network. Nothing is
trained and Ray is not there: what is simulated is the order in which trials are handed out. The ideal is the larger of
all work divided by the slots and the longest chain of trials that can only follow each other.

Measured on one busy core of an AMD EPYC, with tracemalloc on:

    trials  packing  ms a trial  KiB a trial
      2511    1.000        1.42          3.9
      5022    0.967        1.55          3.8
     10017    0.981        2.42          3.8

Earlier on the same machine, with less beside it, the last two took 1.45 and 1.52 ms.
"""

from __future__ import annotations

import heapq
import random
import sys
import time
import tracemalloc
from types import SimpleNamespace
from typing import Any

from tailboard.benchmarks.machine_load import say_load
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.registry.methods import recipe_of
from tailboard.harness.scheduling.observer import RunObserver
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Spec, prerequisite
from tailboard.harness.storage.store import Store
from tailboard.harness.training.cost import estimate_flops
from tailboard.harness.training.job import Job

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "512 simulated slots filled with 10,000 trials, over the ideal",
        "0.98",
        "",
        "one busy core of an AMD EPYC",
    ),
)

METHODS = ["ERM", "Reweighting", "Resampling", "Focal Loss", "LDAM-DRW", "M2m", "SAM-A", "Joint-SSL + SAM-A",
           "Joint-SSL + SAM-A + M2m"]  # fmt: skip
FACTORS = [10, 50, 100]


class Done(Store):
    """A store of finished trials that holds their keys only: the agenda asks for nothing else."""

    def __init__(self) -> None:
        super().__init__("memory://packing")
        self.ended: set[str] = set()

    def finished(self) -> set[str]:
        return set(self.ended)

    def has(self, name: str) -> bool:
        return name.rpartition("/")[2].partition(".")[0] in self.ended

    def record(self, key: str) -> Any:
        return SimpleNamespace(key=key, status="complete")

    result = record


class Silent(RunObserver):
    """An observer that does nothing with what it is told."""


def spec_of(trials: int) -> Spec:
    return parse(
        {
            "name": "packing",
            "data": [{"name": "cifar100", "imbalance_factor": factor} for factor in FACTORS],
            "methods": METHODS,
            "network": "resnet32",
            "training": {"preset": "t5"},
            "seeds": -(-trials // (len(METHODS) * len(FACTORS))),
        }
    )


def simulated(trials: int, slots: int) -> dict[str, float]:
    """How near the makespan is to the ideal, and what a trial cost the driver in time and memory."""
    spec, rng, store = spec_of(trials), random.Random(0), Done()  # noqa: S311
    tracemalloc.start()
    begun = time.perf_counter()
    agenda = JobQueue(store)
    fill_queue(agenda, RunRequest(spec), None, Silent())
    running: list[tuple[float, int, Job]] = []
    now = busy = 0.0
    handed, chains = 0, {}  # how long each trial took with those that it had to wait for
    while len(agenda) or running:
        while len(running) < slots and (job := agenda.pop()):
            seconds = estimate_flops(job.trial, {}) * rng.lognormvariate(0, 0.3)
            handed, busy = handed + 1, busy + seconds
            before = [prerequisite(job.trial, name).key for name in recipe_of(job.trial, {}).needs()]
            chains[job.trial.key] = seconds + max((chains[key] for key in before), default=0.0)
            heapq.heappush(running, (now + seconds, handed, job))
        now, _, job = heapq.heappop(running)
        store.ended.add(job.trial.key)
        agenda.complete(job, store.record(job.trial.key))
    spent = time.perf_counter() - begun
    kept = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    ideal = max(busy / slots, *chains.values())
    return {"trials": handed, "packing": ideal / now, "ms": 1000 * spent / handed, "KiB": kept / 1024 / handed}


def main(trials: int, slots: int) -> None:
    say_load()
    simulated(27, slots)  # imports, and the operations of each network, which are counted once
    print(f"{'trials':>8} {'packing':>8} {'ms a trial':>11} {'KiB a trial':>12}")
    for number in (trials // 4, trials // 2, trials):
        found = simulated(number, slots)
        print(f"{found['trials']:8} {found['packing']:8.3f} {found['ms']:11.2f} {found['KiB']:12.1f}", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(*map(int, [*given, *("10000", "512")[len(given) :]]))
