"""The store: each file whole or not at all, nothing damaged is believed, nothing in it is executed."""

import io
import os
import pickle
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import torch

from tailboard.harness.errors import StoreError
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.repair import set_aside
from tailboard.harness.storage.store import Store

SPEC = parse({"name": "t", "data": "fashion-mnist-mini", "methods": ["ERM"], "network": "small", "seeds": 2})
ONE, TWO = plan(SPEC)


def record(trial=ONE, **changes) -> Record:
    about = {"status": "complete", "counts": (30, 3), "accuracy": {"last_ema": (90.0, 10.0), "last": (80.0, 5.0)}}
    return Record(key=trial.key, trial=trial, **(about | changes))


@pytest.fixture(params=["local", "memory", "s3"])
def store(request, tmp_path) -> Store:
    """The same promises on a disk and on object stores, one of them behind a real server."""
    if request.param == "s3":
        return Store(f"{request.getfixturevalue('bucket')}/some/store")
    return Store(tmp_path / "store" if request.param == "local" else f"memory://{uuid.uuid4().hex}/store")


def test_what_is_written_is_read(store):
    assert not store.exists()
    assert store.finished() == store.tracked() == set() == store.names("checkpoints")
    store.write_plan(SPEC)
    store.write_tensors(f"checkpoints/{ONE.key}.pt", {"x": torch.arange(3), "past": {"attempts": 1}})
    store.write_broken(ONE.key, "a worker died")
    assert store.exists()
    assert store.plans() == [SPEC]
    assert store.broken() == {ONE.key: "a worker died"}
    assert store.tensors(f"checkpoints/{ONE.key}.pt")["x"].tolist() == [0, 1, 2]
    store.write_arrays(ONE.key, {"labels": np.arange(4)})
    store.write_record(record())
    assert store.finished() == {ONE.key}
    assert store.record(ONE.key) == record()
    assert store.result(ONE.key).accuracy == record().accuracy
    assert store.arrays(ONE.key)["labels"].tolist() == [0, 1, 2, 3]
    assert store.names("checkpoints") == set() == store.names("broken"), "a finished trial leaves neither"
    store.mark_tracked(ONE.key, {"run": "1"})
    assert store.tracked() == {ONE.key}
    assert store.identity() == store.identity() == Store(store.url).identity()


def test_what_is_not_there(store):
    for missing in (
        lambda: store.record("x"), lambda: store.result("x"), lambda: store.arrays("x"), lambda: store.read("x"),
        lambda: store.tensors("checkpoints/x.pt"),
    ):  # fmt: skip
        with pytest.raises(FileNotFoundError):
            missing()
    store.remove("records/x.json")


@pytest.mark.parametrize("url", ["nosuch://bucket/x", "s3://bucket/x"])
def test_a_file_system_that_cannot_be_had(url, monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(
        sys.modules["fsspec.registry"]._registry, "s3", raising=False
    )  # where fsspec keeps what it has imported
    with pytest.raises(StoreError, match="cannot be a store"):
        Store(url)


DAMAGED = {
    "cut": lambda good: good[: len(good) // 2],
    "empty": lambda _: b"",
    "binary": lambda _: b"\xff\x00\x80",
    "other type": lambda _: b"[1]",
    "unknown status": lambda good: good.replace(b'"complete"', b'"fine"'),
    "no accuracy": lambda good: good.replace(b"[90.0,10.0]", b"[]"),
    "a class too few": lambda good: good.replace(b"[90.0,10.0]", b"[90.0]"),
    "another trial": lambda _: record(TWO).model_dump_json().encode(),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_names_its_file_and_runs_again(store, damage):
    store.write_record(record())
    store.write_record(record(TWO))
    bad = damage(record().model_dump_json().encode())
    store.write(f"records/{ONE.key}.json", bad)
    for read in (store.record, store.result):
        with pytest.raises(StoreError, match=f"records/{ONE.key}.json is damaged"):
            read(ONE.key)
    (message,) = set_aside(store, [ONE.key, TWO.key, "never run"])
    assert f"records/{ONE.key}.json" in message
    assert "\n" not in message
    assert store.finished() == {TWO.key}
    assert store.read(f"damaged/{ONE.key}.json") == bad, "nothing is lost"
    assert set_aside(store, [ONE.key, TWO.key]) == []


def test_what_failed_runs_again_where_it_is_asked_for(store):
    failed = record(TWO).model_copy(update={"status": "failed", "reason": "ValueError: no"})
    store.write_record(record())
    store.write_record(failed)
    for key in (ONE.key, TWO.key):
        store.mark_tracked(key, {})
    assert set_aside(store, [ONE.key, TWO.key]) == []
    (message,) = set_aside(store, [ONE.key, TWO.key], again=("failed", "diverged"))
    assert "failed: ValueError: no" in message
    assert (store.finished(), store.tracked()) == ({ONE.key}, {ONE.key})
    assert b"ValueError: no" in store.read(f"damaged/{TWO.key}.json")


def test_a_swapped_trial_is_found_by_its_content(store):
    swapped = record().model_dump_json().replace('"seed":0', '"seed":5')
    store.write(f"records/{ONE.key}.json", swapped.encode())
    with pytest.raises(StoreError, match="holds another trial"):
        store.record(ONE.key)


@pytest.mark.parametrize("part", [0, 1, 30, 0.5, -1])
def test_what_is_cut_short_is_not_believed(store, part):
    def cut(name: str) -> None:
        whole = store.read(name)
        store.write(name, whole[: int(len(whole) * part) if isinstance(part, float) else part])

    store.write_arrays("k", {"logits": np.arange(3000, dtype=np.float16), "labels": np.zeros(9)})
    store.write_tensors("checkpoints/k.pt", {"x": torch.arange(1000)})
    cut("arrays/k.npz")
    cut("checkpoints/k.pt")
    store.write_weights("k", {"x": torch.arange(1000)})
    cut("weights/k.safetensors")
    with pytest.raises(StoreError, match=r"weights/k\.safetensors is damaged"):
        store.weights("k")
    with pytest.raises(StoreError, match=r"arrays/k\.npz is damaged"):
        store.arrays("k")
    with pytest.raises(StoreError, match=r"checkpoints/k\.pt is damaged"):
        store.tensors("checkpoints/k.pt")


def test_weights_are_read_as_they_are_written_now_and_as_earlier_versions_wrote_them(store):
    new = {"conv": torch.randn(2, 3, 2, 2).contiguous(memory_format=torch.channels_last), "batches": torch.tensor(7)}
    store.write_tensors("weights/k.pt", {"conv": torch.zeros(2)})
    assert store.has_weights("k") and store.weights("k")["conv"].tolist() == [0, 0]
    store.write_weights("k", new)
    assert all(torch.equal(store.weights("k")[name], new[name]) for name in new)
    store.remove_weights("k")
    assert not store.has_weights("k") and not store.names("weights")


class Evil:
    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.mkdir, (str(self.proof),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_is_never_executed(store, tmp_path):
    proof, array, tensors = tmp_path / "executed", io.BytesIO(), io.BytesIO()
    np.savez(array, x=np.array([Evil(proof)], dtype=object), allow_pickle=True)
    torch.save({"x": Evil(proof)}, tensors)
    bare = pickle.dumps(Evil(proof))
    for data in (array.getvalue(), bare):
        store.write("arrays/k.npz", data)
        with pytest.raises(StoreError):
            store.arrays("k")
    for data in (tensors.getvalue(), bare):
        store.write("checkpoints/k.pt", data)
        with pytest.raises(StoreError):
            store.tensors("checkpoints/k.pt")
    assert not proof.exists()
    pickle.loads(bare)  # noqa: S301  (the trap does work)
    assert proof.exists()


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, fails):
    store = Store(tmp_path)
    store.write("records/a.json", b"old")

    def broken(*_):
        raise OSError("no space left")

    monkeypatch.setattr(*{"fsync": (os, "fsync", broken), "replace": (Path, "replace", broken)}[fails])
    with pytest.raises(OSError, match="no space"):
        store.write("records/a.json", b"new")
    assert store.read("records/a.json") == b"old"
    assert [path.name for path in (tmp_path / "records").iterdir()] == ["a.json"]


def test_what_is_written_outlasts_a_loss_of_power(tmp_path, monkeypatch):
    """First what is in a file, then its name, then the names of the folders that were made for it."""
    synced, sync = [], os.fsync

    def fsync(number: int) -> None:
        path = Path(f"/proc/self/fd/{number}").readlink().relative_to(tmp_path)
        names = sorted(inside.name for inside in (tmp_path / path).iterdir()) if (tmp_path / path).is_dir() else []
        synced.append((str(path) if names else "part", names))
        sync(number)

    monkeypatch.setattr(os, "fsync", fsync)
    Store(tmp_path / "s").write("records/a.json", b"x")
    assert synced == [(".", ["s"]), ("s", ["records"]), ("part", []), ("s/records", ["a.json"])]


def test_what_was_begun_an_hour_ago_is_cleared_wherever_it_lies(tmp_path):
    store = Store(tmp_path)
    for name in (".old.part", "records/.old.part", "tracked/.old.part", "records/.new.part", "records/old.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        if "old" in name:
            os.utime(tmp_path / name, (0, 0))
    store.clear_parts()
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.part"))
    assert left == ["records/.new.part", "records/old.part"]


def test_others_may_read_what_is_written(tmp_path):
    before = os.umask(0o022)
    try:
        Store(tmp_path).write("records/a.json", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "records" / "a.json").stat().st_mode & 0o777 == 0o644


WRITER = """
import sys
from tailboard.harness.storage.store import Store
store, n = Store(sys.argv[1]), 0
while True:
    n += 1
    store.write("records/aaaaaaaaaaaaaaaaaaaa.json", (b"%d," % (n % 10)) * 200_000)
"""


@pytest.mark.slow
def test_a_reader_beside_a_writer_that_is_killed_sees_whole_files_only(tmp_path):
    store, seen = Store(tmp_path), set()
    for _ in range(2):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)])
        while writer.poll() is None and not store.finished():
            time.sleep(0.01)
        for _ in range(200):
            data = store.read("records/aaaaaaaaaaaaaaaaaaaa.json")
            assert len(data) == 400_000
            assert len(set(data)) == 2
            seen.add(data[0])
        writer.kill()
        writer.wait()
        assert store.finished() == {"a" * 20}, "an unfinished file is no record"
        assert len(store.read("records/aaaaaaaaaaaaaaaaaaaa.json")) == 400_000
    assert len(seen) > 1, "the file did change while it was read"


@pytest.mark.parametrize("folder", ["plans", "records"])
def test_a_file_where_a_folder_should_be(tmp_path, folder):
    (tmp_path / folder).write_text("")
    with pytest.raises(OSError, match=folder):
        Store(tmp_path).write(f"{folder}/x.json", b"")
    with pytest.raises(StoreError, match="is a file: a store is a folder"):
        Store(tmp_path / folder)


def test_a_damaged_plan_names_its_file(store):
    store.write("plans/t.json", b'{"name": "t"')
    with pytest.raises(StoreError, match=r"plans/t\.json is damaged"):
        store.plans()


def test_a_rung_of_another_trial_is_found_by_its_content(store):
    stopped = record(status="pruned", epochs=1)
    store.write_rung(stopped)
    assert store.rung(ONE.key, 1) == stopped
    store.write(f"rungs/{ONE.key}-0001.json", stopped.model_dump_json().replace('"seed":0', '"seed":5').encode())
    with pytest.raises(StoreError, match="holds another trial"):
        store.rung(ONE.key, 1)


def test_what_a_worker_wrote_after_a_listing_is_there(bucket):
    """s3fs keeps what it has listed; a driver that believed it would not see what its workers finish."""
    store, worker = Store(f"{bucket}/x"), Store(f"{bucket}/x")
    worker.files = type(store.files)(skip_instance_cache=True)
    store.write("rungs/a.json", b"1")
    assert store.names("rungs", ".json") == {"a"}
    worker.write("rungs/b.json", b"2")
    assert store.has("rungs/b.json")
    assert store.read("rungs/b.json") == b"2"
    worker.write("rungs/a.json", b"longer than before")
    assert store.read("rungs/a.json") == b"longer than before"
    assert store.names("rungs", ".json") == {"a", "b"}


def test_a_client_without_credentials_is_told_in_one_line(bucket, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    store = Store(f"{bucket}/x")
    store.files = type(store.files)(skip_instance_cache=True)
    with pytest.raises(OSError, match=f"{bucket}/x cannot be reached: Unable to locate credentials"):
        store.plans()
