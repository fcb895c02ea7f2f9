"""What is not training costs: ``tailboard run`` beside a bare Ray and a bare Tune, whose tasks sleep as long as the
trials took.

    .venv/bin/python benchmarks/scheduling/bare_ray.py [trials] [epochs] [JSON file]

All three run so many tasks on two slots, one after the other. Of each the processor seconds of every process that is no
worker are counted (the command itself with all its threads, the raylet, the GCS, the log monitor, the agents, and what
looks at the data before), read from the system three times a second: what a process did after it was last seen is lost.
A trial's own processes, its worker and the one that scores, are the training; of the other two the workers are left
out too. The bare Ray starts without its dashboard, as a run's does, and makes an actor for each task. The bare Tune is
Ray's own way to most of what a run does: its trials report as often as ours, and Ray's callback logs them to MLflow, in
a SQLite file, with as many parameters.

It prints the seconds by process and their ratios (the goal is 1.5 times the bare Ray's). Ideal is what the trials took
with loading and scoring, packed on the slots without a gap: the wall time from the first trial's begin to the last
one's end stands over that (the goal is 1.05 with trials of 20 s, 1.14 with 1 s), and so does that of the whole command.
And how long after the start of the command the first trial and the first task began (the goal is 3 s later); a trial
began so many seconds before its record's file was written as it took. It says how busy the machine was before: seconds
of the wall mean little where it was.

The first run after a change of the code builds the methods once more, counts operations and lays out MLflow's tables,
which later ones take from the cache: run it with ``2 1`` before.

Measured on the quiet machine, of 45 trials of 1.7 s (``45 3``), once: 10.7 s beside the workers; the bare Ray took
5.9 s and the bare Tune 22.7 s, so 1.81 and 3.83 times the bare Ray's. Of the run's 10.7 s the command took 7.5 (the
bare Ray's 1.2, the bare Tune's 19.3). The trials' wall over ideal was 1.02 (1.33, 1.25), the command's 1.27 (1.46,
1.51); the first trial began 6.3 s after the command, the first task of the bare Ray 3.2 s and that of the bare Tune
7.1 s. The goal of 1.5 is not met: the same bare Tune without MLflow takes 7.2 s beside its workers, which leaves less
than 2 s of the 8.9 that it allows, and MLflow's client alone took 2.8 s of the command's processor time: 1.3 s to be
imported and to open its database, 1.5 s to be told of the 45 trials. Of 12 trials of 20 s (``12 50``), just after other
work had ended: 1.61 (12.6 s over 7.8 s), a bare Tune 12.5; the trials' wall over ideal 1.00 (1.03, 1.41), the command's
1.09 (1.08, 1.52).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from driver_cost import WORKERS, kind_of

from tailboard.benchmarks.machine_load import say_load
from tailboard.harness.storage import paths
from tailboard.harness.storage.store import Store
from tailboard.harness.tracking.mlflow_runs import parameters

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "processor time of all that is not training over a bare Ray's that runs as many sleeping tasks",
        "1.81 (10.7 s over 5.9 s; 45 trials of 1.7 s on 2 slots); a bare Tune with Ray's callback for MLflow 3.83",
        "45 3",
        "2 quiet cores of an AMD EPYC",
    ),
    (
        "wall time of 45 trials of 1.7 s over their packing without a gap",
        "1.02 (a bare Ray's tasks 1.33, a bare Tune's 1.25)",
        "45 3",
        "2 quiet cores of an AMD EPYC",
    ),
    (
        "of 12 trials of 20 s: processor time beside training over a bare Ray's, and wall time over packing",
        "1.61 (a bare Tune 12.5); 1.00 (a bare Ray 1.03, a bare Tune 1.41)",
        "12 50",
        "2 cores of an AMD EPYC, just after other work",
    ),
    (
        "from the start of the command to the first of 45 trials",
        "6.3 s (a bare Ray's first task 3.2 s, a bare Tune's with Ray's callback for MLflow 7.1 s)",
        "45 3",
        "2 quiet cores of an AMD EPYC",
    ),
)

SLOTS, EVERY = 2, 0.3
TAILBOARD = Path(sys.executable).with_name("tailboard")
SPEC = """
name: driver
data: [{{name: fashion-mnist-mini, imbalance_factor: 100}}]
methods: [ERM]
network: small
training: {{epochs: {epochs}, batch_size: 64}}
seeds: {trials}
"""
BARE = """
import sys, time
import ray

ray.init(address="local", num_cpus={slots}, include_dashboard=False, log_to_driver=False, logging_level=50,
         _temp_dir=sys.argv[1])

@ray.remote(num_cpus=1)
class Sleeper:
    def work(self, seconds):
        began = time.time()
        time.sleep(seconds)
        return began, time.time()

worked, running, sleepers = [], [], {{}}
for _ in range({trials}):
    if len(running) == {slots}:
        ended, running = ray.wait(running)
        worked += ray.get(ended)
        ray.kill(sleepers.pop(ended[0]))
    sleeper = Sleeper.remote()
    task = sleeper.work.remote({seconds})
    sleepers[task] = sleeper
    running.append(task)
worked += ray.get(running)
print(min(began for began, _ in worked), max(ended for _, ended in worked))
"""
TUNE = """
import os, sys, time
os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback

folder = sys.argv[1]
ray.init(address="local", num_cpus={slots}, include_dashboard=False, log_to_driver=False, logging_level=50,
         _temp_dir=folder)

def train(config):
    began = time.time()
    for epoch in range({epochs}):
        time.sleep({seconds} / {epochs})
        tune.report({{"epoch": epoch, "loss": 1.0, "lr": 1.0, "began": began, "ended": time.time()}})

parameters = {{f"parameter_{{number}}": number for number in range({parameters})}}
found = tune.Tuner(
    tune.with_resources(train, {{"cpu": 1}}),
    param_space=parameters | {{"seed": tune.grid_search(list(range({trials})))}},
    tune_config=tune.TuneConfig(max_concurrent_trials={slots}, reuse_actors=True),
    run_config=tune.RunConfig(storage_path=folder + "/results", verbose=0, callbacks=[
        MLflowLoggerCallback(tracking_uri=f"sqlite:///{{folder}}.db", experiment_name="bare")]),
).fit()
print(min(one.metrics["began"] for one in found), max(one.metrics["ended"] for one in found))
"""


@dataclass(frozen=True)
class Measured:
    """What a command took: when it began, wall seconds, processor seconds by kind of process, and what it printed."""

    began: float
    wall: float
    seconds: dict[str, float]
    printed: str

    @property
    def beside(self) -> float:
        """Processor seconds of all that is no worker."""
        return sum(seconds for kind, seconds in self.seconds.items() if kind != WORKERS)


def measured(command: list[str | Path]) -> Measured:
    """Run a command to its end, and see what each of its processes takes."""
    began = time.time()
    seen: dict[psutil.Process, tuple[str, float]] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        root = psutil.Process(process.pid)
        while process.poll() is None:
            with suppress(psutil.Error):
                for each in [root, *root.children(recursive=True)]:
                    with suppress(psutil.Error):
                        times = each.cpu_times()
                        seen[each] = kind_of(each, root), times.user + times.system
            time.sleep(EVERY)
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    seconds: dict[str, float] = {}
    for kind, spent in seen.values():
        seconds[kind] = seconds.get(kind, 0.0) + spent
    return Measured(began, time.time() - began, seconds, printed)


def compared(trials: int, epochs: int) -> dict[str, object]:
    """What the run and the two bare ones took, in this order wherever there is a list."""
    load = say_load()
    with tempfile.TemporaryDirectory() as folder:
        spec, store = Path(folder, "driver.yaml"), Path(folder, "store")
        spec.write_text(SPEC.format(trials=trials, epochs=epochs))
        ours = measured([TAILBOARD, "run", spec, "--store", store, "--slots", str(SLOTS)])
        records = {key: Store(store).record(key) for key in sorted(Store(store).finished())}
        ended = {key: (store / paths.record(key)).stat().st_mtime for key in records}  # its own words are whole seconds
        begun = [ended[key] - record.wall_seconds for key, record in records.items()]
        seconds = sum(record.wall_seconds for record in records.values()) / trials
        asked = {"slots": SLOTS, "trials": trials, "epochs": epochs, "seconds": seconds}
        asked["parameters"] = max(len(parameters(record)) for record in records.values())
        bare = [
            measured([sys.executable, "-c", source.format(**asked), f"{folder}/{name}"])
            for name, source in {"r": BARE, "t": TUNE}.items()
        ]
    spans = [(min(begun), max(ended.values())), *(tuple(map(float, each.printed.split()[-2:])) for each in bare)]
    ideal, all_ = -(-trials // SLOTS) * seconds, [ours, *bare]
    return {
        "trials": trials, "seconds_a_trial": seconds, "load_before": load, "processors": os.cpu_count(),
        "seconds": [each.seconds for each in all_],
        "beside": [each.beside for each in all_],
        "over_bare_ray": [each.beside / bare[0].beside for each in all_],
        "trials_over_ideal": [(last - first) / ideal for first, last in spans],
        "command_over_ideal": [each.wall / ideal for each in all_],
        "first_begins": [first - each.began for (first, _), each in zip(spans, all_, strict=True)],
    }  # fmt: skip


def printed(found: dict) -> str:
    """The table."""
    kinds = dict.fromkeys(kind for seconds in found["seconds"] for kind in seconds)
    rows = {kind: [f"{seconds.get(kind, 0):9.1f}" for seconds in found["seconds"]] for kind in kinds}
    named = {
        "all but workers": "beside",
        "over the bare Ray's": "over_bare_ray",
        "trials' wall over ideal": "trials_over_ideal",
        "command's wall over ideal": "command_over_ideal",
        "first begins after, s": "first_begins",
    }
    rows |= {name: [f"{value:9.2f}" for value in found[row]] for name, row in named.items()}
    lines = [
        f"{found['trials']} trials of {found['seconds_a_trial']:.1f} s on {SLOTS} slots; load before: "
        f"{found['load_before']:.1f} on {found['processors']} processors",
        f"{'processor seconds':26} {'run':>9} {'bare Ray':>9} {'bare Tune':>9}",
    ]
    return "\n".join(lines + [f"{name:26} {' '.join(values)}" for name, values in rows.items()])


if __name__ == "__main__":
    given = [*sys.argv[1:], *("45", "3", "")[len(sys.argv) - 1 :]]
    result = compared(int(given[0]), int(given[1]))
    print(printed(result))
    if given[2]:
        Path(given[2]).write_text(json.dumps(result, indent=1) + "\n")
