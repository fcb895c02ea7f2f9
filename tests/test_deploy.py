"""What is handed to others to start clusters with: checked against the schema that ships with Ray."""

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parent.parent


@pytest.fixture
def cluster():
    return yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())


def test_the_cluster_is_one_that_ray_up_accepts(cluster):
    validate_config(prepare_config(cluster))


def test_the_check_does_check(cluster):
    cluster["available_node_types"]["gpu_worker"]["max_worker"] = 1
    with pytest.raises(Exception, match="max_worker"):
        validate_config(prepare_config(cluster))


def test_the_head_is_on_demand_and_trains_nothing_while_workers_are_spot(cluster):
    head, worker = (cluster["available_node_types"][name] for name in ("head", "gpu_worker"))
    assert cluster["head_node_type"] == "head"
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    assert worker["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert worker["min_workers"] == 0
    assert worker["max_workers"] == cluster["max_workers"]


def test_nothing_listens_to_the_world(cluster):
    started = "\n".join(cluster["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in started
    assert "--host 127.0.0.1" in started


def test_nodes_have_the_ray_that_was_tested(cluster):
    (pinned,) = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line.startswith("ray==")]
    assert f":{pinned.removeprefix('ray==')}-" in cluster["docker"]["image"]


def test_what_is_mounted_is_there_or_is_built(cluster):
    assert {Path(here).name for here in cluster["file_mounts"].values()} == {"dist", "constraints.txt"}
    assert (ROOT / "constraints.txt").is_file()
