"""Thirty faults at random moments of one run, on a cluster of several real nodes: it comes to the same bytes."""

from __future__ import annotations

import ctypes
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from ray.util import get_node_ip_address

from tailboard.harness.spec.parser import read
from tailboard.harness.spec.schema import plan

pytestmark = [pytest.mark.slow, pytest.mark.chaos, pytest.mark.timeout(1500)]

RAY = Path(sys.executable).with_name("ray")
STARTS = 3  # of one node: Ray gives it half a minute, and this machine may be busy
# Each epoch waits, without keeping a core busy, as long as a file says, and is written down outside the store.
LOGGED = """
import os, time
from dataclasses import dataclass
from pathlib import Path
from tailboard.methods.recipe import ClassWeights, Part, Recipe, register

FOLDER = Path(FOLDER_HERE)

@dataclass(frozen=True)
class Logged(Part):
    def build(self, scene):
        def weights(epoch):
            line = f"{time.time()} {os.getpid()} {scene.generator.seed} {epoch}\\n"
            file = os.open(FOLDER / "epochs.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, line.encode())
            os.close(file)
            time.sleep(float((FOLDER / "seconds").read_text()))
            return ClassWeights(scene.tensor(range(1, scene.classes + 1)))
        return weights

register("Logged", Recipe(weights=Logged()))
"""


def living(session: int) -> dict[int, str]:
    """The living processes of a session, by id, with their titles."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if state != "Z" and int(of) == session:
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    return found


class Node:
    """What one `ray start` brought up: its processes share a session."""

    def __init__(self, environment: dict[str, str], *words: str) -> None:
        command, out = [RAY, "start", "--disable-usage-stats", *words], ""
        for _ in range(STARTS):
            with subprocess.Popen(command, env=os.environ | environment, start_new_session=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:  # fmt: skip
                out, _ = process.communicate(timeout=300)
            self.session = process.pid
            if process.returncode == 0:
                return
            self.send(signal.SIGKILL)  # what of it is there
        raise AssertionError(out)

    def processes(self, title: str = "") -> list[int]:
        return [pid for pid, found in living(self.session).items() if title in found]

    def workers(self) -> list[int]:
        return [pid for pid, title in living(self.session).items() if title.startswith("ray::ImplicitFunc")]

    def send(self, number: int, pids: list[int] | None = None) -> None:
        for pid in self.processes() if pids is None else pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


class Cluster:
    """A head that trains nothing, and nodes of 2 CPUs."""

    def __init__(self, free_port) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
        (self.folder / "token").write_text(secrets.token_hex(32))
        self.environment = {
            "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.folder / "token"),
            "RAY_TMPDIR": str(self.folder),
            # A node is taken for dead after some 7 s instead of 18, and not sooner: this machine may be busy.
            "RAY_health_check_period_ms": "1000", "RAY_health_check_timeout_ms": "5000",
            "RAY_health_check_failure_threshold": "3", "RAY_health_check_initial_delay_ms": "1000",
        }  # fmt: skip
        self.free_port, self.nodes, self.dead = free_port, [], []
        self.start()

    def start(self) -> None:
        port = self.free_port()
        self.address = f"{get_node_ip_address()}:{port}"
        self.head = Node(self.environment, "--head", f"--port={port}", "--num-cpus=0", "--include-dashboard=false")
        self.nodes = [self.node() for _ in range(2)]

    def node(self) -> Node:
        return Node(self.environment, f"--address={self.address}", "--num-cpus=2")

    def state(self) -> list[tuple[list[int], list[int]]]:
        return [(node.processes("raylet/raylet"), node.workers()) for node in self.nodes]

    def workers(self) -> list[int]:
        return [pid for node in self.nodes for pid in node.workers()]

    def close(self) -> None:
        for node in (self.head, *self.nodes, *self.dead):
            node.send(signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 40}],
    "methods": [{"name": "Logged", "plugin": "logged.py"}],
    "network": "small",
    "training": {"epochs": 12, "batch_size": 64, "augment": "none"},
    "seeds": 16,
    "resources": {"checkpoint_seconds": 0, "retries": 1000},
}
FAULTS = {
    "a worker is killed": 14,
    "a node is killed": 2,
    "a raylet is killed and its workers live on": 2,
    "a node is told to go, and killed soon after": 2,
    "the driver is killed": 1,
    "the driver is killed, and a checkpoint cut short": 2,
    "the driver is told to go": 1,
    "the head is killed": 1,
    "the store gives errors": 3,
    "the disk is full": 2,
}


def exchange(one: Path, other: Path) -> None:
    """Each gets the other's name, in one step."""
    done = ctypes.CDLL(None, use_errno=True).renameat2(-100, bytes(one), -100, bytes(other), 2)
    assert done == 0, os.strerror(ctypes.get_errno())


def until(happens: Callable[[], Any], what: Callable[[], str] | str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, f"not within {seconds} s: {what() if callable(what) else what}"
        time.sleep(0.05)


@dataclass
class Chaos:
    """A run on a cluster, and what is done to it. ``ghosts``: since when a process has no business any more."""

    job: Any
    cluster: Cluster
    disk: Path
    rng: random.Random
    happened: list[str] = field(default_factory=list)
    ghosts: dict[int, float] = field(default_factory=dict)
    cuts: list[tuple[float, int]] = field(default_factory=list)
    finished: dict[str, Any] = field(default_factory=dict)
    begun: float = field(default_factory=time.monotonic)

    def drive(self) -> None:
        self.process = self.job.start("run", "t.yaml", "--store", "store", "--address", self.cluster.address)

    def say(self, what: str) -> None:
        self.happened.append(f"{time.monotonic() - self.begun:.1f} s: {what}")
        print(self.happened[-1], flush=True)  # pytest shows it where the test fails

    def story(self) -> str:
        return "\n".join(self.happened)

    def haunted(self, pids: list[int]) -> None:
        self.ghosts |= {pid: time.time() for pid in pids}

    def trains(self) -> None:
        """Wait until a worker has begun an epoch from now on."""
        before = len(self.epochs())

        def begun() -> bool:
            assert self.process.poll() is None, f"the run ended: {self.process.communicate()}\n{self.story()}"
            return any(pid not in self.ghosts for _, pid, _, _ in self.epochs()[before:])

        until(begun, lambda: f"an epoch; raylets and workers: {self.cluster.state()}\n{self.story()}", 240)

    def epochs(self) -> list[tuple[float, int, int, int]]:
        """When each began, in which process, of which seed, its number."""
        log = self.job.folder / "epochs.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [(float(t), int(pid), int(seed), int(epoch)) for t, pid, seed, epoch in map(str.split, lines)]

    def look(self) -> None:
        """What is finished stays as it is."""
        now = self.job.bytes_of("records", "arrays")
        records = {name: now[name] for name in now if name.startswith("records/") and not name.endswith(".part")}
        for name, found in self.finished.items():
            assert now.get(name) == found, f"{name} was written again\n{self.story()}"
        whole = {f"arrays/{Path(name).stem}.npz" for name in records}
        self.finished |= records | {name: now[name] for name in whole}
        # The faults are to find it at work: the less there is left, the slower.
        self.pace(0.5 if len(records) < SPEC["seeds"] / 2 else 4)

    def pace(self, seconds: float) -> None:
        part = self.job.folder / "seconds.part"
        part.write_text(str(seconds))
        part.replace(self.job.folder / "seconds")

    def strike(self, fault: str) -> None:
        self.say(fault)
        {
            "a worker is killed": self.worker,
            "a node is killed": self.node,
            "a raylet is killed and its workers live on": self.raylet,
            "a node is told to go, and killed soon after": self.spot,
            "the driver is killed": self.driver,
            "the driver is killed, and a checkpoint cut short": self.cut,
            "the driver is told to go": self.drained,
            "the head is killed": self.head,
            "the store gives errors": self.errors,
            "the disk is full": self.full,
        }[fault]()

    def worker(self) -> None:
        until(self.cluster.workers, "a worker")
        os.kill(self.rng.choice(self.cluster.workers()), signal.SIGKILL)

    def lose(self) -> Node:
        """A node that is going; another comes in its place."""
        node = self.rng.choice(self.cluster.nodes)
        self.haunted(node.workers())
        self.cluster.nodes.remove(node)
        self.cluster.dead.append(node)
        return node

    def node(self) -> None:
        self.lose().send(signal.SIGKILL)
        self.cluster.nodes.append(self.cluster.node())

    def raylet(self) -> None:
        node = self.lose()
        node.send(signal.SIGKILL, node.processes("raylet/raylet"))
        self.cluster.nodes.append(self.cluster.node())

    def spot(self) -> None:
        node = self.lose()
        node.send(signal.SIGTERM)
        time.sleep(self.rng.uniform(0, 3))
        node.send(signal.SIGKILL)
        self.cluster.nodes.append(self.cluster.node())

    def stop_driver(self) -> None:
        self.haunted(self.cluster.workers())
        self.process.kill()
        self.process.wait()

    def driver(self) -> None:
        self.stop_driver()
        self.drive()

    def cut(self) -> None:
        """Of a trial that has one when its driver is dead: the one that was seen may just have ended."""
        while not (paths := self.left_behind()):
            self.drive()
        path = self.rng.choice(paths)
        os.truncate(path, self.rng.randrange(path.stat().st_size))
        self.cuts.append((time.time(), self.seeds[path.stem]))
        self.drive()

    def left_behind(self) -> list[Path]:
        """The checkpoints of a dead driver's trials."""

        def checkpoints() -> list[Path]:
            return sorted(self.job.store.glob("checkpoints/*.pt"))

        until(checkpoints, f"a checkpoint\n{self.story()}", 240)
        self.stop_driver()
        until(lambda: not self.cluster.workers(), f"the workers of a dead driver end\n{self.story()}")
        return checkpoints()

    def drained(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        _, err = self.process.communicate(timeout=400)
        assert self.process.returncode == 130, err
        assert "the same command goes on" in err.splitlines()[-1]
        assert self.job.leftovers() == []
        self.drive()

    def head(self) -> None:
        """Its workers live on until their raylets give up, beside those of a new cluster."""
        self.haunted(self.cluster.workers())
        self.cluster.head.send(signal.SIGKILL)
        self.cluster.dead += [self.cluster.head, *self.cluster.nodes]
        old = self.process
        self.cluster.start()
        _, err = old.communicate(timeout=400)
        assert old.returncode == 130, err
        assert "the cluster is lost" in err and "the same command goes on" in err.splitlines()[-1]
        assert "Traceback" not in err
        assert self.job.leftovers() == []
        self.drive()

    def errors(self) -> None:
        """A file where the folder should be."""
        folder, stand_in = self.job.store / "checkpoints", self.job.folder / "disk" / "stand-in"
        stand_in.touch()
        exchange(folder, stand_in)
        time.sleep(self.rng.uniform(0.5, 2))
        exchange(folder, stand_in)
        stand_in.unlink()

    def full(self) -> None:
        filler = self.disk / "filler"
        with filler.open("wb") as file, suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.disk).free)
        time.sleep(self.rng.uniform(0.5, 2))
        filler.unlink()


@pytest.fixture
def cluster(free_port):
    made = Cluster(free_port)
    yield made
    made.close()


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, where this may be made; a folder elsewhere."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(folder)]
    mounted = bool(shutil.which("mount")) and not subprocess.run(mount, capture_output=True, check=False).returncode
    yield folder, mounted
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def launched(launcher, folder: Path, **environment: str) -> Any:
    tracking = f"sqlite:///{folder}/mlflow.db"
    plugin = LOGGED.replace("FOLDER_HERE", repr(str(folder)))
    return launcher(folder, SPEC, {"logged.py": plugin}, MLFLOW_TRACKING_URI=tracking, **environment)


def test_thirty_faults_in_one_run_change_no_byte_of_the_report(launcher, tmp_path, cluster, disk):
    seed = time.time_ns()
    (tmp_path / "seconds").write_text("0")
    calm = launched(launcher, tmp_path)
    done = calm.run()
    assert done.returncode == 0, done.stderr
    expected = calm.csv()
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "epochs.log").unlink()

    folder, mounted = disk
    job = launched(launcher, tmp_path, **cluster.environment)
    (folder / "store").mkdir()
    (tmp_path / "store").symlink_to(folder / "store")
    chaos = Chaos(job, cluster, folder, random.Random(seed))  # noqa: S311
    chaos.seeds = {trial.key: trial.seed for trial in plan(read(tmp_path / "t.yaml"))}
    faults = [fault for fault, times in FAULTS.items() for _ in range(times) if mounted or fault != "the disk is full"]
    chaos.rng.shuffle(faults)
    assert len(faults) >= 28 + 2 * mounted
    chaos.say(f"seed {seed}")
    chaos.pace(0.5)
    chaos.drive()
    for fault in faults:
        chaos.trains()
        time.sleep(chaos.rng.uniform(0, 2))
        chaos.look()
        chaos.strike(fault)
    chaos.pace(0)
    _, err = chaos.process.communicate(timeout=600)
    chaos.say("the end")
    assert chaos.process.returncode == 0, f"{err}\n{chaos.story()}"
    chaos.look()
    assert job.csv() == expected, chaos.story()
    check_epochs(chaos)
    assert len(job.records()) == SPEC["seeds"]
    assert sum(record["attempts"] for record in job.records().values()) > SPEC["seeds"], "nothing was resumed"
    assert job.checkpoints() == set(), chaos.story()
    assert not list(job.store.rglob("*.part"))
    assert job.leftovers() == []
    living_ghosts = lambda: [pid for pid in chaos.ghosts if Path(f"/proc/{pid}").exists()]  # noqa: E731
    until(lambda: not living_ghosts() and not cluster.workers(), f"every worker ends\n{chaos.story()}")


def check_epochs(chaos: Chaos) -> None:
    """An epoch begins once the one before is saved. So what a kill costs is the epoch that was on its way: none that
    came before it is trained again, but where the checkpoint was cut; and none at all of a trial that is finished."""
    keys = {seed: key for key, seed in chaos.seeds.items()}
    reached: dict[int, int] = {}
    cuts = sorted(chaos.cuts)
    for at, pid, seed, epoch in sorted(chaos.epochs()):
        while cuts and cuts[0][0] < at:
            reached.pop(cuts.pop(0)[1], None)
        if at > chaos.ghosts.get(pid, at):
            continue
        lost = reached.get(seed, 0) - epoch
        assert lost <= 0, f"seed {seed} lost {lost} epochs before {epoch}, in {pid} at {at}\n{chaos.story()}"
        reached[seed] = epoch
        record = (chaos.job.store / "records" / f"{keys[seed]}.json").stat().st_mtime
        assert at < record, f"seed {seed} ran again after its end\n{chaos.story()}"
    assert set(reached) == set(chaos.seeds.values())
