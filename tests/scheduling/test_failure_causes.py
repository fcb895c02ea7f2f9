"""What the method did wrong is told apart from what the infrastructure did, with real processes; nothing is left."""

from __future__ import annotations

import json
import signal
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

def takes_a_while():
    time.sleep(0.3)

def raises():
    raise ValueError("of no use")

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

for name in ("waits", "takes_long", "takes_a_while", "raises", "dies"):
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


def test_the_time_limit_and_a_dead_worker_are_told_apart_and_run_again_by_one_command(job):
    (job.folder / "sick").touch()
    job.script = "driver.py"
    done = job.run("run", "t.yaml", "--store", "store", "--slots", 4)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    records = {record["trial"]["method"]["name"]: record for record in job.records().values()}
    assert {name: record["status"] for name, record in records.items()} == {
        "ERM": "complete", "waits": "failed", "takes long": "failed"
    }, done.stderr  # fmt: skip
    assert records["waits"]["reason"] == "TimeLimit: no epoch ended within 16 s"
    assert "in waits\n" in records["waits"]["log"], "where it hung"
    assert records["waits"]["wall_seconds"] > 16
    assert records["takes long"]["reason"].startswith("TimeLimit: ")
    assert 0 < records["takes long"]["epochs"] < 4
    assert "TimeLimit" in records["takes long"]["log"], "its own traceback"
    assert job.leftovers() == []

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
    before = job.bytes_of("records")
    again = job.run("run", "t.yaml", "--store", "store", "--slots", 4, "--retry-failed")
    assert again.returncode == 2, again.stderr
    now = job.bytes_of("records")
    states = {key: record["status"] for key, record in job.records().items()}
    ran = {Path(name).stem for name in now if now[name] != before.get(name)}
    assert ran == {trouble["key"] for trouble in facts["troubles"]}, "exactly the failures"
    assert sorted(states[key] for key in ran) == ["complete", "complete", "failed"], "two were cured"
    (failed,) = (record["reason"] for record in job.records().values() if record["status"] == "failed")
    assert failed == "ValueError: of no use either", "and not what it was"
    assert job.leftovers() == []


@pytest.mark.parametrize("how", ["success", "failure", "ctrl-c", "sigterm"])
def test_no_process_port_or_temporary_file_is_left(job, how):
    """Ports by the numbers of their sockets, which no other process will ever have."""
    ends = {"success": ["ERM"], "failure": [{"name": "raises", "plugin": "faulty.py"}]}
    slow = [{"name": "takes a while", "plugin": "faulty.py"}]
    job.write_spec(methods=ends.get(how, slow), seeds=2, resources={"checkpoint_seconds": 0, "retries": 0})
    if how not in ends:
        job.write_spec(training=SPEC["training"] | {"epochs": 400})
    process = job.start()
    seen: set[str] = set()

    def happens() -> bool:
        seen.update(job.listening())
        return bool(job.saved() or job.workers() if how in ends else job.saved())

    job.wait_for(happens, process)
    if how == "ctrl-c":
        job.interrupt(process)
    if how == "sigterm":
        process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=300)
    assert process.returncode == {"success": 0, "failure": 2}.get(how, 130), err
    assert seen, "Ray does listen"
    assert job.leftovers() == []
    assert not seen & open_ports(), "a socket still listens"
    assert list(Path(job.environment["TMPDIR"]).iterdir()) == []


def open_ports() -> set[str]:
    """Every listening TCP socket of this machine, as the kernel numbers them."""
    lines = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {f"socket:[{fields[9]}]" for fields in lines if fields[3] == "0A"}
