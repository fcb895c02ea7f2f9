"""What a trial costs the driver, and whether that grows with their number: real Ray Tune, and trials that are done.

    .venv/bin/python benchmarks/scheduling/driver_scale.py [trials]
    .venv/bin/python benchmarks/scheduling/driver_scale.py [trials] queue

Every trial is put on the agenda, and then its record into the store, so that the worker that gets it finds nothing to
do: what is left is what Ray, the agenda, the store and MLflow's absence cost. One slot: for a second Tune would start
workers that it takes away before their first such trial. Milliseconds a trial and the driver's resident memory, quarter
by quarter.

Measured on two cores of an AMD EPYC that other programs used too, 4,000 trials:

    trials  ms a trial  driver, MiB
      1000        19.7          727
      2000        20.4          736
      3000        20.7          739
      4000        18.7          745

So some 6 KiB a trial stay with the driver, Tune's own account of each. As long as the trials that have ended stayed in
Tune's list, through which it walks at each step, it was 22 KiB, and a trial took ever longer: 27 ms of the first
thousand, 36 to 40 of the fourth.

With ``queue`` the trials end at once in this process, without Ray, store or MLflow: what stays is what the queue and
the progress keep. 10,000 of them, under a load of 18, once: 728.9 MiB before the first and after each quarter.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import psutil

from tailboard.benchmarks.machine_load import say_load
from tailboard.harness.monitoring.progress import RunProgress
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.scheduling.observer import RunObserver
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.ray_tune import run_jobs
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Spec, Trial, plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training.cost import estimate_flops
from tailboard.harness.training.failures import timeout_record
from tailboard.harness.training.trial import TrialContext

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "the driver's memory, and its time for a trial that is done, after 1,000 and 4,000 of them, with Ray",
        "727 and 745 MiB; 20 and 19 ms",
        "4000",
        "2 cores of an AMD EPYC, beside other programs",
    ),
    (
        "the driver's memory before and after 10,000 trials that end at once in its queue and progress, without Ray",
        "729 MiB, 729 MiB",
        "10000 queue",
        "one core of an AMD EPYC under a load of 18",
    ),
)


class Quarters(RunObserver):
    """An observer that prints the time and the memory whenever a quarter is done."""

    def __init__(self, trials: int) -> None:
        self._size, self._done = trials // 4, 0
        self._since = 0.0

    def on_trial_start(self, trial: Trial) -> None:
        self._since = self._since or time.perf_counter()  # Ray is up by then

    def on_trial_end(self, record: Record) -> None:
        self._done += 1
        if self._done % self._size == 0:
            spent = time.perf_counter() - self._since
            rss = psutil.Process().memory_info().rss / 2**20
            print(f"{self._done:8} {1000 * spent / self._size:11.1f} {rss:11.0f}", flush=True)
            self._since = time.perf_counter()


def spec_of(trials: int) -> Spec:
    """One method on so many seeds."""
    return parse(
        {
            "name": "scale",
            "data": {"name": "fashion-mnist-mini", "imbalance_factor": 100},
            "methods": "ERM",
            "network": "small",
            "training": {"epochs": 1},
            "seeds": trials,
        }
    )


def main(trials: int) -> None:
    spec = spec_of(trials)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        agenda = JobQueue(store)
        fill_queue(agenda, RunRequest(spec), None, Quarters(trials))
        for trial in plan(spec):
            store.write_record(timeout_record(trial, "stands for any record"))
        print(f"{'trials':>8} {'ms a trial':>11} {'driver, MiB':>11}")
        run_jobs(agenda, TrialContext(str(store)), spec.resources, Quarters(trials), slots=1)


def queue_alone(trials: int) -> None:
    """The driver's memory while trials end at once in its queue and its progress."""
    spec = spec_of(trials)
    with tempfile.TemporaryDirectory() as folder:
        queue = JobQueue(Store(Path(folder)))
        fill_queue(queue, RunRequest(spec), None, Quarters(trials))
        progress = RunProgress(spec.shots, lambda trial: estimate_flops(trial, {}))
        progress.add(spec, {})
        for ended in range(trials + 1):
            if ended % (trials // 4) == 0:
                print(f"{ended:8} {psutil.Process().memory_info().rss / 2**20:11.1f} MiB", flush=True)
            if job := queue.pop():
                progress.start(job.trial)
                progress.epoch(job.trial, 0)
                record = timeout_record(job.trial, "stands for any record")
                queue.complete(job, record)
                progress.end(record)


if __name__ == "__main__":
    say_load()
    (queue_alone if "queue" in sys.argv else main)(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
