"""What is not training costs: processor seconds of each process of a ``tailboard run`` that is under way.

    tailboard run quickstart &
    .venv/bin/python benchmarks/scheduling/driver_cost.py $!

Asked for shortly before the run ends. What the workers and the processes that score for them took is the training; all
else is beside it: the command itself with all its threads, MLflow's among them, the actor that stops trials, and Ray's
raylet, GCS, log monitor, autoscaler, dashboard and agents. What a process took that has ended already is not seen.

Measured once, of ``quickstart`` (55 trials of 13 s or so on 2 slots) after 807 s, when 53 were done, on two cores under
a load of 18: 62.2 s beside 1,338.1 s of the workers, 0.046. The command took 31.8 s, the actor that stops trials 10.6,
the log monitor 5.6, the raylet 5.3, the GCS 4.5, the others 4.4. That was before MLflow was told of epochs each five
seconds and the log monitor looked for files each minute; how much these took off was not measured, nor what a bare Ray
takes.
"""

from __future__ import annotations

import sys
import time

import psutil

from tailboard.benchmarks.machine_load import say_load

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "processor time of all that is not training over the workers', in a run of `quickstart`",
        "0.046 (62 s over 1,338 s, two trials at a time)",
        "PID",
        "2 cores of an AMD EPYC under a load of 18, before MLflow and Ray's log monitor were asked less often",
    ),
)

KINDS = {  # by what their command lines hold
    "raylet/raylet": "raylet",
    "gcs_server": "GCS",
    "log_monitor": "log monitor",
    "autoscaler/_private/monitor.py": "autoscaler",
    "dashboard/dashboard.py": "dashboard",
    "runtime_env/agent": "agent of environments",
    "ray::RuntimeEnvAgent": "agent of environments",
    "dashboard/agent.py": "agent of the node",
    "ray::DashboardAgent": "agent of the node",
    "ray::StopSignal": "actor that stops trials",
}
WORKERS = "workers"
WORKER = "ray::", "default_worker.py"


def seconds_by_kind(command: psutil.Process) -> dict[str, float]:
    """Processor seconds of a command and of all that it has started and still runs, by the kind of process."""
    seconds: dict[str, float] = {}
    for process in [command, *command.children(recursive=True)]:
        times, kind = process.cpu_times(), kind_of(process, command)
        seconds[kind] = seconds.get(kind, 0.0) + times.user + times.system
    return seconds


def kind_of(process: psutil.Process, command: psutil.Process) -> str:
    """Which kind of process it is, of those that a command has started."""
    if process == command:
        return "command"
    line = " ".join(process.cmdline())
    if kind := next((kind for word, kind in KINDS.items() if word in line), None):
        return kind
    family = [line, *(" ".join(parent.cmdline()) for parent in process.parents())]
    return WORKERS if any(word in each for each in family for word in WORKER) else "others"


def main(pid: int) -> None:
    say_load()
    command = psutil.Process(pid)
    seconds = seconds_by_kind(command)
    print(f"after {time.time() - command.create_time():.0f} s of the wall")
    for kind, spent in sorted(seconds.items(), key=lambda item: -item[1]):
        print(f"{kind:26} {spent:9.1f} s")
    beside = sum(spent for kind, spent in seconds.items() if kind != WORKERS)
    print(f"{'all but the workers':26} {beside:9.1f} s, {beside / max(seconds.get(WORKERS, 0.0), 1e-9):.3f} of theirs")


if __name__ == "__main__":
    main(int(sys.argv[1]))
