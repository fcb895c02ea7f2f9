"""A SQLite file of a remote store: written back while it is worked on, whole; and what a kill loses is found again."""

import sqlite3
import time
import uuid

import pytest

from tailboard.harness.spec.parser import parse
from tailboard.harness.storage import sqlite
from tailboard.harness.storage.sqlite import local_copy
from tailboard.harness.storage.store import Store
from tailboard.harness.tuning.optuna_study import create_study, open_storage
from tailboard.harness.tuning.space import spaces

TUNED = parse({
    "name": "t", "data": "fashion-mnist-mini", "methods": "SAM", "network": "small", "tune": {"trials": 4,
    "parameters": "all"},
})  # fmt: skip


@pytest.fixture
def store():
    return Store(f"memory://{uuid.uuid4().hex}")


def rows(data: bytes, tmp_path) -> list:
    (tmp_path / "found.db").write_bytes(data)
    with sqlite3.connect(tmp_path / "found.db") as database:
        return database.execute("select x from t").fetchall()


def within(seconds: float, happens) -> bool:
    end = time.monotonic() + seconds
    while not happens():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_it_is_written_back_on_the_way_without_what_is_not_committed(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "BACK_SECONDS", 0.05)
    with local_copy(store, "x.db", write=True) as path:
        database = sqlite3.connect(path)
        database.execute("create table t (x)")
        database.execute("insert into t values (1)")
        database.commit()
        database.execute("insert into t values (2)")  # a transaction that is under way
        assert within(20, lambda: store.has("x.db") and rows(store.read("x.db"), tmp_path) == [(1,)])
        database.commit()
        assert within(20, lambda: rows(store.read("x.db"), tmp_path) == [(1,), (2,)])
        database.execute("insert into t values (3)")
        database.commit()
        database.close()
    assert rows(store.read("x.db"), tmp_path) == [(1,), (2,), (3,)]


def test_who_only_reads_writes_nothing(store):
    with local_copy(store, "x.db", write=False) as path:
        sqlite3.connect(path).execute("create table t (x)")
    assert not store.has("x.db")


def test_a_store_that_is_away_meanwhile_gets_it_at_the_end(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "BACK_SECONDS", 0.02)
    tried, write = [], store.write

    def away(name, data):
        tried.append(name)
        raise OSError("away")

    monkeypatch.setattr(store, "write", away)
    with local_copy(store, "x.db", write=True) as path:
        with sqlite3.connect(path) as database:
            database.execute("create table t (x)")
            database.execute("insert into t values (1)")
        assert within(20, lambda: len(tried) > 2)
        monkeypatch.setattr(store, "write", write)
    assert rows(store.read("x.db"), tmp_path) == [(1,)]


def test_proposals_that_died_with_their_driver_are_made_again(store):
    ((_, space),) = spaces(TUNED)
    proposed = []
    for _ in range(2):
        with open_storage(store, write=False) as opened:  # nothing is kept, as after a kill
            proposed.append([c.values for c in create_study(opened, "s").generation(space, 0, 4, "tpe", seed=3)])
    assert proposed[0] == proposed[1]
    assert len(proposed[0]) == 4
    assert not store.has("studies.db")
