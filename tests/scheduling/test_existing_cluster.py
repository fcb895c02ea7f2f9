"""Running clusters that are joined, of several real nodes on one machine: with a token, and one that grows."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from ray.util import get_node_ip_address

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM"],
    "network": "small",
    "training": {"epochs": 2, "batch_size": 32},
    "seeds": 2,
    "resources": {"cpu": 2},
}
LEFT = """
import json, sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="CRITICAL")
from ray.util import placement_group_table
groups = [group["state"] for group in placement_group_table().values()]
print(json.dumps({
    "groups": [state for state in groups if state != "REMOVED"],
    "used": ray.cluster_resources().get("CPU", 0) - ray.available_resources().get("CPU", 0),
    "nodes": sorted(node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]),
}))
"""


class Cluster:
    """A head that trains nothing, one node of 1 CPU, and an autoscaler that adds nodes of 2 CPUs, each a raylet."""

    def __init__(self, address: str, environment: dict[str, str]) -> None:
        self.address, self.environment = address, environment

    def ray(self, *words: str) -> None:
        subprocess.run([BIN / "ray", "start", "--num-cpus", *words], env=os.environ | self.environment,
                       check=True, capture_output=True, timeout=120)  # fmt: skip

    def left(self) -> dict:
        done = subprocess.run([sys.executable, "-c", LEFT, self.address], env=os.environ | self.environment,
                              check=True, capture_output=True, text=True, timeout=120)  # fmt: skip
        return json.loads(done.stdout.splitlines()[-1])


def configuration(address: str) -> str:
    """For Ray's own provider of nodes that are processes."""
    lists = ("cluster_synced_files", "initialization_commands", "setup_commands", "head_setup_commands",
             "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands")  # fmt: skip
    node = {"resources": {"CPU": 2}, "node_config": {}, "min_workers": 0, "max_workers": 1}
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    provider = {
        "type": "fake_multinode",
        "launch_multiple": True,
        "gcs_address": address,
        "disable_node_updaters": True,
    }
    return json.dumps({
        "cluster_name": "t", "max_workers": 1, "upscaling_speed": 1, "idle_timeout_minutes": 5, "provider": provider,
        "auth": {"ssh_user": "nobody"}, "file_mounts": {}, "head_node_type": "ray.head.default",
        "available_node_types": {"ray.head.default": head, "added": node}, **{name: [] for name in lists},
    })  # fmt: skip


@pytest.fixture(scope="module")
def cluster(free_port):
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    (folder / "token").write_text(secrets.token_hex(32))
    environment = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token"), "RAY_TMPDIR": str(folder),
                   "RAY_USAGE_STATS_ENABLED": "0", "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1",
                   "PATH": f"{BIN}:{os.environ['PATH']}"}  # fmt: skip
    made = Cluster(f"{get_node_ip_address()}:{free_port()}", environment)
    (folder / "cluster.json").write_text(configuration(made.address))
    try:
        made.ray("0", "--head", f"--port={made.address.split(':')[1]}", "--include-dashboard=false",
                 f"--autoscaling-config={folder / 'cluster.json'}")  # fmt: skip
        made.ray("1", f"--address={made.address}")
        yield made
    finally:
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"RAY_TMPDIR={folder}\0".encode() in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def test_a_driver_without_the_token_is_told_so(launcher, tmp_path, cluster):
    job = launcher(tmp_path, SPEC, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH="", HOME=str(tmp_path))
    done = job.run("run", "t.yaml", "--store", "store", "--address", cluster.address)
    assert done.returncode == 1
    assert "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cluster_is_joined_by_the_variable_fills_its_node_and_is_left_as_it_was(
    launcher, tmp_path, cluster, shared_mlflow
):
    own = {"RAY_ADDRESS": cluster.address, **cluster.environment, **shared_mlflow}
    job = launcher(tmp_path, SPEC | {"resources": {"cpu": 1}}, **own)
    done = job.run("run", "t.yaml", "--store", "store")
    assert done.returncode == 0, done.stderr
    assert f"joining the cluster at {cluster.address} ..." in done.stderr
    assert len(job.records()) == 2
    assert cluster.left() == {"groups": [], "used": 0, "nodes": [0, 1]}
    assert job.leftovers() == [], "no Ray of its own was started"


def test_a_cluster_grows_to_what_slots_says_and_a_trial_that_fits_nowhere_can_be_stopped(
    launcher, tmp_path, cluster, shared_mlflow
):
    job = launcher(tmp_path, SPEC | {"seeds": 1}, **cluster.environment, **shared_mlflow)
    done = job.run("run", "t.yaml", "--store", "store", "--address", cluster.address, "--slots", 2)
    assert done.returncode == 0, done.stderr
    assert "waiting for machines" in done.stderr
    assert len(job.records()) == 1
    job.write_spec(name="large", resources={"cpu": 64}, seeds=2)
    process = job.start("run", "t.yaml", "--store", "store", "--address", cluster.address, "--slots", 1)
    said = []
    while process.stderr and "waiting for machines" not in "".join(said):
        said.append(process.stderr.readline())
    time.sleep(2)  # the trial is handed to Ray
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert cluster.left() == {"groups": [], "used": 0, "nodes": [0, 1, 2]}
