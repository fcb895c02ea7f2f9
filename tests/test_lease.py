"""One driver to a store, on a local file system and on one that has no locks."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid

import pytest

from tailboard.harness import lease
from tailboard.harness.lease import only_driver
from tailboard.harness.store import Store, StoreError

HOLD = """
import sys, time
from tailboard.harness.lease import only_driver
from tailboard.harness.store import Store
with only_driver(Store(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(params=["memory", "s3"])
def remote(request):
    return Store(f"{request.getfixturevalue('bucket')}/x" if request.param == "s3" else f"memory://{uuid.uuid4().hex}")


def test_a_second_driver_is_refused_and_told_who_the_first_is(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        refused = pytest.raises(StoreError, match=rf"is being filled by process {first.pid} on .*tailboard status")
        with refused, only_driver(Store(tmp_path)):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
        with only_driver(Store(tmp_path)):
            assert json.loads((tmp_path / "driver.json").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "driver.json").exists()


def test_a_mistake_leaves_no_empty_store(tmp_path):
    with pytest.raises(ZeroDivisionError), only_driver(Store(tmp_path / "new")):
        raise ZeroDivisionError
    assert not (tmp_path / "new").exists()


def test_a_store_is_free_again_after_an_error(tmp_path, remote):
    for store in (Store(tmp_path), remote):
        with pytest.raises(ZeroDivisionError), only_driver(store):
            raise ZeroDivisionError
        with only_driver(store):
            pass


def test_without_locks_a_living_driver_is_one_that_renews(remote, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    with only_driver(remote):
        before = remote.read(lease.FILE)
        time.sleep(0.3)
        assert remote.read(lease.FILE) != before
        with pytest.raises(StoreError, match="is being filled by"), only_driver(remote):
            pass
    assert not remote.has(lease.FILE)


@pytest.mark.parametrize("left", [b'{"host": "x", "pid": 1, "at": 5}', b"no json", b"[]", b'{"at": "now"}'])
def test_what_a_dead_driver_left_is_no_driver(remote, left):
    remote.write(lease.FILE, left)
    with only_driver(remote):
        pass


def test_of_two_that_start_together_the_last_to_write_goes_on(remote, monkeypatch):
    def other_writes(seconds):
        remote.write(lease.FILE, b'{"host": "other", "pid": 7, "at": %d}' % time.time())

    monkeypatch.setattr(lease.time, "sleep", other_writes)
    with pytest.raises(StoreError, match="process 7 on other"), only_driver(remote):
        pass
