"""How many trials fit on a cluster at a time, and what is said where there is none."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import pytest

from tailboard.harness.errors import ClusterError
from tailboard.harness.scheduling import resources
from tailboard.harness.scheduling.resources import bundle, check_reachable, options, slots_of, waits
from tailboard.harness.spec.schema import Resources


@pytest.mark.parametrize(
    ("have", "asks", "slots", "fit"),
    [
        ({"CPU": 8}, {"cpu": 1}, None, 8),
        ({"CPU": 8}, {"cpu": 3}, None, 2),
        ({"CPU": 8}, {"cpu": 0.5}, 5, 5),
        ({"CPU": 64, "GPU": 8}, {"cpu": 1, "gpu": 0.25}, None, 32),
        ({"CPU": 64, "GPU": 8}, {"cpu": 1, "gpu": 0.4}, None, 16),  # twice on each GPU, not 20 over eight
        ({"CPU": 64, "GPU": 8}, {"cpu": 16, "gpu": 1}, None, 4),
        ({"CPU": 64, "GPU": 8}, {"cpu": 1, "gpu": 2}, None, 4),
    ],
)
def test_as_many_trials_as_fit(have, asks, slots, fit):
    assert slots_of([have], Resources(**asks), slots) == fit


@pytest.mark.parametrize(
    ("have", "asks", "words"),
    [
        ({"CPU": 2}, {"cpu": 4}, "a trial asks for cpu: 4, gpu: 0, but Ray has cpu: 2, gpu: 0;"),
        ({"CPU": 2}, {"cpu": 1, "gpu": 0.5}, "a trial asks for cpu: 1, gpu: 0.5, but"),
        ({"CPU": 2, "memory": 2**31}, {"memory": 3}, "memory: 3, but Ray has cpu: 2, gpu: 0, memory: 2;"),
    ],
)
def test_a_trial_that_fits_nowhere_is_said(have, asks, words):
    with pytest.raises(ClusterError, match=words):
        slots_of([have], Resources(**asks), None)


def test_a_trial_lives_on_one_node():
    nodes = [{"CPU": 2.0}] * 4
    assert slots_of([*nodes, {"CPU": 9.0}], Resources(cpu=4), None) == 2
    assert waits(nodes, Resources(cpu=2)) == ""
    assert "but Ray has cpu: 2, gpu: 0 on a node at most; waiting" in waits(nodes, Resources(cpu=4))
    with pytest.raises(ClusterError, match="on a node at most"):
        slots_of(nodes, Resources(cpu=4), None)


@pytest.mark.parametrize("says", [b"", b"SSH-2.0-x\r\n", None])
def test_what_listens_but_is_no_ray_is_not_waited_for(monkeypatch, says):
    """A head that hangs takes connections and says nothing; None is one that closes them."""
    monkeypatch.setattr(resources, "ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address, held = f"127.0.0.1:{server.getsockname()[1]}", []

        def serve() -> None:
            held.append(server.accept()[0])
            held[0].close() if says is None else held[0].sendall(says)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ClusterError, match=f"--address {address}: .* does not answer as Ray does"):
            check_reachable(address)
        thread.join()
    with pytest.raises(ClusterError, match=f"--address {address}: nobody listens there"):
        check_reachable(address)


def test_auto_is_the_address_of_the_ray_that_runs_here_and_said_where_there_is_none(monkeypatch):
    from tailboard.harness.scheduling import ray_tune

    monkeypatch.setattr(ray_tune, "canonicalize_bootstrap_address", lambda _: "10.0.0.1:6379")
    assert [*map(ray_tune._resolved, ("auto", "local", None))] == ["10.0.0.1:6379", "local", None]

    def nowhere(_):
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray_tune, "canonicalize_bootstrap_address", nowhere)
    with pytest.raises(ClusterError, match="--address auto: no Ray runs on this machine"):
        ray_tune._resolved("auto")


def test_an_address_that_is_none_is_one_line():
    with pytest.raises(ClusterError, match="--address"):
        check_reachable("[::1")


def test_what_ray_sets_aside_for_a_trial():
    assert bundle(Resources(), 0) == {"CPU": 1}
    assert bundle(Resources(cpu=2, gpu=0.25, memory=1.5), 0.5) == {"CPU": 2, "GPU": 0.5, "memory": 3 * 2**29}


def test_a_cluster_is_joined_as_it_is_and_a_machine_of_ones_own_given_what_is_needed():
    short = Path("/x")
    assert "num_cpus" not in options(Resources(), 4, "auto", short)
    assert options(Resources(cpu=2), 3, None, short)["num_cpus"] == 6
    assert options(Resources(), None, "local", short)["_temp_dir"] == "/x/ray", "which Ray opens to all"


@pytest.mark.parametrize(
    ("asks", "slots", "jobs", "imported"),
    [
        ({}, 2, 2, True),
        ({"cpu": 0.5}, 4, 9, True),
        ({}, 2, 1, False),  # a worker would import what it never uses
        ({"cpu": 2}, 2, 9, False),  # of four workers two train
        ({"gpu": 1}, 2, 9, False),  # a GPU may hold fewer trials than there are CPUs
    ],
)
def test_the_workers_that_ray_starts_with_itself_import_what_trains_where_each_will(asks, slots, jobs, imported):
    given = options(Resources(**asks), slots, None, Path("/x"), jobs)
    assert ("preload_python_modules" in given.get("_system_config", {})) is imported
    assert "_system_config" not in options(Resources(), slots, "10.0.0.1:6379", Path("/x"), jobs)
    assert all(find_spec(module) for module in resources.TRAINS)


def test_on_this_machine_an_actor_of_tune_fits_a_worker_that_ray_has_started_before():
    """Its environment is empty, as such a worker's; elsewhere it gets the words that Tune hands on."""
    from ray.tune.execution import class_cache

    from tailboard.harness.scheduling import ray_trials

    def given() -> str:
        actor = class_cache._ActorClassCache().get(type("Trainable", (), {}))
        return actor._default_options["runtime_env"].serialize()

    before = given()
    with ray_trials._inherited_environment():
        assert given() == "{}"
    assert given() == before != "{}"


@pytest.mark.slow
def test_tune_does_not_import_mlflow_to_count_its_callbacks():
    check = """
import sys
from ray.air._internal import usage
from tailboard.harness.scheduling.ray_trials import _untagged, tune

with _untagged():
    usage.tag_callbacks([tune.Callback()])
print("mlflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_another_ray_that_has_none_of_this_is_left_as_it_is(monkeypatch):
    from ray.tune.execution import class_cache

    from tailboard.harness.scheduling import ray_trials

    monkeypatch.delattr(class_cache, "DEFAULT_ENV_VARS")
    monkeypatch.setitem(sys.modules, "ray.air._internal.usage", None)
    with ray_trials._inherited_environment(), ray_trials._untagged():
        assert class_cache.ENV_VARS_TO_PROPAGATE


def test_a_cluster_that_may_grow_is_asked_for_as_many_trials_as_the_user_names():
    asks = Resources(cpu=1)
    assert slots_of([], asks, 32, joined=True) == 32
    assert slots_of([{"CPU": 64, "GPU": 8}], Resources(gpu=1), None, joined=True) == 8
    assert "waiting for machines" in waits([], asks)
    assert waits([{"CPU": 1.0}], asks) == ""
    with pytest.raises(ClusterError, match="grow to so many trials with --slots"):
        slots_of([], asks, None, joined=True)


def test_an_address_where_nobody_listens_is_said_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ClusterError, match="nobody listens there"):
        check_reachable(f"127.0.0.1:{port}")
    with pytest.raises(ClusterError, match="on a node of the cluster"):
        check_reachable(f"ray://127.0.0.1:{port}")
    with pytest.raises(ClusterError, match="out of range"):
        check_reachable("host:99999")


def test_an_address_where_ray_answers_and_words_of_ray_s_own_pass():
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: server.accept()[0].sendall(b"\0\0\0\4\0\0\0\0\0"))
        thread.start()
        check_reachable(f"127.0.0.1:{server.getsockname()[1]}")
        thread.join()
    check_reachable("auto")
    check_reachable("local")


def test_a_ray_that_does_not_start_is_one_line_which_says_where_space_lacks(monkeypatch):
    from tailboard.harness.scheduling import ray_tune  # imports ray

    def init(**_):
        raise Exception("The current node timed out\nduring startup.")  # noqa: TRY002  (as Ray does)

    monkeypatch.setattr(ray_tune.ray, "init", init)
    with pytest.raises(ClusterError, match=r"^Ray cannot be started: The current node timed out during startup\.$"):
        ray_tune._start(options(Resources(), None, None, Path("/tmp")), {})  # noqa: S108
    monkeypatch.setattr(resources, "RAY_FILES", 1 << 80)
    with pytest.raises(ClusterError, match=r"started: / has \d+ MiB free, and its files need .* set TMPDIR"):
        ray_tune._start(options(Resources(), None, None, Path("/tmp")), {})  # noqa: S108
