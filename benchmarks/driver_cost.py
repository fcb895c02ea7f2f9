"""What is not training costs: ``tailboard run`` beside a bare Ray whose tasks sleep as long as the trials trained.

    .venv/bin/python benchmarks/driver_cost.py [trials] [epochs] [JSON file]

Both run so many tasks on two slots, one after the other. Of each the processor seconds of every process that is no
worker are counted (the command itself, the raylet, the GCS, the log monitor, the agents), read from the system ten
times a second: what a process did after it was last seen is lost. A trial's own processes, its worker and the one that
scores, are the training; of the bare Ray the workers are left out too. The bare Ray has the options that a run gives
its own (no dashboard, no log on the driver), and an actor for each task.

It prints the seconds by process, their ratio (the goal is 1.5), the wall time over the ideal packing of what the trials
took (1.05 with trials of 20 s, 1.14 with 1 s), and how long after the start of the command the first trial and the
first task began (the goal is 3 s later). It says how busy the machine was before.
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
from datetime import datetime
from pathlib import Path

import psutil

from tailboard.harness.storage.store import Store

SLOTS, EVERY = 2, 0.1
FORKED = 2.0  # seconds after which a process that was forked is what it will be
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
        return began

begun, running, sleepers = [], [], {{}}
for _ in range({trials}):
    if len(running) == {slots}:
        ended, running = ray.wait(running)
        begun += ray.get(ended)
        ray.kill(sleepers.pop(ended[0]))
    sleeper = Sleeper.remote()
    task = sleeper.work.remote({seconds})
    sleepers[task] = sleeper
    running.append(task)
begun += ray.get(running)
print(min(begun))
"""
KINDS = {  # by what their command lines hold
    "raylet/raylet": "raylet",
    "gcs_server": "GCS",
    "log_monitor": "log monitor",
    "runtime_env/agent": "agent of environments",
    "dashboard/agent.py": "agent of the node",
    "dashboard/dashboard.py": "dashboard",
}
WORKER = ("ray::", "default_worker.py")


@dataclass(frozen=True)
class Measured:
    """What a command took: wall seconds, processor seconds by kind of process, when it began, and what it printed."""

    wall: float
    seconds: dict[str, float]
    began: float
    printed: str

    @property
    def beside(self) -> float:
        """Processor seconds of all that is no worker."""
        return sum(seconds for kind, seconds in self.seconds.items() if kind != "workers")


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
                        young = each not in seen or time.time() - each.create_time() < FORKED
                        kind = _kind(each, root) if young else seen[each][0]
                        seen[each] = kind, times.user + times.system
            time.sleep(EVERY)
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")
    seconds: dict[str, float] = {}
    for kind, spent in seen.values():
        seconds[kind] = seconds.get(kind, 0.0) + spent
    return Measured(time.time() - began, seconds, began, printed)


def _kind(process: psutil.Process, root: psutil.Process) -> str:
    if process == root:
        return "driver"
    line = " ".join(process.cmdline())
    if line.startswith(WORKER) or any(word in line for word in WORKER):
        return "workers"
    if kind := next((kind for word, kind in KINDS.items() if word in line), None):
        return kind
    parents = [parent for parent in process.parents() if " ".join(parent.cmdline()).startswith(WORKER)]
    return "workers" if parents else "others"


def main(trials: int, epochs: int, file: str) -> None:
    """Print the table, and write it as JSON where a file is named."""
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        spec, store = Path(folder, "driver.yaml"), Path(folder, "store")
        spec.write_text(SPEC.format(trials=trials, epochs=epochs))
        ours = measured([TAILBOARD, "run", spec, "--store", store, "--slots", str(SLOTS)])
        records = [Store(store).record(key) for key in sorted(Store(store).finished())]
        seconds = sum(record.wall_seconds for record in records) / trials
        first = min(datetime.fromisoformat(record.started).timestamp() for record in records)
        source = BARE.format(slots=SLOTS, trials=trials, seconds=seconds)
        bare = measured([sys.executable, "-c", source, f"{folder}/r"])
    ideal = -(-trials // SLOTS) * seconds
    found = {
        "trials": trials, "seconds_a_trial": seconds, "load_before": load,
        "run": ours.seconds, "bare_ray": bare.seconds, "ratio": ours.beside / bare.beside,
        "wall_over_ideal": ours.wall / ideal, "bare_wall_over_ideal": bare.wall / ideal,
        "first_trial": first - ours.began, "first_task": float(bare.printed) - bare.began,
    }  # fmt: skip
    print(
        f"{trials} trials of {seconds:.1f} s on {SLOTS} slots; load before: {load:.1f} on {os.cpu_count()} processors"
    )
    print(f"{'processor seconds':22} {'run':>8} {'bare Ray':>9}")
    for kind in dict.fromkeys([*ours.seconds, *bare.seconds]):
        print(f"{kind:22} {ours.seconds.get(kind, 0):8.1f} {bare.seconds.get(kind, 0):9.1f}")
    print(f"{'all but workers':22} {ours.beside:8.1f} {bare.beside:9.1f}   ratio {found['ratio']:.2f}")
    print(f"{'wall over ideal':22} {found['wall_over_ideal']:8.2f} {found['bare_wall_over_ideal']:9.2f}")
    print(f"{'first begins after, s':22} {found['first_trial']:8.1f} {found['first_task']:9.1f}")
    if file:
        Path(file).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    given = [*sys.argv[1:], *("45", "3", "")[len(sys.argv) - 1 :]]
    main(int(given[0]), int(given[1]), given[2])
