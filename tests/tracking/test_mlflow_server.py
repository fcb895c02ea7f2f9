"""MLflow as a service: PostgreSQL, a bucket, users and passwords. Its server is killed in the middle of a run and comes
back, or does not: every trial finishes, and in the end every run is in MLflow, whole and once.

What runs here on loopback is what `deploy/mlflow` puts into containers, with its environment and its configuration;
the bucket is moto's.
"""

import json
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import numpy as np
import psycopg2
import pytest
import yaml
from mlflow import MlflowClient

from warm_process import WarmProcess

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy" / "mlflow"
BIN = Path(sys.executable).parent
USER = "driver"
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # else Ray takes 127.0.0.1 for the machine's other address

# Three nodes of one place each, until SIGTERM; the address stands in a file.
NODES = """
import os, signal, sys
from pathlib import Path

log = os.open("nodes.log", os.O_WRONLY | os.O_CREAT)  # nobody reads the pipes
os.dup2(log, 1), os.dup2(log, 2)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
from ray.cluster_utils import Cluster

node = {"num_cpus": 1, "object_store_memory": 80 << 20, "node_ip_address": "127.0.0.1"}
cluster = Cluster(initialize_head=True, connect=False, head_node_args={**node, "include_dashboard": False})
cluster.add_node(**node)
cluster.add_node(**node)
Path("address.new").write_text(cluster.address)
Path("address.new").rename("address")
while True:
    signal.pause()
"""
# Waits in its second epoch until there is a file, so that it is known what runs while the server is away.
GATED = """
import time
from dataclasses import dataclass
from pathlib import Path
from tailboard.methods.recipe import ClassWeights, Part, Recipe, hyper, register

@dataclass(frozen=True)
class Gated(Part):
    gate: int = hyper(1, "ours")

    def build(self, scene):
        def weights(epoch):
            end = time.monotonic() + 150
            while epoch and not Path({folder!r}, f"gate{{self.gate}}").exists() and time.monotonic() < end:
                time.sleep(0.05)
            return ClassWeights(scene.tensor([1.0] * scene.classes))
        return weights

register("Gated", Recipe(weights=Gated()))
"""
EPOCHS, SEEDS = 3, 6
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", "Reweighting", {"name": "Gated", "plugin": "gated.py", "values": {"weights.gate": [1, 2]}}],
    "network": "small",
    "training": {"epochs": EPOCHS, "batch_size": 32},
    "seeds": SEEDS,
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(happens, what: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


class Process:
    """A server with a session of its own, its output in a file."""

    def __init__(self, name: str, words: list, folder: Path, environment: dict[str, str] | None = None, **more) -> None:
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [*map(str, words)], env=os.environ | (environment or {}), start_new_session=True, cwd=folder,
                stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, **more,
            )  # fmt: skip

    def listens(self, port: int) -> bool:
        assert self.popen.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    def kill(self, number: int = signal.SIGKILL) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)
        self.popen.stdin.close()
        self.popen.wait(60)


def postgres_programs() -> Path:
    """Where `initdb` and `postgres` are, after Debian's package is installed where that can be done."""

    def there() -> list[Path]:
        found = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
        return [*found, *sorted(Path("/usr/lib/postgresql").glob("*/bin"))]

    if not there() and os.geteuid() == 0 and shutil.which("apt-get"):
        own = Path("/etc/postgresql-common/createcluster.conf")
        if not own.exists():  # else the package starts a database of its own
            own.parent.mkdir(parents=True, exist_ok=True)
            own.write_text("create_main_cluster = false\n")
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update"], ["install", "--yes", "--no-install-recommends", "postgresql"]):
            subprocess.run(["apt-get", "-qq", *words], env=quiet, check=False, timeout=300, capture_output=True)
    if not there():
        pytest.skip("PostgreSQL is not here: install it (Debian: apt-get install postgresql)")
    return there()[-1]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, since Unix sockets lie in it, and open to the user that the database runs as."""
    path = Path(tempfile.mkdtemp(prefix="tbs-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def database(folder: Path) -> Iterator[dict[str, str]]:
    """A PostgreSQL of our own on loopback; what libpq must know of it."""
    programs, port, password = postgres_programs(), free_port(), secrets.token_hex(16)
    home, secret = folder / "pg", folder / "pg" / "password"
    home.mkdir()
    secret.write_text(password)
    user = {}
    if os.geteuid() == 0:  # initdb refuses root
        entry = pwd.getpwnam("postgres")
        user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        for path in (home, secret):
            os.chown(path, entry.pw_uid, entry.pw_gid)
    subprocess.run(
        [programs / "initdb", "--pgdata", home / "data", "--username=mlflow", "--auth=scram-sha-256", "--encoding=UTF8",
         "--no-sync", "--pwfile", secret],
        check=True, cwd=home, stdout=subprocess.DEVNULL, **user,
    )  # fmt: skip
    settings = ["listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={home}", "fsync=off"]
    words = [programs / "postgres", "-D", home / "data", *(word for line in settings for word in ("-c", line))]
    server = Process("postgres", words, folder, **user)
    found = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "mlflow", "PGPASSWORD": password}
    try:
        wait_until(lambda: server.listens(port), "PostgreSQL")
        with suppress(psycopg2.OperationalError):  # it may listen and not be ready
            wait_until(lambda: connect(found, "postgres"), "PostgreSQL")
        admin = connect(found, "postgres")
        admin.autocommit = True
        admin.cursor().execute("CREATE DATABASE mlflow")
        admin.close()
        yield found
    finally:
        server.kill(signal.SIGQUIT)


def connect(database: dict[str, str], name: str = "mlflow"):
    words = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
    return psycopg2.connect(dbname=name, **{word: database[key] for word, key in words.items()})


def rows(database: dict[str, str]) -> str:
    """All that the database holds, as text."""
    with connect(database) as open_, open_.cursor() as cursor:
        cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        assert {"runs", "users"} <= set(tables)
        found = []
        for table in tables:
            cursor.execute(f"SELECT t::text FROM {table} t")  # noqa: S608
            found += [text for (text,) in cursor.fetchall()]
    open_.close()
    return "\n".join(found)


def in_compose(given: dict[str, str]) -> dict[str, str]:
    """The environment that the compose file gives MLflow's container, with the given values for its variables."""

    def value(match: re.Match) -> str:
        return given.get(match[1]) or match[3] or pytest.fail(f"{match[1]} is not given")

    written = yaml.safe_load((DEPLOYED / "compose.yaml").read_text())["services"]["mlflow"]["environment"]
    return {name: re.sub(r"\$\{(\w+)(:\?[^}]*|:-([^}]*))\}", value, text) for name, text in written.items()}


class Service:
    """MLflow's server as it is deployed, which is stopped and started, and what is in it."""

    def __init__(self, folder: Path, database: dict[str, str], bucket: str) -> None:
        self.folder, self.database, self.port = folder, database, free_port()
        self.uri, self.password = f"http://127.0.0.1:{self.port}", secrets.token_urlsafe(24)
        self.admin = secrets.token_urlsafe(24)
        given = {
            "POSTGRES_PASSWORD": database["PGPASSWORD"], "BUCKET_ACCESS_KEY": "key",
            "BUCKET_SECRET_KEY": secrets.token_hex(16), "MLFLOW_ADMIN_USERNAME": "admin",
            "MLFLOW_ADMIN_PASSWORD": self.admin, "MLFLOW_FLASK_SERVER_SECRET_KEY": secrets.token_hex(16),
        }  # fmt: skip
        elsewhere = {"MLFLOW_S3_ENDPOINT_URL": bucket, "MLFLOW_AUTH_CONFIG_PATH": str(DEPLOYED / "basic_auth.ini")}
        here = {"PORT": str(self.port), "PATH": f"{BIN}:{os.environ['PATH']}"}
        self.environment = in_compose(given) | database | elsewhere | here
        self.process: Process | None = None

    def start(self) -> None:
        words = [sys.executable, DEPLOYED / "server.py", "serve", "127.0.0.1"]
        self.process = Process("mlflow", words, self.folder, self.environment)
        wait_until(self.healthy, "MLflow")

    def healthy(self) -> bool:
        if not self.process.listens(self.port):
            return False
        words = [sys.executable, DEPLOYED / "server.py", "health"]
        return subprocess.run(words, env=self.environment, capture_output=True, check=False).returncode == 0

    def as_driver(self, **other: str) -> dict[str, str]:
        names = {"URI": self.uri, "USERNAME": USER, "PASSWORD": self.password} | other
        return {f"MLFLOW_TRACKING_{name}": value for name, value in names.items()}


@pytest.fixture(scope="module")
def service(folder: Path, database: dict[str, str]) -> Iterator[Service]:
    from mlflow.server.auth.client import AuthServiceClient  # all of MLflow's server: not while tests are collected

    port = free_port()
    bucket = Process("moto", [BIN / "moto_server", "-H", "127.0.0.1", "-p", port], folder)
    made = Service(folder, database, f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: bucket.listens(port), "the bucket")
        made.start()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in made.as_driver(USERNAME="admin", PASSWORD=made.admin).items():
                patch.setenv(name, value)
            AuthServiceClient(made.uri).create_user(USER, made.password)
        yield made
    finally:
        for process in filter(None, (made.process, bucket)):
            process.kill()


class Nodes:
    """A Ray cluster of three nodes, whose workers are forked from a process that has imported their libraries."""

    def __init__(self, folder: Path) -> None:
        environment = LOOPBACK | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": str(folder)}
        (folder / "nodes.py").write_text(NODES)
        self._process, told = WarmProcess(["nodes.py"], folder, os.environ | environment), folder / "address"
        self.session = self._process.pid

        def started() -> bool:
            assert self._process.poll() is None, (folder / "nodes.log").read_text()
            return told.exists()

        try:
            wait_until(started, "Ray's nodes")
        except BaseException:
            self.close()
            raise
        self.address = told.read_text()

    def close(self) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        with suppress(ProcessLookupError):
            os.killpg(self.session, signal.SIGKILL)


@pytest.fixture(scope="module")
def nodes(folder: Path) -> Iterator[Nodes]:
    made = Nodes(folder)
    yield made
    made.close()


class Told:
    """What MLflow has of a spec, as its driver reads it."""

    def __init__(self, service: Service, spec: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in service.as_driver().items():
                patch.setenv(name, value)
            self.client = MlflowClient(service.uri)
            experiment = self.client.get_experiment_by_name("tailboard")
            runs = self.client.search_runs([experiment.experiment_id], f"tags.`tailboard.spec` = '{spec}'")
            self.trials = [run for run in runs if "tailboard.key" in run.data.tags]
            self.rows = [run for run in runs if run.data.tags.get("tailboard.role") == "row"]
            self.others = [run for run in runs if run not in self.trials + self.rows]
            self.files = {file.path for run in self.others for file in self.client.list_artifacts(run.info.run_id)}
            self.histories = {
                (run.data.tags["tailboard.key"], name): [
                    metric.step for metric in self.client.get_metric_history(run.info.run_id, name)
                ]
                for run in self.trials for name in ("train/loss", "train/lr", "test/all")
            }  # fmt: skip

    def check(self, records: dict[str, dict], service: Service) -> None:
        """Every trial is there once, with all that belongs to it, and nothing runs."""
        assert [run.info.status for run in self.others] == ["FINISHED"], "the run of the spec, once"
        assert Counter(run.data.tags["tailboard.key"] for run in self.trials) == Counter(list(records))
        assert self.files == {f"leaderboard.{ending}" for ending in ("md", "tex", "csv", "json", "html")}
        under = {row.info.run_id: [] for row in self.rows}
        for run in self.trials:
            under[run.data.tags["mlflow.parentRunId"]].append(run.data.metrics["test/all"])
        assert len(under) == len({run.data.tags["method"] for run in self.trials})
        for row in self.rows:
            assert row.data.metrics["test/all"] == pytest.approx(np.mean(under[row.info.run_id]))
        store = boto3.client(
            "s3", endpoint_url=service.environment["MLFLOW_S3_ENDPOINT_URL"], region_name="us-east-1",
            aws_access_key_id=service.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=service.environment["AWS_SECRET_ACCESS_KEY"],
        )  # fmt: skip
        for run in self.trials:
            key = run.data.tags["tailboard.key"]
            record = records[key]
            assert run.info.status == "FINISHED"
            assert run.data.tags["status"] == "complete"
            for name in ("train/loss", "train/lr"):  # in their order, though what an outage kept back is told later
                assert self.histories[key, name] == list(range(EPOCHS))
            assert self.histories[key, "test/all"] == [EPOCHS]
            means = sum(record["accuracy"]["last_ema"]) / len(record["counts"])
            assert run.data.metrics["test/all"] == pytest.approx(means)
            assert run.data.params["seed"] == str(record["trial"]["seed"])
            assert run.data.params["training.epochs"] == str(EPOCHS)
            path = run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
            assert run.info.artifact_uri != path, "files go through the server: no driver has the bucket's key"
            body = store.get_object(Bucket="mlflow", Key=f"{path}/record.json")["Body"].read()
            assert json.loads(body)["key"] == key


def no_secret(service: Service, said: str, *folders: Path) -> None:
    """Neither in what was said, nor in a file, nor in MLflow's rows."""
    paths = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    texts = [path.read_bytes().decode(errors="replace") for path in paths if service.folder / "pg" not in path.parents]
    for secret in (service.password, service.admin, service.database["PGPASSWORD"]):
        assert not [text[:200] for text in (said, rows(service.database), *texts) if secret in text]


def training_on(nodes: Nodes) -> int:
    """The nodes on which a trial trains: each has a place for one."""
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            session = int(stat.read_text().rpartition(")")[2].split()[3])
            title = stat.with_name("cmdline").read_text()
            found += session == nodes.session and title.startswith("ray::ImplicitFunc")
    return found


def test_a_server_that_dies_and_comes_back_misses_nothing(launcher, service, nodes, tmp_path):
    files = {"gated.py": GATED.format(folder=str(tmp_path))}
    job = launcher(tmp_path, SPEC, files, **service.as_driver(), **LOOPBACK)
    process = job.start("run", "t.yaml", "--store", "store", "--address", nodes.address)

    def told() -> int:
        return len(list((job.store / "tracked").glob("[!.]*")))

    job.wait_for(lambda: told() >= 3, process)
    service.process.kill()
    (tmp_path / "gate1").touch()
    job.wait_for(lambda: len(job.records()) >= told() + 8, process)
    missed = len(job.records())
    service.start()
    job.wait_for(lambda: told() >= missed, process)
    assert len(job.records()) < 4 * SEEDS, "it came back while there were trials to train"
    job.wait_for(lambda: training_on(nodes) == 3, process)
    (tmp_path / "gate2").touch()
    out, err = process.communicate(timeout=400)

    assert process.returncode == 0, err
    records = job.records()
    assert len(records) == 4 * SEEDS
    assert {record["status"] for record in records.values()} == {"complete"}
    assert "MLflow" not in err
    assert "Traceback" not in err
    Told(service, "t").check(records, service)
    assert list(service.folder.rglob("raylet.out")), "Ray's logs are among the files"
    no_secret(service, out + err, job.store, service.folder)


def test_a_server_that_stays_away_is_told_by_the_next_report(launcher, service, nodes, tmp_path):
    spec = SPEC | {"name": "u", "methods": ["ERM"], "seeds": [100, 101, 102]}
    job = launcher(tmp_path, spec, **service.as_driver(), **LOOPBACK)
    service.process.kill()
    done = job.tailboard("run", "t.yaml", "--store", "store", "--address", nodes.address)
    assert done.returncode == 0, done.stderr
    assert len(job.records()) == 3
    known = r"\[\d|0 of 3|starting Ray|starting the first|joining"
    rest = [line for line in done.stderr.splitlines() if not re.match(known, line)]
    assert len(rest) == 1, rest
    (line,) = rest
    assert line.startswith("MLflow could not be written to (")
    assert line.endswith("; the next run or report fills in what is missing")

    service.start()
    job.environment["MLFLOW_TRACKING_PASSWORD"] = wrong = secrets.token_urlsafe(24)
    refused = job.tailboard("report", job.store)
    assert refused.returncode == 0
    assert len(refused.stderr.splitlines()) == 1
    assert "MLflow could not be written to" in refused.stderr
    assert not list(job.store.glob("tracked/*"))

    job.environment["MLFLOW_TRACKING_PASSWORD"] = service.password
    report = job.tailboard("report", job.store, "--format", "json")
    assert (report.returncode, report.stderr) == (0, "")
    Told(service, "u").check(job.records(), service)
    said = done.stdout + done.stderr + refused.stdout + refused.stderr
    assert wrong not in said
    no_secret(service, said, job.store)
