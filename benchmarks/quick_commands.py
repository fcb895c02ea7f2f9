"""Processor time of the quick commands, and of importing the package, against what each may take.

    .venv/bin/python benchmarks/quick_commands.py

A line each: seconds (the least of several, user and system), the limit, their ratio, and memory. The report and status
are those of a store with two methods, five seeds and made-up records.

Measured on 2 quiet cores of an AMD EPYC, 57 to 688 MiB:

    command                                             s  limit  ratio
    import tailboard, beyond Python's own start     0.004   0.05   0.08
    --help                                          0.097   0.15   0.65
    list specs                                      0.477   0.50   0.95
    list datasets                                   0.454   0.50   0.91
    list networks                                   0.450   0.50   0.90
    data profile cifar100 --imbalance-factor 100    0.405   0.50   0.81
    report STORE                                    0.985   1.50   0.66
    status STORE                                    0.438   1.50   0.29

The plan was measured later, on the same cores beside a load of 12, where the lists took a third longer:

    list specs                                      0.656   0.50   1.31
    plan quickstart, its methods for the first time  2.643   1.50   1.76
    plan quickstart                                 0.728   1.50   0.49

A plan builds each method once, for which it imports torch. Those that passed are remembered under the hash of the code
that checked them (``harness/planning/passed_checks.py``), so that the next plan of them imports no torch. What every
command costs and torch come to nine tenths of the first: no plan that imports torch meets the limit here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tailboard.benchmarks.machine_load import say_load
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "`tailboard --help`, `list specs`, a small `report`, processor time",
        "0.10 s, 0.48 s, 0.99 s",
        "",
        "2 quiet cores of an AMD EPYC",
    ),
    (
        "`plan` of methods that were checked before and, beside it, `list specs`, processor time",
        "0.73 s, 0.66 s; 2.6 s the first time, when it builds them",
        "",
        "the same under a load of 12",
    ),
)

REPEATS = 3
SPEC = {
    "name": "small",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", "SAM-A"],
    "network": "small",
}
COUNTS = (60, 46, 35, 27, 21, 16, 12, 10, 7, 6)
TAILBOARD = str(Path(sys.executable).with_name("tailboard"))
FIRST = ", its methods for the first time"  # of a command: nothing is in the cache
LIMITS = {
    "--help": 0.15,
    "list specs": 0.5,
    "list datasets": 0.5,
    "list networks": 0.5,
    "data profile cifar100 --imbalance-factor 100": 0.5,
    f"plan quickstart{FIRST}": 1.5,
    "plan quickstart": 1.5,
    "report STORE": 1.5,
    "status STORE": 1.5,
}


def seconds(command: list[str], cache: str) -> tuple[float, int]:
    """Processor time of a command and its children, the least of several; and its resident memory in MiB.

    Args:
        command: Its words.
        cache: The folder of tailboard's cache; where it is empty, each repeat has a new one.
    """
    times, memory = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as new:
            process = subprocess.Popen(
                command, stdout=subprocess.DEVNULL, env=os.environ | {"XDG_CACHE_HOME": cache or new}
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        times.append(usage.ru_utime + usage.ru_stime)
        memory.append(usage.ru_maxrss // 1024)
    return min(times), min(memory)


def filled(folder: Path) -> Store:
    """A store whose trials are all complete."""
    store, spec = Store(folder), parse(SPEC)
    store.write_plan(spec)
    for trial in plan(spec):
        accuracy = tuple(10.0 * label + trial.seed for label in range(10))
        store.write_record(
            Record(key=trial.key, trial=trial, status="complete", counts=COUNTS, accuracy={"last_ema": accuracy})
        )
        store.mark_tracked(trial.key, {})
    return store


def main() -> None:
    say_load()
    print(f"{'command':46} {'s':>6} {'limit':>6} {'ratio':>6} {'MiB':>5}")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        store = filled(Path(folder))
        nothing, _ = seconds([sys.executable, "-c", "pass"], cache)
        took, memory = seconds([sys.executable, "-c", "import tailboard"], cache)
        lines = [("import tailboard, beyond Python's own start", max(0.0, took - nothing), 0.05, memory)]
        for command, limit in LIMITS.items():
            first = command.endswith(FIRST)
            words = command.removesuffix(FIRST).replace("STORE", str(store)).split()
            took, memory = seconds([TAILBOARD, *words], "" if first else cache)
            lines.append((command, took, limit, memory))
    for command, took, limit, memory in lines:
        print(f"{command:46} {took:6.3f} {limit:6.2f} {took / limit:6.2f} {memory:5}")


if __name__ == "__main__":
    main()
