"""A new database of MLflow's is a copy of an empty one: the same tables, and nothing of where that was made."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tailboard.harness.tracking.empty_database import lay_out

TABLES = "create table experiments (name text, artifact_location text); create table runs (id text)"


def rows(path: Path) -> tuple[list, list]:
    with closing(sqlite3.connect(path)) as database:
        tables = database.execute("select sql from sqlite_schema order by sql").fetchall()
        return tables, database.execute("select * from experiments").fetchall()


@pytest.fixture
def made(tmp_path, monkeypatch) -> list[Path]:
    """Where tables were laid out one by one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return []


def laid_out(made: list[Path], path: Path, version: str = "1") -> tuple[list, list]:
    def make(part: Path) -> None:
        made.append(part)
        with closing(sqlite3.connect(part)) as database, database:
            database.executescript(TABLES)
            database.execute("insert into experiments values ('Default', ?)", [str(part)])

    lay_out(path, version, make)
    return rows(path)


def test_tables_are_laid_out_once_for_each_version_and_the_first_experiment_is_left_to_mlflow(made, tmp_path):
    found = [laid_out(made, tmp_path / name, version) for name, version in (("a", "1"), ("b", "1"), ("c", "2"))]
    assert len(made) == 2
    assert found[0] == found[1] == found[2] and len(found[0][0]) == 2 and found[0][1] == []


@pytest.mark.parametrize("damage", [b"", b"no database" * 100])
def test_a_damaged_copy_is_made_anew(made, tmp_path, damage):
    first = laid_out(made, tmp_path / "a")
    (kept,) = (tmp_path / "cache" / "tailboard" / "mlflow").iterdir()
    kept.write_bytes(damage)
    assert laid_out(made, tmp_path / "b") == first
    assert len(made) == 2


def test_where_nothing_can_be_kept_mlflow_lays_out_each(made, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    for name in "ab":
        tables, experiments = laid_out(made, tmp_path / name)
        assert len(tables) == 2 and len(experiments) == 1
    assert made == [tmp_path / "a", tmp_path / "b"]
