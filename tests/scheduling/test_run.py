"""`tailboard run` with real Ray, real workers and real kills: resumed, whole, and with nothing left behind."""

import csv
import json
import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tailboard.harness.memory import TUNABLES

pytestmark = pytest.mark.slow

# Each epoch of Slow takes a while without keeping a core busy, so that a kill finds it in mid-trial.
SLOW = """
import time
from dataclasses import dataclass
from tailboard.methods.recipe import ClassWeights, Part, Recipe, register

@dataclass(frozen=True)
class Slow(Part):
    def build(self, scene):
        def weights(epoch):
            time.sleep(0.3)
            return ClassWeights(scene.tensor(range(1, scene.classes + 1)))
        return weights

register("Slow", Recipe(weights=Slow()))
"""
BROKEN = """
from dataclasses import dataclass
from tailboard.methods.recipe import Part, Recipe, register

@dataclass(frozen=True)
class Raises(Part):
    def build(self, scene):
        def loss(logits, y, epsilon):
            raise ValueError("of 3 < 2\\n  no two lines")
        return loss

@dataclass(frozen=True)
class Diverges(Part):
    def build(self, scene):
        return lambda logits, y, epsilon: logits.sum(dim=1) * float("nan")

register("Raises", Recipe(loss=Raises()))
register("Diverges", Recipe(loss=Diverges()))
"""
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", {"name": "Slow", "plugin": "slow.py"}],
    "network": "small",
    "training": {"epochs": 6, "batch_size": 32, "track": "minority", "track_every": 2},
    "seeds": 2,
    "resources": {"checkpoint_seconds": 0},
    "figure": {"kind": "fit", "group": ["all", "minority"]},
}
ONE = ("run", "t.yaml", "--store", "store", "--slots", 1)  # in one worker, which is less to start
# It trains for some more seconds when it is told to stop.
ONLY_SLOW = {"methods": SPEC["methods"][1:], "training": SPEC["training"] | {"epochs": 20}}
FIGURE = [f"report/figure.{ending}" for ending in ("svg", "csv", "json")]


@pytest.fixture(scope="module")
def undisturbed(launcher, tmp_path_factory, shared_ray, shared_mlflow):
    """A run that nobody disturbs; what the others, each with a Ray of its own, must come to."""
    job = launcher(tmp_path_factory.mktemp("undisturbed"), SPEC, {"slow.py": SLOW}, **shared_ray, **shared_mlflow)
    job.done = job.run_one_at_a_time()
    return job


@pytest.fixture
def job(launcher, tmp_path, shared_mlflow):
    return launcher(tmp_path, SPEC, {"slow.py": SLOW, "broken.py": BROKEN}, **shared_mlflow)


def test_a_run_ends_with_a_table_and_four_files(undisturbed):
    done, address = undisturbed.done, undisturbed.environment["RAY_ADDRESS"]
    assert done.returncode == 0, done.stderr
    assert "| ERM" in done.stdout
    assert "(n=2)" in done.stdout
    lines = done.stderr.splitlines()
    assert lines[:2] == ["0 of 4 trials are already finished", f"joining the cluster at {address} ..."]
    assert [line.split()[0] for line in lines[2:]] == [f"[{i}/4]" for i in range(1, 5)], "and one for each trial"
    for form, ending in (("md", "md"), ("latex", "tex"), ("csv", "csv"), ("json", "json")):
        path = undisturbed.store / "report" / f"leaderboard.{ending}"
        assert f"{form:6} {path}" in done.stdout.splitlines()
        assert path.is_file()
    with (undisturbed.store / "report" / "leaderboard.csv").open() as file:
        cells = {(row["method"], row["group"]): row for row in csv.DictReader(file)}
    assert len(cells) == 8
    assert {row["n"] for row in cells.values() if row["status"] != "n/a"} == {"2"}
    assert undisturbed.leftovers() == []


def test_a_record_tells_all_of_its_trial(undisturbed):
    for record in undisturbed.records().values():
        assert record["status"] == "complete"
        assert record["attempts"] == 1
        assert 0 < record["train_seconds"] < record["wall_seconds"]
        assert record["started"] <= record["finished"]
        assert record["data"]["verified"]
        assert len(record["data"]["fingerprint"]) == 64
        assert {"packages", "processor", "threads", "instruction_set"} <= set(record["environment"])
        assert set(record["files"]) == {f"arrays/{record['key']}.npz"}
    assert not list((undisturbed.store / "checkpoints").glob("*")), "a finished trial leaves no checkpoint"


def test_the_same_command_runs_nothing_twice(undisturbed):
    before, table = undisturbed.bytes_of("records", "arrays"), undisturbed.csv()
    done = undisturbed.run()
    assert done.returncode == 0, done.stderr
    assert undisturbed.bytes_of("records", "arrays") == before
    assert undisturbed.csv() == table
    assert "4 of 4 trials are already finished" in done.stderr
    assert done.stdout == undisturbed.done.stdout


def test_a_driver_and_workers_killed_at_any_moment_lose_nothing_finished(undisturbed, job):
    """SIGKILL of the driver twice, each some random time after training began; then, while the same command goes on, of
    all workers after its first checkpoint, which are tried again. ``tuning/test_tuned_run.py`` kills a search."""
    finished: dict[str, bytes] = {}
    job.environment["PYTHONPATH"] = ""  # Ray starts its workers itself then: see support/warm_workers.py
    for _ in range(2):
        process, moment = job.start(), random.uniform(0, 0.7)  # noqa: S311
        job.wait_for(job.saved, process)
        time.sleep(moment)
        process.kill()
        process.wait()
        assert job.gone_within(60), job.leftovers()
        now = job.bytes_of("records")
        assert {name: now[name] for name in finished} == finished, f"a finished trial ran again (kill at {moment})"
        finished = now

    process = job.start(*ONE)
    job.wait_for(job.saved, process)
    job.kill_workers()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    now = job.bytes_of("records")
    assert {name: now[name] for name in finished} == finished, "a finished trial ran again"
    assert job.csv() == undisturbed.csv()
    for name in FIGURE:
        assert (job.store / name).read_bytes() == (undisturbed.store / name).read_bytes(), name
    assert sum(record["attempts"] for record in job.records().values()) > 4, "no trial was resumed: no test"
    assert job.gone_within(60), job.leftovers()
    assert job.folders() == [], "the next run clears up after the killed one"


def test_ctrl_c_once_saves_and_the_same_command_goes_on(undisturbed, job, shared_ray):
    job.environment["PYTHONPATH"] = ""  # Ray starts its workers itself then: see support/warm_workers.py
    process = job.start()
    job.wait_for(job.saved, process)
    sockets = job.listening()
    assert len(job.workers()) == 2, "those that Ray started with itself"
    for worker in job.workers():
        environment = Path(f"/proc/{worker}/environ").read_bytes().replace(b"\0", b":")  # glibc cuts it where it read
        assert f"GLIBC_TUNABLES={TUNABLES}".encode() in environment and b"OMP_NUM_THREADS=1" in environment
        assert b"jemalloc" not in Path(f"/proc/{worker}/maps").read_bytes(), "which does not read them"
    job.interrupt(process)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "the same command goes on" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert "| ERM" in out, "the table so far"
    job.check_nothing_is_left(sockets)
    running = job.checkpoints()
    assert len(running) >= 1, "what was running saved itself"
    assert not running & set(job.records())
    job.environment |= shared_ray
    done = job.run_one_at_a_time()
    assert done.returncode == 0, done.stderr
    assert job.csv() == undisturbed.csv()
    assert all(job.records()[key]["attempts"] == 2 for key in running)


def test_a_second_run_is_refused_while_the_first_lives_which_ctrl_c_twice_stops_at_once(job):
    job.write_spec(training={"epochs": 400, "batch_size": 32, "augment": "none"})
    process = job.start(*ONE)
    job.wait_for(job.saved, process)
    status = json.loads(job.tailboard("status", job.store, "--json").stdout)
    assert status["states"]["started"] >= 1, "status speaks while the run goes on"
    assert job.open_to_others() == []
    second = job.run()
    assert (second.returncode, second.stdout) == (1, "")
    assert f"is being filled by process {process.pid}" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    job.interrupt(process)
    time.sleep(0.02)
    job.interrupt(process)
    start = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert time.monotonic() - start < 15
    assert "Traceback" not in err
    assert "the same command goes on" in err.splitlines()[-1]
    assert job.gone_within(10), job.leftovers()


def test_a_method_that_breaks_costs_its_own_rows_only_and_a_damaged_record_itself(
    launcher, tmp_path, shared_ray, shared_mlflow
):
    job = launcher(tmp_path, SPEC, {"broken.py": BROKEN}, **shared_ray, **shared_mlflow)
    methods = ["ERM", *({"name": name, "plugin": "broken.py"} for name in ("Raises", "Diverges"))]
    job.write_spec(methods=methods, training={"epochs": 1, "batch_size": 32}, seeds=2)
    done = job.run_one_at_a_time()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "failed 2/2" in done.stdout
    assert "2 of 2 failed: ValueError: of 3" in done.stdout
    assert "2 of 2 diverged: loss not finite at step 0" in done.stdout
    records = job.records().values()
    assert sorted(record["status"] for record in records) == ["complete"] * 2 + ["diverged"] * 2 + ["failed"] * 2
    assert all("ValueError" in record["log"] for record in records if record["status"] == "failed")
    assert {record["attempts"] for record in records} == {1}, "what the method broke is not tried again"
    troubles = json.loads(job.tailboard("status", job.store, "--json").stdout)["troubles"]
    assert [trouble["state"] for trouble in troubles] == ["failed", "failed", "diverged", "diverged"]
    before = job.bytes_of("records")
    assert job.run_one_at_a_time().returncode == 2
    assert job.bytes_of("records") == before
    assert job.leftovers() == []

    damaged = next(key for key, record in job.records().items() if record["status"] == "complete")
    table, path = job.csv(), job.store / "records" / f"{damaged}.json"
    path.write_bytes(path.read_bytes()[:50])
    again = job.tailboard("run", "t.yaml", "--store", "store", "--slots", 1, "--retry-failed")
    assert again.returncode == 2
    assert f"records/{damaged}.json is damaged" in again.stderr
    assert job.csv() == table
    now = job.bytes_of("records")
    ran = {Path(name).stem for name in now if now[name] != before[name]}
    assert ran == {damaged} | {key for key, record in job.records().items() if record["status"] != "complete"}
    assert (job.store / "damaged" / path.name).stat().st_size == 50


def test_sigterm_drains_like_ctrl_c(job):
    """What a cluster's scheduler sends before it takes the machine back."""
    job.write_spec(**ONLY_SLOW)
    process = job.start(*ONE)
    job.wait_for(job.saved, process)
    sockets = job.listening()
    os.killpg(process.pid, signal.SIGTERM)  # the whole group, as timeout and batch systems do
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "the cluster is lost" not in err and "the same command goes on" in err
    assert job.checkpoints()
    job.check_nothing_is_left(sockets)


AT_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_terminal_that_is_closed_drains_like_ctrl_c(job):
    job.write_spec(**ONLY_SLOW)
    ours, theirs = os.openpty()
    tailboard = Path(sys.executable).with_name("tailboard")  # as installed: a forked one has no terminal of its own
    process = subprocess.Popen(
        [sys.executable, "-c", AT_A_TERMINAL, tailboard, *map(str, ONE)],
        cwd=job.folder, env=os.environ | job.environment, start_new_session=True,
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    job.sessions.append(process.pid)
    job.wait_for(lambda: select.select([ours], [], [], 0)[0] and os.read(ours, 65536) and job.checkpoints(), process)
    os.close(ours)
    assert process.wait(timeout=180) == 130
    assert job.checkpoints()
    assert job.leftovers() == []


def test_sigterm_before_anything_trains_ends_alike(job):
    process = job.start(*ONE)
    assert "are already finished" in process.stderr.readline()
    assert process.stderr.readline() == "starting Ray ...\n"
    process.terminate()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "the same command goes on" in err.splitlines()[-1]
    assert job.gone_within(60), job.leftovers()
    assert job.folders() == []


LITTER = """
import sys, threading, time
from pathlib import Path
from tailboard.harness.scheduling.ray_tune import _start, _stop, ray
from tailboard.harness.scheduling.resources import options
from tailboard.harness.spec.schema import Resources

_start(options(Resources(), 1, None, Path(sys.argv[1])), {})
kept = [ray.put(number) for number in range(600)]

def litter():
    while kept:
        cycle = [kept.pop()]
        cycle.append(cycle)
        del cycle
        [[] for _ in range(2000)]  # enough that the collector runs in this thread, where it may
        time.sleep(0.003)

threading.Thread(target=litter, daemon=True).start()
_stop()
print("stopped")
"""


def test_no_thread_that_collects_garbage_ends_a_run_while_ray_shuts_down(tmp_path):
    """It was seen: Ray ends the process with exit code 1 where one of its references is let go at that moment."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:  # short: Ray's sockets lie in it
        words = [sys.executable, "-c", LITTER, folder]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


DIES = """
import os, signal
from dataclasses import dataclass
from pathlib import Path
from tailboard.methods.recipe import ClassWeights, Part, Recipe, register

@dataclass(frozen=True)
class Dies(Part):
    fusable = True

    def build(self, scene):
        def weights(epoch):
            with open("TOLD", "a") as file:
                file.write(f"{epoch}\\n")
            if Path("TOLD").read_text().split().count("2") == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return ClassWeights(scene.tensor(range(1, scene.classes + 1)))
        return weights

register("Dies", Recipe(weights=Dies()))
"""
FUSED = {key: SPEC[key] for key in ("name", "data", "network")} | {
    "methods": ["cRT", {"name": "Dies", "plugin": "dies.py"}],
    "training": {"epochs": 5, "batch_size": 32},
    "seeds": 2,
    "resources": {"checkpoint_seconds": 0, "fuse_seeds": True},
}


def test_fused_seeds_are_recorded_one_by_one_and_go_on_after_a_kill(launcher, tmp_path, shared_ray, shared_mlflow):
    """Their worker dies in the third epoch, of the first seed that begins it."""
    told = tmp_path / "told"
    files = {"dies.py": DIES.replace("TOLD", str(told))}
    job = launcher(tmp_path, FUSED, files, **shared_ray, **shared_mlflow)
    planned = json.loads(job.tailboard("plan", "t.yaml", "--json").stdout)
    done = job.run_one_at_a_time()
    assert done.returncode == 0, done.stderr
    assert told.read_text().split() == [*"00112", *"223344"], "it goes on from the checkpoint of both"
    records = job.records()
    assert records.keys() == {trial["key"] for trial in planned}
    assert all(record["status"] == "complete" and record["epochs"] == 5 for record in records.values())
    words = {(r["trial"]["method"]["name"], r["trial"]["seed"]): r["trial"].get("fused") for r in records.values()}
    assert words == {("cRT", 0): None, ("cRT", 1): None, ("Dies", 0): [0, 1], ("Dies", 1): [0, 1]}
    attempts = {(r["trial"]["method"]["name"], r["attempts"]) for r in records.values()}
    assert attempts == {("cRT", 1), ("Dies", 2)}
    assert "| Dies" in done.stdout and "(n=2)" in done.stdout and b"fused" not in job.csv()
    table = job.tailboard("report", job.store, "--format", "csv").stdout
    rows = list(csv.DictReader(table.splitlines()))
    assert {row["method"] for row in rows} == {"cRT", "Dies"} and len({row["protocol"] for row in rows}) == 1
    exported = job.tailboard("export", job.store, "-o", "fused.zip")
    assert exported.returncode == 0, exported.stderr
    verified = job.tailboard("verify", "fused.zip")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    again = job.run()
    assert again.returncode == 0 and "4 of 4 trials are already finished" in again.stderr
    assert not list((job.store / "checkpoints").glob("*"))
