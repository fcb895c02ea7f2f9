"""One driver to a store, on a local file system and on one that has no locks."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import uuid

import pytest

from tailboard.harness.errors import StoreError
from tailboard.harness.storage import lease
from tailboard.harness.storage.lease import is_driven, only_driver
from tailboard.harness.storage.sqlite import local_copy
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


def test_where_nothing_can_be_written_another_place_is_asked_for(tmp_path):
    (tmp_path / "file").touch()
    refused = pytest.raises(StoreError, match=r"file/store cannot be written \(not a directory\).*--store")
    with refused, only_driver(Store(tmp_path / "file" / "store")):
        pass


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
        before = remote.read("drivers/1.json")
        time.sleep(0.3)
        assert remote.read("drivers/1.json") != before
        with pytest.raises(StoreError, match="is being filled by"), only_driver(remote):
            pass
    assert not is_driven(remote)


@pytest.mark.parametrize("left", [b'{"host": "x", "pid": 1, "at": 5}', b"no json", b"[]", b'{"at": "now"}', b"{}"])
def test_what_a_dead_driver_left_is_no_driver(remote, left, monkeypatch):
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(lease, "ABANDONED_SECONDS", 0.002)
    remote.write("drivers/1.json", left)
    with only_driver(remote):
        assert remote.lease == 2


@pytest.mark.parametrize("apart", [-3600, 3600])
def test_a_driver_whose_clock_is_another_is_seen_by_what_it_writes(remote, monkeypatch, apart):
    """Its lease says that it was renewed an hour ago, or will be; it is renewed while it is looked at."""
    monkeypatch.setattr(lease, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(lease, "ABANDONED_SECONDS", 0.01)
    looks, read = iter(range(100)), lease._read

    def renewed(store, number):
        return read(store, number) | {"renewed": max(0, next(looks) - 3)}

    monkeypatch.setattr(lease, "_read", renewed)
    remote.write("drivers/1.json", json.dumps({"host": "x", "pid": 7, "at": time.time() + apart}).encode())
    with pytest.raises(StoreError, match="process 7 on x"), only_driver(remote):
        pass
    assert not remote.has("drivers/2.json")


def test_of_two_that_start_together_one_goes_on(remote, monkeypatch):
    monkeypatch.setattr(lease, "_is_held", lambda *_: remote.write(
        "drivers/1.json", b'{"host": "other", "pid": 7, "at": %d}' % time.time()))  # fmt: skip
    with pytest.raises(StoreError, match="process 7 on other"), only_driver(remote):
        pass


def test_a_lease_whose_creation_was_answered_by_nobody_is_ours_all_the_same(remote, monkeypatch):
    """The same request twice: the second is refused, since the first came through."""
    create = type(remote).create

    def twice(store, name, data):
        create(store, name, data)
        create(store, name, data)

    monkeypatch.setattr(type(remote), "create", twice)
    with only_driver(remote):
        assert is_driven(remote)


def test_leases_are_numbered_on_however_many_there_were(remote):
    for number in range(1, 12):
        with only_driver(remote):
            assert remote.lease == number
    assert lease._latest(remote) == 11


def test_in_a_bucket_a_dead_driver_of_this_machine_holds_nothing_and_a_living_one_does(bucket):
    store = Store(f"{bucket}/x")
    with subprocess.Popen([sys.executable, "-c", HOLD, store.url], stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "held\n"
        refused = pytest.raises(StoreError, match=rf"is being filled by process {first.pid} on .* for 90 s$")
        with refused, only_driver(store):
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
        assert time.time() - json.loads(store.read("drivers/1.json"))["at"] < lease.ABANDONED_SECONDS
        with only_driver(store):
            assert json.loads(store.read("drivers/2.json"))["pid"] == os.getpid()
    assert json.loads(store.read("drivers/2.json"))["ended"]


@pytest.mark.parametrize(
    "elsewhere",
    [lambda mine: ["another boot", *mine[1:]], lambda mine: [mine[0], "pid:[1]", *mine[2:]], lambda _: None],
)
def test_a_driver_that_cannot_be_seen_from_here_is_dead_after_a_while(remote, monkeypatch, elsewhere):
    """On another machine, or in another container, whatever number its process has here."""
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    about = {"host": "x", "pid": gone.pid, "at": time.time(), "process": elsewhere(lease._process(os.getpid()))}
    remote.write("drivers/1.json", json.dumps(about).encode())
    with pytest.raises(StoreError, match="on x"), only_driver(remote):
        pass
    monkeypatch.setattr(lease, "ABANDONED_SECONDS", 0)
    with only_driver(remote):
        pass


def test_a_driver_that_was_taken_for_dead_stops_and_leaves_the_store_to_the_other(remote, monkeypatch):
    """As after a machine's sleep: it is interrupted, as by Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where a script started pytest in the background
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    other = json.dumps({"host": "elsewhere", "pid": 7, "at": time.time(), "id": "other"}).encode()
    with (
        pytest.raises(StoreError, match=r"out of touch for too long.*process 7 on elsewhere"),
        only_driver(remote),
        local_copy(remote, "x.db", write=True) as copy,
    ):
        sqlite3.connect(copy).execute("create table t (x)")
        remote.create("drivers/2.json", other)
        time.sleep(60)
    assert remote.read("drivers/2.json") == other
    assert not remote.has("x.db"), "it writes nothing back"
