"""What several tests share: a run that is small enough to take a few steps in milliseconds, in float64; real
`tailboard` processes that may be killed; and a real S3 server on loopback, with a way to it that may be broken."""

import json
import os
import random
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import typer.main
import typer.testing
from hypothesis import settings
from torch import nn

from ray_head import RayHead
from tailboard.datasets import builtin, catalog, lock
from tailboard.harness.cli import app
from tailboard.harness.registry.networks import Network
from tailboard.harness.spec.schema import Training
from tailboard.harness.training.device_images import DeviceData
from tailboard.harness.training.loop import TrainingLoop
from tailboard.harness.training.random_streams import RandomStreams, initialisation
from tailboard.harness.training.scoring_process import scoring_process
from tailboard.methods.part import Scene
from warm_process import WarmProcess
from workers_of_files import pytest_xdist_make_scheduler  # noqa: F401

torch.set_num_threads(1)  # the tensors are tiny; threads would only wait for each other where cores are shared
settings.register_profile("shared cores", deadline=None)  # how long an example takes says nothing there
settings.load_profile("shared cores")

SEED = 3
STARTS = {"browser", "launcher", "shared_ray", "s3"}
TRAIN = {"groups", "tuned_bundle"}  # some seconds, for the first test of a worker that asks for them
LONG = {"test_wheel.py", "test_label_isolation.py", "test_compiled_network.py"}  # few tests, each of many seconds
LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
STARTING = "default_worker.py"  # in the command line of a worker that has not registered with its raylet
ROUTINE = {
    "epochs": 5, "batch_size": 12, "lr": 0.1, "momentum": 0.9, "weight_decay": 2e-4, "schedule": "cosine",
    "warmup_epochs": 1.0, "ema": 0.9, "label_smoothing": 0.1, "crop_padding": 1, "flip": True, "augment": "none",
    "cutmix": 0.5, "cutmix_alpha": 1.0, "precision": "float32",
}  # fmt: skip


def small_network(classes: int, purpose: str = "network") -> Network:
    with initialisation(SEED, purpose):
        features = nn.Sequential(
            nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(32, 16),
        )  # fmt: skip
        return Network(features, 16, classes)


BYTECODE_KEPT_BACK = sys.dont_write_bytecode
sys.dont_write_bytecode = False  # while tests are collected: to rewrite their assertions takes a third of that time


def pytest_collection_finish() -> None:
    sys.dont_write_bytecode = BYTECODE_KEPT_BACK


@pytest.hookimpl(tryfirst=True)  # before the marks are asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts a browser, real processes, Ray or a server is slow, and so is what trains bundles. The files of the
    first come first, then those with the most slow ones, so that no worker begins a long one when the others are
    done."""
    starts = {item.path for item in items if not STARTS.isdisjoint(getattr(item, "fixturenames", ()))}
    starts |= {item.path for item in items if item.path.name in LONG}
    for item in items:
        if not (STARTS | TRAIN).isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: (item.path not in starts, 0 if item.path in starts else -slow[item.path]))


@pytest.fixture(autouse=True)
def clusters_of_their_own() -> Iterator[None]:
    """Importing ``run`` binds the Ray of this process to loopback; the clusters that tests start have other nodes."""
    os.environ.pop(LOOPBACK, None)
    yield
    os.environ.pop(LOOPBACK, None)


@pytest.fixture(autouse=True)
def labels_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that an earlier test read are no reason to build this one's methods in a process started for that."""
    monkeypatch.setattr(lock, "_labels_read", False)


@pytest.fixture(scope="session", autouse=True)
def disk_not_waited_for() -> Iterator[None]:
    """What tests write need not outlast a loss of power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def commands_made_once() -> Iterator[None]:
    """A process that calls one command builds all of them once; this one calls hundreds."""
    with pytest.MonkeyPatch.context() as patch:
        once = cache(typer.main.get_command)
        patch.setattr(typer.main, "get_command", once)
        patch.setattr(typer.testing, "_get_command", once)
        yield


_migrations: list[Any] = []


@pytest.fixture(autouse=True)
def migrations_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna reads its migrations, a dozen modules, whenever it opens a file; they are the same all session long."""
    if opened := sys.modules.get("optuna.storages._rdb.storage"):
        read = opened._VersionManager._create_alembic_script

        def once(self: Any) -> Any:
            if not _migrations:
                _migrations.append(read(self))
            return _migrations[0]

        monkeypatch.setattr(opened._VersionManager, "_create_alembic_script", once)


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths, data and caches of this machine do not matter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TAILBOARD_DATA", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nothing listens: no report waits for MLflow


@pytest.fixture
def cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache folder that nothing is in, also for the process that scores."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    scoring_process().close()
    yield
    scoring_process().close()


@pytest.fixture
def tailboard(own_folder: None, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """``tailboard("plan", "t.yaml")``: the command, in this process, as (exit code, stdout, stderr)."""

    def run(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tailboard", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def tiny(double: None) -> Callable[..., TrainingLoop]:
    """``tiny(recipe, counts, **training)``: a Run at its start, on random images of 3 x 8 x 8."""

    def make(recipe, counts=(24, 12, 6), **training) -> TrainingLoop:
        draw = torch.Generator().manual_seed(SEED)
        judge = small_network(len(counts), "judge").eval().requires_grad_(False)
        material = DeviceData(
            x=torch.randint(256, (sum(counts), 3, 8, 8), dtype=torch.uint8, generator=draw),
            y=torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)),
            mean=torch.tensor([0.5, 0.4, 0.3]),
            std=torch.tensor([0.2, 0.3, 0.2]),
        )
        routine = Training(**(ROUTINE | training))
        model, streams = small_network(len(counts)), RandomStreams(SEED)
        scene = Scene(
            counts,
            routine.epochs,
            model,
            torch.device("cpu"),
            streams,
            lambda method, independent: judge,
            material.normalised,
            material.images,
        )
        return TrainingLoop(recipe, routine, model, material, scene, streams)

    return make


@pytest.fixture
def weights(tiny: Callable[..., TrainingLoop]) -> Callable[..., dict[str, torch.Tensor]]:
    """``weights(recipe, ...)``: the network's weights and buffers, averaged ones too, when all epochs are done."""

    def trained(recipe, *args, **training) -> dict[str, torch.Tensor]:
        return everything(finished(tiny(recipe, *args, **training)))

    return trained


def finished(run: TrainingLoop) -> TrainingLoop:
    for _ in run.epochs():
        pass
    return run


def everything(run: TrainingLoop) -> dict[str, torch.Tensor]:
    raw = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    return raw | {f"averaged/{index}": tensor.clone() for index, tensor in enumerate(run.average.state())}


@pytest.fixture
def same_after_resume(tiny: Callable[..., TrainingLoop]) -> Callable[..., None]:
    """``same_after_resume(recipe, at)``: a run that goes on from the state after epoch ``at`` ends at the same bits."""

    def check(recipe, at: int) -> None:
        whole, first, second = tiny(recipe), tiny(recipe), tiny(recipe)
        epochs = first.epochs()
        for _ in range(at):
            next(epochs)
        second.restore(first.state())
        expected, got = everything(finished(whole)), everything(finished(second))
        assert all(torch.equal(expected[name], got[name]) for name in expected)
        assert whole.history == second.history

    return check


FOREIGN = """
import numpy as np
from tailboard.datasets.catalog import Dataset, register_dataset
from tailboard.datasets.split import Images, Pool

def images(each, classes=3, seed=0):
    y = np.repeat(np.arange(classes), each)
    return Images(np.random.default_rng(seed).integers(0, 256, (len(y), 1, 16, 16), dtype=np.uint8), y)

register_dataset(Dataset(
    name="NAME", classes=("a", "b", "c"), available=(20,) * 3, head=20, shape=(1, 16, 16), mean=(0.5,), std=(0.25,),
    load=lambda root, verify: POOL, layout="none", terms="none", description="random images",
))
"""


@pytest.fixture
def installed_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """``installed_dataset(name, pool)``: a package is installed that registers a data set, with the expression that
    makes its pool; here, and in every process that is started from now on."""
    site = tmp_path / "site"

    def install(name: str, pool: str) -> None:
        about = site / f"{name}-1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (about / "entry_points.txt").write_text(f"[tailboard.datasets]\n{name} = {name}_data\n")
        (site / f"{name}_data.py").write_text(FOREIGN.replace("NAME", name).replace("POOL", pool))
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.setenv("PYTHONPATH", str(site))
        builtin._load.cache_clear()
        scoring_process().close()

    before = dict(builtin.catalog())
    yield install
    builtin._load.cache_clear()
    catalog.registered.clear()
    catalog.registered.update(before)
    scoring_process().close()


class Launched:
    """A folder with a spec t.yaml, and the `tailboard` processes that are started on it with the store ./store.

    Each process leads a session of its own, so all that it leaves behind can be found.
    """

    def __init__(self, folder: Path, spec: dict[str, Any], files: dict[str, str], environment: dict[str, str]) -> None:
        self.folder, self.store, self.spec = folder, folder / "store", spec
        self.environment = {"TMPDIR": tempfile.mkdtemp(prefix="t-", dir="/tmp"), **environment}
        self.program: list[str] = []  # another one than `tailboard`, with its first words, which imports all anew
        self.script = "tailboard"  # or a Python file that calls its main
        self.sessions: list[int] = []
        self._checkpointed: dict[str, int] = {}
        for name, text in files.items():
            (folder / name).write_text(text)
        self.write_spec()

    def write_spec(self, **changes: Any) -> None:
        self.spec = self.spec | changes
        (self.folder / "t.yaml").write_text(json.dumps(self.spec))  # JSON is YAML

    def start(self, *words: Any) -> subprocess.Popen[str] | WarmProcess:
        words = words or ("run", "t.yaml", "--store", "store", "--slots", 2)
        self._checkpointed = {path.name: path.stat().st_mtime_ns for path in self.store.glob("checkpoints/*.pt")}
        environment = os.environ | self.environment
        if not self.program:
            process = WarmProcess([self.script, *map(str, words)], self.folder, environment)
        else:
            process = subprocess.Popen(
                [*self.program, *map(str, words)], cwd=self.folder, env=environment, text=True, start_new_session=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        self.sessions.append(process.pid)
        return process

    def tailboard(self, *words: Any) -> subprocess.CompletedProcess[str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=400)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    run = tailboard

    def run_one_at_a_time(self) -> subprocess.CompletedProcess[str]:
        """In one worker, which is less to start: for a few short trials."""
        return self.tailboard("run", "t.yaml", "--store", "store", "--slots", 1)

    def records(self) -> dict[str, dict[str, Any]]:
        return {path.stem: json.loads(path.read_text()) for path in self.store.glob("records/*.json")}

    def bytes_of(self, *folders: str) -> dict[str, tuple[int, bytes]]:
        """When each file was written, and what it holds."""
        files = [path for folder in folders for path in self.store.glob(f"{folder}/*")]
        return {str(f.relative_to(self.store)): (f.stat().st_mtime_ns, f.read_bytes()) for f in files}

    def csv(self) -> bytes:
        return (self.store / "report" / "leaderboard.csv").read_bytes()

    def checkpoints(self) -> set[str]:
        return {path.stem for path in self.store.glob("checkpoints/*.pt")}

    def saved(self) -> bool:
        """Whether the last process has written a checkpoint."""
        return any(path.stat().st_mtime_ns > self._checkpointed.get(path.name, 0)
                   for path in self.store.glob("checkpoints/*.pt"))  # fmt: skip

    def reaches(self, happens: Callable[[], Any], process: subprocess.Popen[str] | WarmProcess) -> bool:
        """Whether it happens while the process lives; waits for it for four minutes. Looks take a fifth of the time at
        most: the rest is for what is waited for."""
        end = time.monotonic() + 240
        while process.poll() is None:
            look = time.monotonic()
            assert look < end, "it did not happen within 240 s"
            with suppress(FileNotFoundError):
                if happens():
                    return True
            time.sleep(max(0.02, 4 * (time.monotonic() - look)))
        return False

    def wait_for(self, happens: Callable[[], Any], process: subprocess.Popen[str] | WarmProcess) -> None:
        assert self.reaches(happens, process), f"the process ended before it happened: {process.poll()}"

    def interrupt(self, process: subprocess.Popen[str] | WarmProcess) -> None:
        """Ctrl-C: a terminal sends it to every process of the foreground group."""
        os.killpg(process.pid, signal.SIGINT)

    def processes(self) -> dict[int, str]:
        """Every living process of our sessions, by id, with its title."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                if state != "Z" and int(session) in self.sessions:
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        return found

    def workers(self) -> list[int]:
        """The processes in which a trial trains."""
        return [pid for pid, title in self.processes().items() if title.startswith("ray::ImplicitFunc")]

    def listening(self) -> dict[str, str]:
        """The sockets on which our processes listen (IPv4 and IPv6), with the addresses as the kernel writes them."""
        sockets = set()
        for link in (link for pid in self.processes() for link in Path(f"/proc/{pid}/fd").glob("*")):
            with suppress(OSError):
                sockets.add(str(link.readlink()))
        found = open_sockets()
        return {name: found[name] for name in sockets & set(found)}

    def check_nothing_is_left(self, listened: Iterable[str]) -> None:
        """No process, no temporary file, and none of the sockets on which ours listened."""
        assert listened, "Ray does listen"
        assert self.leftovers() == []
        assert not set(listened) & set(open_sockets()), "a socket still listens"
        assert list(Path(self.environment["TMPDIR"]).iterdir()) == []

    def open_to_others(self) -> list[str]:
        """Where our processes listen for other machines."""
        loopback = ("0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000")
        mine = self.listening().values()
        assert mine, "Ray does listen"
        return [address for address in mine if address.split(":")[0] not in loopback]

    def kill_workers(self) -> None:
        pids = self.workers()
        assert pids, "there is no worker to kill"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def leftovers(self) -> list[str]:
        """Processes and temporary folders that a run left behind."""
        return [*self.processes().values(), *self.folders()]

    def folders(self) -> list[str]:
        return [str(path) for path in Path(self.environment["TMPDIR"]).glob("tb-*")]

    def gone_within(self, seconds: float) -> bool:
        """Whether all processes end by themselves in that time.

        But for Ray's own that train and write nothing: two agents, which look for their dead head for 100 s, and a
        worker that was about to start (it has no title of Ray's yet), which waits a minute for a raylet that is dead.
        """
        end = time.monotonic() + seconds
        while living := [t for t in self.processes().values() if "Agent" not in t.split(" ")[0] and STARTING not in t]:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return not living

    def close(self) -> None:
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.environment["TMPDIR"], ignore_errors=True)


def open_sockets() -> dict[str, str]:
    """Every listening TCP socket of this machine with its address, as the kernel writes it, by its number, which no
    other will ever have."""
    lines = [line for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    return {f"socket:[{f[9]}]": f[1] for f in map(str.split, lines) if f[3] == "0A"}


@pytest.fixture(scope="session")
def launcher() -> Iterator[Callable[..., Launched]]:
    """``launcher(folder, spec, files, **environment)``: real `tailboard` processes in a folder."""
    made = []

    def launch(folder: Path, spec: dict[str, Any], files: dict[str, str] | None = None, **environment: str) -> Launched:
        made.append(Launched(folder, spec, files or {}, environment))
        return made[-1]

    yield launch
    for job in made:
        job.close()


@pytest.fixture(scope="session")
def shared_ray(free_port: Callable[[], int]) -> Iterator[dict[str, str]]:
    """What a driver's environment holds to join the Ray of one CPU that outlives it: for a test that is not about how
    Ray starts or ends, what becomes of its processes, or trials beside each other. Each worker more costs its start."""
    head = RayHead(free_port(), "--num-cpus=1")
    yield head.environment
    head.close()


@pytest.fixture(scope="session")
def shared_mlflow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a driver's environment holds to tell one database of MLflow's, whose tables are made once: for a test that
    is not about MLflow."""
    return {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"}


MOTO = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""
ANSWER = b"<Error><Code>ServiceUnavailable</Code><Message>Please try again</Message></Error>"


class Way:
    """A TCP proxy to the S3 server. While it is ``broken``, a connection gets an answer of that number (``503``), is
    reset at once (``drop``), or in the middle of the answer (``half``)."""

    def __init__(self, port: int) -> None:
        self.broken, self.refused, way = "", 0, self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    way.serve(self.request, port)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def serve(self, client: socket.socket, port: int) -> None:
        broken = self.broken
        self.refused += bool(broken)
        if broken.isdigit():
            client.recv(1 << 16)
            head = f"HTTP/1.1 {broken} No\r\nContent-Type: application/xml\r\nContent-Length: {len(ANSWER)}\r\n"
            client.sendall(head.encode() + b"Connection: close\r\n\r\n" + ANSWER)
        elif broken != "drop":
            with socket.create_connection(("127.0.0.1", port)) as server:
                threading.Thread(target=self._pump, args=(client, server), daemon=True).start()
                while data := server.recv(1 << 16):
                    client.sendall(data[: len(data) // 2] if broken else data)
                    if broken:
                        break
        if broken == "half":  # the pump still waits for what the client says
            client.shutdown(socket.SHUT_RDWR)
        if broken == "drop":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no goodbye
        client.close()

    @staticmethod
    def _pump(client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)

    def break_for(self, seconds: float, how: str) -> None:
        self.broken = how
        threading.Timer(seconds, setattr, (self, "broken", "")).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def s3() -> Iterator[Way]:
    """A real S3 server, the only one that boto and s3fs see, from here and in processes; one for all tests."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    process = subprocess.Popen([sys.executable, "-c", MOTO], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    way = Way(int(process.stdout.readline()))
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
            patch.delenv(name)
        for name, value in {
            "AWS_ENDPOINT_URL": way.url, "AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull, "AWS_MAX_ATTEMPTS": "1",  # botocore's own, below s3fs's and ours
        }.items():  # fmt: skip
            patch.setenv(name, value)
        scoring_process().close()  # one that was started before knows of another environment
        yield way
        way.close()
    process.stdin.close()
    process.wait(timeout=20)


@pytest.fixture
def bucket(s3: Way) -> Iterator[str]:
    """The URL of a fresh bucket."""
    import fsspec

    name = f"b{uuid.uuid4().hex}"
    fsspec.filesystem("s3").mkdir(name)
    yield f"s3://{name}"
    s3.broken = ""


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A port on which nobody listens now, and that no connection to elsewhere is given: those come from 32768 on."""

    def port() -> int:
        while True:
            with socket.socket() as found, suppress(OSError):
                found.bind(("0.0.0.0", random.randint(20000, 30000)))  # noqa: S104, S311
                return found.getsockname()[1]

    return port
