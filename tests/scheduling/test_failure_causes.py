"""What the method did wrong is told apart from what the infrastructure did, with real processes; nothing is left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FAULTY = """
import os, signal, time
from dataclasses import dataclass
from pathlib import Path
from tailboard.methods.recipe import Part, Recipe, register

FOLDER = Path(FOLDER_HERE)

def waits():
    while (FOLDER / "sick").exists():
        time.sleep(1)

def takes_long():
    if not (FOLDER / "sick").exists():
        raise ValueError("of no use either")
    time.sleep(6)  # in each of three batches

def dies():
    if (FOLDER / "sick").exists():
        os.kill(os.getpid(), signal.SIGKILL)

@dataclass(frozen=True)
class Faulty(Part):
    fault: str
    def build(self, scene):
        def loss(logits, y, epsilon):
            globals()[self.fault]()
            return logits.logsumexp(1)
        return loss

for name in ("waits", "takes_long", "dies"):
    register(name.replace("_", " "), Recipe(loss=Faulty(name)))
"""
# A driver that gives a trial less than a minute beyond its limit to load, since the test would wait for that.
DRIVER = """
from tailboard.harness.scheduling import timeouts as deadline
from tailboard.harness.cli.app import main

deadline.LOADING_SECONDS = 35.0
if __name__ == "__main__":
    main()
"""
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 40}],
    "methods": ["ERM", *({"name": name, "plugin": "faulty.py"} for name in ("waits", "takes long", "dies"))],
    "network": "small",
    "training": {"epochs": 4, "batch_size": 64, "augment": "none"},
    "seeds": 1,
    "resources": {"retries": 0, "time_limit": 16},
}


@pytest.fixture
def job(launcher, tmp_path, shared_mlflow):
    faulty = FAULTY.replace("FOLDER_HERE", repr(str(tmp_path)))
    return launcher(tmp_path, SPEC, {"faulty.py": faulty, "driver.py": DRIVER}, **shared_mlflow)


def test_the_time_limit_and_a_dead_worker_are_told_apart_and_run_again_by_one_command(job, shared_ray):
    """In one run: one hangs, one takes too long and says so itself, one has a worker that dies and no try left."""
    (job.folder / "sick").touch()
    job.script = "driver.py"
    process = job.start("run", "t.yaml", "--store", "store", "--slots", 4)
    job.wait_for(job.workers, process)
    sockets = job.listening()
    out, err = process.communicate(timeout=400)
    assert process.returncode == 2, err
    assert "Traceback" not in err
    assert "not finished: " in err and "missing 1/1" in out
    records = {record["trial"]["method"]["name"]: record for record in job.records().values()}
    assert {name: record["status"] for name, record in records.items()} == {
        "ERM": "complete", "waits": "failed", "takes long": "failed"
    }, err  # fmt: skip
    assert records["waits"]["reason"] == "TimeLimit: no epoch ended within 16 s"
    assert "in waits\n" in records["waits"]["log"], "where it hung"
    assert records["waits"]["wall_seconds"] > 16
    assert records["takes long"]["reason"].startswith("TimeLimit: ")
    assert 0 < records["takes long"]["epochs"] < 4
    assert "TimeLimit" in records["takes long"]["log"], "its own traceback"
    job.check_nothing_is_left(sockets)

    facts = json.loads(job.tailboard("status", "store", "--json").stdout)
    troubles = {trouble["method"]: (trouble["state"], trouble["reason"]) for trouble in facts["troubles"]}
    assert troubles == {
        "waits": ("failed", "TimeLimit: no epoch ended within 16 s"),
        "takes long": ("failed", records["takes long"]["reason"]),
        "dies": ("missing", "a worker died"),
    }
    shown = job.tailboard("status", "store").stdout
    assert all(reason in shown for _, reason in troubles.values())
    assert f"tailboard run SPEC --store {job.store} --retry-failed" in shown

    (job.folder / "sick").unlink()
    job.environment |= shared_ray
    before = job.bytes_of("records")
    again = job.run_one_at_a_time()
    assert again.returncode == 2, again.stderr
    (trouble,) = (trouble for trouble in facts["troubles"] if trouble["state"] == "missing")
    assert ran_since(before, job) == {trouble["key"]}, "the same command tries what has no record"
    assert job.records()[trouble["key"]]["status"] == "complete"

    before = job.bytes_of("records")
    again = job.run("run", "t.yaml", "--store", "store", "--slots", 1, "--retry-failed")
    assert again.returncode == 2, again.stderr
    states = {key: record["status"] for key, record in job.records().items()}
    ran = ran_since(before, job)
    assert ran == {record["key"] for record in records.values() if record["status"] == "failed"}, "exactly the failures"
    assert sorted(states[key] for key in ran) == ["complete", "failed"], "one was cured"
    (failed,) = (record["reason"] for record in job.records().values() if record["status"] == "failed")
    assert failed == "ValueError: of no use either", "and not what it was"
    (trouble,) = json.loads(job.tailboard("status", "store", "--json").stdout)["troubles"]
    assert trouble["reason"] == failed
    assert job.leftovers() == []


def ran_since(before, job) -> set[str]:
    """The keys of the trials whose records were written since."""
    now = job.bytes_of("records")
    return {Path(name).stem for name in now if now[name] != before.get(name)}
