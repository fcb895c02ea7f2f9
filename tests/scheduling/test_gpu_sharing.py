"""Trials that share a GPU, placed by real Ray on a node that declares one. The CPU stands in for it: where a trial
computes is the only thing that is not real here."""

from __future__ import annotations

import pytest

from ray_head import RayHead

pytestmark = pytest.mark.slow

DRIVER = """
import torch
from tailboard.harness.cli.app import main
from tailboard.harness.planning import prepare

class OnTheCpu(prepare.TrialContext):
    device = torch.device("cpu")

prepare.TrialContext = OnTheCpu

if __name__ == "__main__":
    main()
"""
# Each training leaves a line when it begins and one when it ends; Hungry has too little memory beside another.
PLUGIN = """
import os, time
from dataclasses import dataclass
from pathlib import Path
import torch
from tailboard.methods.recipe import ClassWeights, Part, Recipe, register

FOLDER = Path(FOLDER_HERE)

def say(what, scene):
    line = f"{time.time()} {what} {os.environ['CUDA_VISIBLE_DEVICES']}\\n"
    file = os.open(FOLDER / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode())
    os.close(file)

@dataclass(frozen=True)
class Shares(Part):
    hungry: bool
    def build(self, scene):
        own = FOLDER / "here" / f"{os.getpid()}-{scene.generator.seed}"
        def weights(epoch):
            if epoch == 0:
                say("begins", scene)
                own.touch()
            time.sleep(0.5)
            if self.hungry and len(list((FOLDER / "here").iterdir())) > 1:
                time.sleep(1)  # the other sees this one, too
                own.unlink()
                say("ends", scene)
                raise torch.OutOfMemoryError("CUDA out of memory")
            if epoch == scene.epochs - 1:
                own.unlink()
                say("ends", scene)
            return ClassWeights(scene.tensor(range(1, scene.classes + 1)))
        return weights

register("Shares", Recipe(weights=Shares(False)))
register("Hungry", Recipe(weights=Shares(True)))
"""
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 40}],
    "network": "small",
    "training": {"epochs": 3, "batch_size": 64, "augment": "none"},
    "resources": {"cpu": 0.5, "gpu": 0.5, "retries": 0},
}


@pytest.fixture(scope="module")
def cluster(free_port):
    """One node of 2 CPUs that declares one GPU: the CPUs alone would hold four trials."""
    head = RayHead(free_port(), "--num-cpus=2", "--num-gpus=1")
    yield head.environment
    head.close()


@pytest.fixture
def job(launcher, tmp_path, cluster):
    def launch(method: str, seeds: int):
        (tmp_path / "here").mkdir()
        files = {"shares.py": PLUGIN.replace("FOLDER_HERE", repr(str(tmp_path))), "driver.py": DRIVER}
        methods = [{"name": method, "plugin": "shares.py"}]
        made = launcher(tmp_path, SPEC | {"methods": methods, "seeds": seeds}, files, **cluster)
        made.script = "driver.py"
        return made

    return launch


def story(job) -> list[tuple[str, str]]:
    """What began and ended, in order, and the GPUs that it saw."""
    lines = [line.split() for line in (job.folder / "log").read_text().splitlines()]
    return [(what, gpus) for _, what, gpus in sorted(lines)]


def at_a_time(events: list[tuple[str, str]]) -> list[int]:
    running, found = 0, []
    for what, _ in events:
        running += 1 if what == "begins" else -1
        found.append(running)
    return found


def test_two_halves_share_a_gpu_and_a_third_waits(job):
    job = job("Shares", seeds=4)
    done = job.run("run", "t.yaml", "--store", "store")
    assert done.returncode == 0, done.stderr
    events = story(job)
    assert max(at_a_time(events)) == 2
    assert {gpus for _, gpus in events} == {"0"}
    assert len(job.records()) == 4


def test_where_memory_ran_out_beside_another_the_next_try_has_the_gpu_alone(job):
    """It costs no try: none was left."""
    job = job("Hungry", seeds=2)
    done = job.run("run", "t.yaml", "--store", "store")
    assert done.returncode == 0, done.stderr
    events = story(job)
    running = at_a_time(events)
    assert max(running) == 2, "they were beside each other once"
    assert max(running[-4:]) == 1, "and then one after the other"
    assert {record["status"] for record in job.records().values()} == {"complete"}
    assert "OutOfMemoryError" in done.stderr
