"""What is not training costs: ``tailboard run`` beside a bare Ray whose tasks sleep as long as the trials took.

    .venv/bin/python benchmarks/scheduling/bare_ray.py [trials] [epochs] [JSON file]

Both run so many tasks on two slots, one after the other. Of each the processor seconds of every process that is no
worker are counted (the command itself with all its threads, the raylet, the GCS, the log monitor, the agents, and what
looks at the data before), read from the system three times a second: what a process did after it was last seen is lost.
A trial's own processes, its worker and the one that scores, are the training; of the bare Ray the workers are left out
too. The bare Ray starts without its dashboard, as a run's does, and makes an actor for each task.

It prints the seconds by process and their ratio (the goal is 1.5). Ideal is what the trials took with loading and
scoring, packed on the slots without a gap: the wall time from the first trial's begin to the last one's end stands over
that (the goal is 1.05 with trials of 20 s, 1.14 with 1 s), and so does that of the whole command. And how long after
the start of the command the first trial and the first task began (the goal is 3 s later); a trial began so many
seconds before its record's file was written as it took. It says how busy the machine was before: seconds of the wall
mean little where it was.

The first run after a change of the code builds the methods once more, counts operations and lays out MLflow's tables,
which later ones take from the cache: run it with ``2 1`` before.

Measured once, of 4 trials of 3 epochs on two cores under a load of 16, trials of 30 s: 17.8 s beside the workers
over 6.3 s of the bare Ray, 2.8, of which the command's own process took 12.7 s and a bare Ray's 1.3. What the command
takes is mostly its start and its end.

Measured once just after other work had ended, of 45 trials of 1.8 s (``45 3``): 14.3 s beside the workers over 7.0 s
of the bare Ray, 2.04, of which the command's own process took 9.9 s and a bare Ray's 1.6; the trials' wall over ideal
1.01, the whole command's 1.39 (the bare Ray's 1.48); the first trial began 10.7 s after the command, the first task
3.3 s (the trial's moment was then taken from its record, which leaves out what is less than a second). Before a run's
own process did without PyTorch and took MLflow's empty tables from the cache it was 2.44, and 12.1 s. Since then the
first trial goes into a worker that Ray has started with itself, and a run imports less and later: on the quiet machine,
once, 11.8 s over 6.2 s, 1.89, of which the command took 8.2 s; trials' wall over ideal 1.02, the command's 1.28; the
first trial began 7.1 s after the command, the first task 3.3 s.
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

from tailboard.harness.storage import paths
from tailboard.harness.storage.store import Store

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "processor time of all that is not training over a bare Ray's that runs as many sleeping tasks",
        "1.9 (11.8 s over 6.2 s; 45 trials of 1.8 s on 2 slots)",
        "45 3",
        "2 quiet cores of an AMD EPYC",
    ),
    (
        "wall time of 45 trials of 1.8 s over their packing without a gap",
        "1.02 (a bare Ray's tasks 1.31)",
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


def both(trials: int, epochs: int) -> dict[str, object]:
    """What the run and the bare Ray took, and how they compare."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        spec, store = Path(folder, "driver.yaml"), Path(folder, "store")
        spec.write_text(SPEC.format(trials=trials, epochs=epochs))
        ours = measured([TAILBOARD, "run", spec, "--store", store, "--slots", str(SLOTS)])
        wall = {key: Store(store).record(key).wall_seconds for key in sorted(Store(store).finished())}
        seconds = sum(wall.values()) / trials
        ended = {key: (store / paths.record(key)).stat().st_mtime for key in wall}  # its own words are whole seconds
        begun = [ended[key] - wall[key] for key in wall]
        source = BARE.format(slots=SLOTS, trials=trials, seconds=seconds)
        bare = measured([sys.executable, "-c", source, f"{folder}/r"])
    first, last = map(float, bare.printed.split())
    ideal = -(-trials // SLOTS) * seconds
    return {
        "trials": trials, "seconds_a_trial": seconds, "load_before": load, "processors": os.cpu_count(),
        "run": ours.seconds, "bare_ray": bare.seconds, "beside": [ours.beside, bare.beside],
        "ratio": ours.beside / bare.beside,
        "trials_over_ideal": [(max(ended.values()) - min(begun)) / ideal, (last - first) / ideal],
        "command_over_ideal": [ours.wall / ideal, bare.wall / ideal],
        "first_begins": [min(begun) - ours.began, first - bare.began],
    }  # fmt: skip


def printed(found: dict) -> str:
    """The table."""
    run, bare = found["run"], found["bare_ray"]
    lines = [
        f"{found['trials']} trials of {found['seconds_a_trial']:.1f} s on {SLOTS} slots; load before: "
        f"{found['load_before']:.1f} on {found['processors']} processors",
        f"{'processor seconds':26} {'run':>8} {'bare Ray':>9}",
        *(f"{kind:26} {run.get(kind, 0):8.1f} {bare.get(kind, 0):9.1f}" for kind in dict.fromkeys([*run, *bare])),
    ]
    rows = {
        "all but workers": "beside",
        "trials' wall over ideal": "trials_over_ideal",
        "command's wall over ideal": "command_over_ideal",
        "first begins after, s": "first_begins",
    }
    lines += [f"{name:26} {found[row][0]:8.2f} {found[row][1]:9.2f}" for name, row in rows.items()]
    return "\n".join([*lines, f"ratio of what is beside the workers {found['ratio']:.2f}"])


if __name__ == "__main__":
    given = [*sys.argv[1:], *("45", "3", "")[len(sys.argv) - 1 :]]
    result = both(int(given[0]), int(given[1]))
    print(printed(result))
    if given[2]:
        Path(given[2]).write_text(json.dumps(result, indent=1) + "\n")
