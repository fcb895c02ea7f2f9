"""What workers do with the memory that a step frees."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tailboard.harness.scheduling.worker_memory import TUNABLES, give_back

ROOT = Path(__file__).parents[2]
# Four steps in a thread, as a worker trains in one; what is taken last is freed first, as in a backward pass.
STEPS = """
import json, resource, threading
from tailboard.harness.scheduling.worker_memory import give_back

def step():
    taken = [b"x" * size for size in (6 << 20, 40 << 20, 3 << 20, 25 << 20, 90 << 20)]
    while taken:
        taken.pop()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() >> 20

def train():
    step()
    before = faults()
    for _ in range(3):
        step()
    found["faults"], found["kept"] = faults() - before, resident()
    give_back()
    found["given_back"] = found["kept"] - resident()

found = {}
thread = threading.Thread(target=train)
thread.start()
thread.join()
print(json.dumps(found))
"""


def steps(tunables: str) -> dict[str, int]:
    environment = os.environ | {"GLIBC_TUNABLES": tunables}
    done = subprocess.run([sys.executable, "-c", STEPS], env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunables are glibc's")
def test_a_step_finds_the_memory_of_the_one_before_and_a_trial_gives_it_back():
    kept, usual = steps(TUNABLES), steps("")
    assert kept["faults"] < 100, "pages that the system had to hand out again"
    assert usual["faults"] > 1000, "without it there are many: else it is no longer needed"
    assert kept["given_back"] > 150 > usual["given_back"]


def test_nothing_is_given_back_where_the_c_library_cannot(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    give_back()


@pytest.mark.parametrize("file", ["deploy/Dockerfile", "deploy/slurm/tailboard.sbatch", "ray_cluster.yaml"])
def test_what_starts_clusters_has_the_same(file):
    assert f" GLIBC_TUNABLES={TUNABLES}\n" in (ROOT / file).read_text()
