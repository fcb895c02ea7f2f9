"""When garbage is collected, and what workers do with the memory that a step frees."""

from __future__ import annotations

import gc
import json
import os
import platform
import subprocess
import sys
import weakref
from pathlib import Path

import pytest
import torch

from tailboard.harness.memory import TUNABLES, give_back, uncollected, without_tunables

ROOT = Path(__file__).parents[1]
# Four steps in a thread, as a worker trains in one; what is taken last is freed first, as in a backward pass.
STEPS = """
import json, resource, threading
from tailboard.harness.memory import give_back

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


def test_a_gpu_gets_back_what_the_last_training_held_though_that_refers_to_itself(monkeypatch):
    class Training:
        def __init__(self):
            self.own = self

    held, gone = weakref.ref(Training()), []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: gone.append(held() is None))
    assert held() is not None
    give_back()
    assert gone == [True]


@pytest.mark.parametrize("file", ["deploy/Dockerfile", "deploy/slurm/tailboard.sbatch", "ray_cluster.yaml"])
def test_what_starts_clusters_has_the_same(file):
    assert f" GLIBC_TUNABLES={TUNABLES}\n" in (ROOT / file).read_text()


def test_what_a_worker_starts_goes_without_its_settings(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", TUNABLES)
    assert "GLIBC_TUNABLES" not in without_tunables() and "PATH" in without_tunables()
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")
    assert without_tunables()["GLIBC_TUNABLES"] == "glibc.malloc.arena_max=2", "the user's own"


def test_no_thread_collects_garbage_until_the_last_block_is_left():
    with uncollected():
        with uncollected():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_has_switched_the_collector_off_finds_it_so():
    gc.disable()
    try:
        with uncollected(), uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_command_that_ends_does_not_go_through_all_that_it_has_made():
    command = """
import atexit, gc, sys

atexit.register(lambda: print(gc.get_freeze_count() > 0))  # before that of the command, and so called after it
from tailboard.harness.cli.app import main

sys.argv = ["tailboard", "--version"]
main()
"""
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"
