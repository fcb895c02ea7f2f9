"""One driver to a store, on a local file system and on one that has no locks."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid

import pytest

from tailboard.harness.errors import StoreError
from tailboard.harness.storage import lease
from tailboard.harness.storage.lease import is_driven, only_driver
from tailboard.harness.storage.store import Store

HOLD = """
import sys, time
from tailboard.harness.storage.lease import only_driver
from tailboard.harness.storage.store import Store
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
        assert is_driven(Store(tmp_path))
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert (tmp_path / "driver.json").exists()
        assert not is_driven(Store(tmp_path)), "what a killed driver leaves drives nothing"
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
            assert is_driven(store)
        assert not is_driven(store)


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


def test_in_a_bucket_a_dead_driver_of_this_machine_holds_nothing_and_a_living_one_does(bucket):
    store = Store(f"{bucket}/x")
    with subprocess.Popen([sys.executable, "-c", HOLD, store.url], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        refused = pytest.raises(StoreError, match=rf"is being filled by process {first.pid} on .* for 90 s more")
        with refused, only_driver(store):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert time.time() - json.loads(store.read(lease.FILE))["at"] < lease.ABANDONED_SECONDS
        with only_driver(store):
            assert json.loads(store.read(lease.FILE))["pid"] == os.getpid()
    assert not store.has(lease.FILE)


@pytest.mark.parametrize(
    "elsewhere",
    [lambda mine: ["another boot", *mine[1:]], lambda mine: [mine[0], "pid:[1]", *mine[2:]], lambda _: None],
)
def test_a_driver_that_cannot_be_seen_from_here_is_dead_after_a_while(remote, monkeypatch, elsewhere):
    """On another machine, or in another container, whatever number its process has here."""
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    about = {"host": "x", "pid": gone.pid, "at": time.time(), "process": elsewhere(lease._process(os.getpid()))}
    remote.write(lease.FILE, json.dumps(about).encode())
    with pytest.raises(StoreError, match="on x"), only_driver(remote):
        pass
    monkeypatch.setattr(lease, "ABANDONED_SECONDS", 0)
    with only_driver(remote):
        pass


def test_a_driver_that_was_taken_for_dead_stops_and_leaves_the_store_to_the_other(remote, monkeypatch):
    """As after a machine's sleep: it is interrupted, as by Ctrl-C."""
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    other = json.dumps({"host": "elsewhere", "pid": 7, "at": time.time(), "id": "other"}).encode()
    with pytest.raises(StoreError, match=r"out of touch for too long.*process 7 on elsewhere"), only_driver(remote):
        remote.write(lease.FILE, other)
        time.sleep(60)
    assert remote.read(lease.FILE) == other
