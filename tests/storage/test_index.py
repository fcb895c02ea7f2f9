"""The index of a store's records: it spares opening them, and nothing but that."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailboard.harness.registry.datasets import long_tail
from tailboard.harness.reporting.gather import gather
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage import files, index
from tailboard.harness.storage.columns import reading, stamps
from tailboard.harness.storage.columns.stamps import stamps_ahead
from tailboard.harness.storage.packed_keys import texts
from tailboard.harness.storage.reader import StoreReader
from tailboard.harness.storage.record import Provenance, Record
from tailboard.harness.storage.serialization import unpack_arrays
from tailboard.harness.storage.store import Store

RAW = {
    "name": "t",
    "data": [
        {"name": "cifar10", "imbalance_factor": [10, 100]},
        {"name": "fashion-mnist-mini", "imbalance_factor": 10},
    ],
    "methods": ["ERM", "Focal Loss"],
    "seeds": 3,
}


def recorded(trial, rng, **words):
    """All that a record can be: a failed one knows no accuracy, a diverged one its counts."""
    status = ("complete", "complete", "complete", "failed", "diverged")[rng.integers(5)]
    data = Provenance(verified=bool(rng.integers(2)), hashes={}, fingerprint=f"{rng.integers(10):064}")
    known = {
        "complete": {"accuracy": {"last_ema": tuple(rng.uniform(0, 100, 10))}, "data": data},
        "diverged": {"reason": "loss not finite", "data": data},
        "failed": {"reason": "RuntimeError: no", "counts": ()},
    }[status]
    counts = {"counts": long_tail(trial.data)}
    return Record(key=trial.key, trial=trial, status=status, train_seconds=rng.uniform(0, 9), **counts | known | words)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of which the last trial is missing, and that is worth an index from the first record on."""
    monkeypatch.setattr(index, "MANY", 1)
    return filled(Store(tmp_path / "s"))


def filled(store):
    spec, rng = parse(RAW), np.random.default_rng(0)
    store.write_plan(spec)
    for trial in plan(spec)[:-1]:
        store.write_record(recorded(trial, rng))
    store.write_broken(plan(spec)[-1].key, "the node died")
    return store


@pytest.fixture
def opened(monkeypatch):
    """The keys of the records that are opened."""
    found, read = [], Store.results
    monkeypatch.setattr(Store, "results", lambda self, keys: found.extend(keys) or read(self, keys))
    return found


def table(store):
    return gather([store]).rows


def test_a_report_opens_each_record_once_and_then_none(store, opened):
    first = table(store)
    assert set(opened) == store.finished() and len(opened) == len(store.finished())
    opened.clear()
    pd.testing.assert_frame_equal(table(store), first)
    assert opened == []
    assert gather([store]).rendered("csv") == gather([store]).rendered("csv")


def test_what_a_report_shows_is_what_the_records_say(store):
    """Row by row from the records themselves, with the index and without."""
    for rows in (table(store), table(store)):
        every = rows[rows["group"] == "all"].set_index("key")
        assert len(every) == len(store.finished()) + 1
        for key in store.finished():
            record, row = store.record(key), every.loc[key]
            assert (row["status"], row["reason"]) == (record.status, record.reason)
            assert row["device_seconds"] == record.train_seconds and row["classes"] == 10
            assert row["verified"] == (record.data.verified if record.data else True)
            value = np.mean(record.accuracy["last_ema"]) if record.status == "complete" else np.nan
            assert row["value"] == pytest.approx(value, nan_ok=True)
        (missing,) = set(every.index) - store.finished()
        assert tuple(every.loc[missing, ["status", "reason"]]) == ("missing", "the node died")


def test_a_record_that_changed_is_read_again(store, opened):
    before = table(store)
    key = next(key for key in sorted(store.finished()) if store.record(key).status == "complete")
    better = store.record(key).model_copy(update={"accuracy": {"last_ema": (100.0,) * 10}})
    store.path(f"records/{key}.json").write_text(better.model_dump_json())  # in place: the same file of the file system
    gone = sorted(store.finished() - {key})[0]
    store.remove(f"records/{gone}.json")
    opened.clear()
    after = table(store)
    assert opened == [key]
    values = after[after["group"] == "all"].set_index("key")
    assert values.loc[key, "value"] == 100 and values.loc[gone, "status"] == "missing"
    others = ~before["key"].isin([key, gone])
    pd.testing.assert_frame_equal(after[others], before[others])


@pytest.mark.parametrize("python", ["", "/bin/false", "/bin/true", "/nowhere"])
def test_many_records_are_read_by_processes_or_where_these_fail_here(store, opened, monkeypatch, python):
    store.write(f"records/{min(store.finished())}.json", b"{}")
    first = gather([store])
    store.remove(index.NAME)
    opened.clear()
    monkeypatch.setattr(reading, "SHARED", 1)
    monkeypatch.setattr(reading, "SHARE", 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(sys, "executable", python or sys.executable)
    second = gather([store])
    assert set(opened) == (store.finished() if python else set())
    pd.testing.assert_frame_equal(second.rows, first.rows)
    assert second.damaged == first.damaged and len(first.damaged) == 1
    opened.clear()
    pd.testing.assert_frame_equal(table(store), first.rows)  # and what they told became the index
    assert len(opened) <= 1


def test_another_process_looks_at_a_large_store_s_records_meanwhile(store, monkeypatch):
    monkeypatch.setattr(stamps, "LARGE", 0)
    here, looked = store.stamps(), []
    monkeypatch.setattr(Store, "stamped", lambda self, *_, **__: looked.append(1) or ([], np.zeros((0, 2)), []))
    known = sorted(store.finished())
    for key in known[1:]:
        store.mark_tracked(key, {})
    store.write(f"records/{'x' * 20}.json", b"of another program")
    with stamps_ahead([store.url, f"{store.url}/none", "s3:///"]):
        there = store.stamps()
        assert texts(store.untracked()) == known[:1]
    assert not looked, "not here"
    assert texts(store.untracked()) == known[:1]
    order = [np.lexsort(stamps.keys.T) for stamps in (here, there)]
    for name in ("keys", "marks", "known"):
        assert np.array_equal(getattr(here, name)[order[0]], getattr(there, name)[order[1]]), name


@pytest.mark.parametrize("python", ["/bin/false", "/bin/true", "/nowhere"])
def test_a_process_that_cannot_look_leaves_it_to_this_one(store, monkeypatch, python):
    monkeypatch.setattr(stamps, "LARGE", 0)
    monkeypatch.setattr(sys, "executable", python)
    with stamps_ahead([store.url]):
        assert len(store.stamps().keys) == len(store.finished()) > 0
        assert len(store.untracked()) == len(store.finished())


def test_of_many_records_each_is_told_as_it_is_told_alone(store, monkeypatch):
    """What is no file of its own, or not whole, lies among others that are read ahead."""
    monkeypatch.setattr(files, "AHEAD", 2)
    keys = sorted(store.finished())
    folder = store.path(f"records/{keys[0]}.json").parent
    strange = dict(zip(("link", "pipe", "folder", "empty", "cut", "other", "huge", "gone"), keys[1:], strict=False))
    for key in strange.values():
        (folder / f"{key}.json").rename(folder / f"{key}.whole")
    (folder / f"{strange['link']}.json").symlink_to(folder / f"{strange['link']}.whole")
    os.mkfifo(folder / f"{strange['pipe']}.json")
    (folder / f"{strange['folder']}.json").mkdir()
    (folder / f"{strange['empty']}.json").touch()
    (folder / f"{strange['cut']}.json").write_bytes((folder / f"{strange['cut']}.whole").read_bytes()[:-1])
    (folder / f"{strange['other']}.json").write_bytes((folder / f"{keys[0]}.json").read_bytes())
    with (folder / f"{strange['huge']}.json").open("wb") as file:
        file.truncate(files.LARGEST + 1)
    asked = [*keys, "../../secret", "\0"]
    opened = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else folder
    before = len([*opened.iterdir()])
    told = list(store.results(asked))
    next(store.results(asked))
    assert len([*opened.iterdir()]) == before, "each is closed"
    assert [isinstance(each, str) for each in told] == [key in (*strange.values(), *asked[-2:]) for key in asked]
    assert told == [*StoreReader.results(store, asked)]
    assert all(key in message for key, message in zip(asked[:-1], told, strict=False) if isinstance(message, str))


def test_a_store_that_cannot_be_written_is_read_all_the_same(store, monkeypatch):
    def refuse(self, name, data):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(Store, "write", refuse)
    assert len(table(store)) and not store.has(index.NAME)


def test_a_complete_trial_that_names_no_images_is_unverified(store):
    key = next(key for key in sorted(store.finished()) if store.record(key).status == "complete")
    store.write(f"records/{key}.json", store.record(key).model_copy(update={"data": None}).model_dump_json().encode())
    assert not table(store).set_index("key").loc[key, "verified"].any()


def test_few_records_are_worth_no_index(store, monkeypatch):
    monkeypatch.setattr(index, "MANY", 100)
    table(store)
    assert not store.has(index.NAME)


FORGED = {
    "accuracies beyond 100": lambda a: a | {"accuracy": a["accuracy"] + 100},
    "accuracies that are no numbers": lambda a: a | {"accuracy": a["accuracy"] * np.nan},
    "too few accuracies": lambda a: a | {"accuracy": a["accuracy"][1:]},
    "classes of another record": lambda a: a | {"classes": a["classes"][::-1]},
    "a status that there is not": lambda a: a | {"status": a["status"] + 7},
    "a word that there is not": lambda a: a | {"reason": a["reason"] + 99},
    "a word before the first": lambda a: a | {"counts": a["counts"] - 1},
    "a key twice": lambda a: a | {"keys": np.tile(a["keys"][:10], len(a["keys"]) // 10)},
    "seconds below none": lambda a: a | {"seconds": a["seconds"] - 100},
    "no words": lambda a: a | {"words": np.zeros(9, np.uint8)},
    "classes without images": lambda a: a | {"words": worded(a, tails=lambda tails: [[0 for _ in t] for t in tails])},
    "another kind of number": lambda a: a | {"counts": a["counts"].astype(float)},
    "more words than so few records can have": lambda a: a | {"words": worded(a, reasons=lambda _: [*"x" * 300_000])},
    "no stamps": lambda a: {name: array for name, array in a.items() if name != "stamps"},
}


def worded(arrays, **others):
    words = json.loads(arrays["words"].tobytes())
    words |= {name: change(words[name]) for name, change in others.items()}
    return np.frombuffer(json.dumps(words).encode(), np.uint8)


@pytest.mark.parametrize("how", FORGED)
def test_an_index_that_is_none_is_as_good_as_none(store, opened, how):
    first = table(store)
    forged = FORGED[how](unpack_arrays(store.read(index.NAME)))
    np.savez(store.path(index.NAME), **forged)
    opened.clear()
    pd.testing.assert_frame_equal(table(store), first)
    assert set(opened) == store.finished()


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_bytes_may_stand_for_an_index(store, data):
    first = table(store)
    whole = bytearray(store.read(index.NAME))
    if data.draw(st.booleans(), "a few bytes are others"):
        for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=8)):
            whole[at] = data.draw(st.integers(0, 255))
    else:
        whole = whole[: data.draw(st.integers(0, len(whole)))]
    store.path(index.NAME).write_bytes(whole)
    pd.testing.assert_frame_equal(table(store), first)  # a zip's checksums find what was changed


def test_a_pickle_is_not_opened(store, tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    first = table(store)
    np.savez(store.path(index.NAME), keys=np.array([Harm()], dtype=object))
    pd.testing.assert_frame_equal(table(store), first)
    assert not (tmp_path / "harm").exists()


@pytest.mark.slow
def test_a_bucket_is_asked_for_one_object(bucket, store, opened, monkeypatch):
    """A real S3 server: what changes when a record does is its hash."""
    remote = filled(Store(f"{bucket}/x"))
    first = table(remote)
    assert set(opened) == remote.finished()
    opened.clear()
    pd.testing.assert_frame_equal(table(remote), first)
    assert opened == []
    key = next(key for key in sorted(remote.finished()) if remote.record(key).status == "complete")
    better = remote.record(key).model_copy(update={"accuracy": {"last_ema": (50.0,) * 10}})
    remote.write(f"records/{key}.json", better.model_dump_json().encode())
    found = table(remote).set_index(["key", "group"])["value"]
    assert opened == [key] and found[key, "all"] == 50
    pd.testing.assert_frame_equal(first, table(store))
