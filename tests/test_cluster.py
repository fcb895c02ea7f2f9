"""How many trials fit on a cluster at a time, and what is said where there is none."""

from __future__ import annotations

import socket

import pytest

from tailboard.harness.cluster import ClusterError, knock, places, waits
from tailboard.harness.spec import Resources


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
    assert places(have, Resources(**asks), slots) == fit


@pytest.mark.parametrize(("have", "asks"), [({"CPU": 2}, {"cpu": 4}), ({"CPU": 2}, {"cpu": 1, "gpu": 0.5})])
def test_a_trial_that_fits_nowhere_is_said(have, asks):
    with pytest.raises(ClusterError, match="a trial asks for cpu"):
        places(have, Resources(**asks), None)


def test_a_cluster_that_may_grow_is_asked_for_as_many_trials_as_the_user_names():
    asks = Resources(cpu=1)
    assert places({}, asks, 32, joined=True) == 32
    assert "waiting for machines" in waits({}, asks)
    assert waits({"CPU": 1.0}, asks) == ""
    with pytest.raises(ClusterError, match="grow to so many trials with --slots"):
        places({}, asks, None, joined=True)


def test_an_address_where_nobody_listens_is_said_at_once():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ClusterError, match="nobody listens there"):
        knock(f"127.0.0.1:{port}")
    with pytest.raises(ClusterError, match="on a node of the cluster"):
        knock(f"ray://127.0.0.1:{port}")
    with pytest.raises(ClusterError, match="out of range"):
        knock("host:99999")


def test_an_address_where_somebody_listens_and_words_of_ray_s_own_pass():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        knock(f"127.0.0.1:{server.getsockname()[1]}")
    knock("auto")
    knock("local")
