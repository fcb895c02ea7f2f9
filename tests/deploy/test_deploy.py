"""What is handed to others to start clusters with: checked against the schemas of those who read it."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import time
import urllib.request
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import ray.autoscaler
import yaml
from kubernetes_validate import validate
from ray.autoscaler._private.util import prepare_config, validate_config
from referencing import Registry, Resource

ROOT = Path(__file__).parents[2]
KUBERNETES = "1.37"
KUBERAY = sorted((ROOT / "deploy" / "kuberay").glob("*.yaml"))
RAY = next(x for x in (ROOT / "constraints.txt").read_text().split() if x.startswith("ray==")).removeprefix("ray==")


def read(path: Path) -> list[dict]:
    """The documents, each with copies in place of YAML's anchors, so that a test may change one place."""
    return json.loads(json.dumps(list(yaml.safe_load_all(path.read_text()))))


@pytest.fixture
def cluster() -> dict:
    return read(ROOT / "ray_cluster.yaml")[0]


def accepted_by_ray(cluster: dict) -> None:
    """Each of the two finds what the other lets pass."""
    jsonschema.validate(cluster, json.loads(Path(ray.autoscaler.__path__[0], "ray-schema.json").read_text()))
    validate_config(prepare_config(copy.deepcopy(cluster)))


def test_the_cluster_is_one_that_ray_up_accepts(cluster):
    accepted_by_ray(cluster)


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        (("available_node_types", "gpu_worker"), "max_worker", 1),
        (("available_node_types", "gpu_worker"), "max_workers", "8"),
        ((), "min_workers", 1),
        ((), "head_node_type", "haed"),
        (("docker",), "run_option", []),
    ],
)
def test_the_check_of_the_cluster_does_check(cluster, where, key, value):
    place = cluster
    for name in where:
        place = place[name]
    place[key] = value
    with pytest.raises((jsonschema.ValidationError, ValueError), match=key):
        accepted_by_ray(cluster)


def test_the_head_is_on_demand_and_trains_nothing_while_workers_are_spot(cluster):
    head, worker = (cluster["available_node_types"][name] for name in ("head", "gpu_worker"))
    assert cluster["head_node_type"] == "head"
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert worker["node_config"]["InstanceType"] != head["node_config"]["InstanceType"]
    assert worker["min_workers"] == 0
    assert worker["max_workers"] == cluster["max_workers"]


def mps_commands() -> list[str]:
    """What each template's workers run to start NVIDIA's MPS."""
    found = [read(ROOT / "ray_cluster.yaml")[0]["worker_start_ray_commands"][-2]]
    for path in KUBERAY:
        spec = read(path)[1]["spec"]
        (worker,) = spec.get("rayClusterSpec", spec)["workerGroupSpecs"]
        (container,) = worker["template"]["spec"]["containers"]
        found.append(container["lifecycle"]["postStart"]["exec"]["command"][-1])
    return found


@pytest.mark.parametrize(("there", "code"), [(True, 0), (True, 1), (False, 0)])
def test_workers_start_mps_before_ray_and_do_without_where_it_is_not(there, code, tmp_path):
    commands = mps_commands()
    assert len(commands) == 3
    if there:
        (tmp_path / "nvidia-cuda-mps-control").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\nexit {code}\n')
        (tmp_path / "nvidia-cuda-mps-control").chmod(0o755)
    for command in commands:
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        done = subprocess.run(["bash", "-c", command], env=path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    said = tmp_path / "said"
    assert (said.read_text() if said.exists() else "") == "-d\n" * (3 * there)


def test_nothing_listens_to_the_world_and_ray_asks_for_its_token(cluster):
    started = "\n".join(cluster["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in started
    assert "--host 127.0.0.1" in started
    assert "--env RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    (token,) = [o.split("=")[1] for o in cluster["docker"]["run_options"] if "RAY_AUTH_TOKEN_PATH" in o]
    assert cluster["file_mounts"][str(Path(token).parent)] == "~/.ray"


def test_nodes_have_the_ray_that_was_tested(cluster):
    images = [cluster["docker"]["image"], (ROOT / "deploy" / "Dockerfile").read_text()]
    assert all(f"rayproject/ray:{RAY}-py311" in image for image in images)
    for path in KUBERAY:
        assert f"rayVersion: {RAY}\n" in path.read_text()


def test_the_newest_of_several_wheels_is_installed(cluster, tmp_path):
    """The setup command, as each node runs it, but for pip: which is asked what it was given."""
    (command,) = cluster["setup_commands"]
    for name in ("tailboard-0.2.0-py3-none-any.whl", "tailboard-0.1.0-py3-none-any.whl"):
        (tmp_path / name).touch()
        time.sleep(0.02)
    script = 'pip() { printf "%s\\n" "$*"; }\n' + command.replace("/home/ray/tailboard", str(tmp_path))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert "./tailboard-0.1.0-py3-none-any.whl[s3]" in first
    assert second.endswith("--force-reinstall ./tailboard-0.1.0-py3-none-any.whl")
    assert "0.2.0" not in done.stdout


@pytest.mark.slow
def test_mlflow_is_started_once(cluster, tmp_path, free_port):
    """The last command of the head, twice, as two `ray up` run it."""
    port, command = free_port(), cluster["head_start_ray_commands"][-1]
    command = command.replace("/home/ray", str(tmp_path)).replace("5000", str(port))
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    said = tmp_path / "mlflow" / "log"
    with subprocess.Popen(["bash", "-c", command + "\necho $!; wait"], env={"PATH": path, "HOME": str(tmp_path)},
                          stdout=subprocess.PIPE, text=True, start_new_session=True) as server:  # fmt: skip
        try:
            assert answers(f"http://127.0.0.1:{port}/health"), said.read_text()
            before = said.read_text()
            again = subprocess.run(["bash", "-c", command + "\nwait"], env={"PATH": path}, timeout=60, check=False)
            assert again.returncode == 0, "it ends at once: it has started nothing"
            assert said.read_text() == before
        finally:
            subprocess.run(["kill", "--", f"-{server.pid}"], check=True)


def answers(url: str) -> bool:
    end = time.monotonic() + 240
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
                return answer.status == 200
        except OSError:
            time.sleep(0.2)
    return False


def accepted_by_kubernetes(document: dict) -> None:
    """Ray's own kinds by their fields, with Kubernetes' word on what is in a pod; all else by Kubernetes alone."""
    if not document["apiVersion"].startswith("ray.io/"):
        validate(document, KUBERNETES, strict=True)
        return
    schema = json.loads((ROOT / "tests" / "deploy" / "schemas" / "kuberay.json").read_text())
    schema = schema | {"$ref": f"#/$defs/{document['kind']}"}
    schema.pop("oneOf")
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict"
    core = Resource.from_contents(json.loads((folder / "_definitions.json").read_text()))
    registry = Registry().with_resource("_definitions.json", core)
    jsonschema.Draft202012Validator(schema, registry=registry).validate(document)


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_the_manifests_are_ones_that_kubernetes_and_kuberay_accept(path):
    documents = read(path)
    assert len(documents) == 2
    for document in documents:
        accepted_by_kubernetes(document)


WORKERS = ("workerGroupSpecs", 0)
CONTAINER = (*WORKERS, "template", "spec", "containers", 0)


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        (WORKERS, "minReplica", 0),
        (WORKERS, "maxReplicas", "8"),
        ((), "enableInTreeAutoscaler", True),
        (("headGroupSpec", "rayStartParams"), "num-cpus", 0),
        (("authOptions",), "mode", "tokens"),
        (CONTAINER, "volumeMount", []),
        ((*CONTAINER, "resources", "limits"), "nvidia.com/gpu", True),
        ((*WORKERS, "template", "spec"), "terminationGracePeriodSeconds", "30"),
    ],
)
@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_the_check_of_the_manifests_does_check(path, where, key, value):
    document = read(path)[1]
    place = document["spec"].get("rayClusterSpec", document["spec"])
    for name in where:
        place = place[name]
    place[key] = value
    with pytest.raises(jsonschema.ValidationError):
        accepted_by_kubernetes(document)


def test_a_claim_with_a_typo_is_refused():
    claim = read(KUBERAY[0])[0]
    claim["spec"]["accessMode"] = ["ReadWriteMany"]
    with pytest.raises(jsonschema.ValidationError, match="accessMode"):
        accepted_by_kubernetes(claim)


@pytest.mark.parametrize("path", KUBERAY, ids=lambda path: path.name)
def test_workers_come_and_go_and_no_secret_is_written_down(path):
    spec = read(path)[1]["spec"]
    spec = spec.get("rayClusterSpec", spec)
    head, (worker,) = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert spec["enableInTreeAutoscaling"]
    assert (worker["minReplicas"], head["rayStartParams"]["num-cpus"]) == (0, "0")
    assert spec["authOptions"] == {"mode": "token"}
    for group in (head, worker):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert not [e for e in container["env"] if "value" in e and ("TOKEN" in e["name"] or "PASSWORD" in e["name"])]


def test_a_job_may_be_started_again_and_gives_back_its_cluster():
    job = read(ROOT / "deploy" / "kuberay" / "rayjob.yaml")[1]["spec"]
    assert job["shutdownAfterJobFinishes"]
    assert job["backoffLimit"] > 0
    assert "runtimeEnvYAML" not in job, "the code is in the image"


@pytest.mark.parametrize(("code", "told"), [(0, 0), (1, 1), (2, 0), (130, 130)])
def test_a_job_whose_table_is_written_is_not_started_again(code, told, tmp_path):
    """The job's script for real, with a spec that the program would read, in place of the program."""
    files = read(ROOT / "deploy" / "kuberay" / "rayjob.yaml")[0]["data"]
    (tmp_path / "tailboard").write_text(f"#!/bin/sh\nexit {code}\n")
    (tmp_path / "tailboard").chmod(0o755)
    done = subprocess.run(["bash", "-c", files["run.sh"]], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False)
    assert done.returncode == told


def test_the_job_s_spec_is_a_spec(tmp_path):
    from tailboard.harness.spec.parser import read as read_spec

    (tmp_path / "mine.yaml").write_text(read(ROOT / "deploy" / "kuberay" / "rayjob.yaml")[0]["data"]["mine.yaml"])
    assert read_spec(str(tmp_path / "mine.yaml"), ()).resources.gpu == 0.25


@pytest.mark.parametrize("path", sorted(ROOT.glob("deploy/slurm/*")), ids=lambda path: path.name)
def test_shell_scripts_are_clean(path):
    shellcheck = shutil.which("shellcheck", path=Path(sys.executable).parent)
    assert shellcheck
    done = subprocess.run([shellcheck, "--shell=bash", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
