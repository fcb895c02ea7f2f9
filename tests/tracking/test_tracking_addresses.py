"""Where MLflow is: relative paths are made absolute once; what MLflow refuses is not promised to pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from tailboard.harness.errors import SpecError, TrackingError
from tailboard.harness.spec.parser import parse, read
from tailboard.harness.spec.resources import absolute
from tailboard.harness.storage.store import Store
from tailboard.harness.tracking.background import Tracker, catch_up
from tailboard.harness.tracking.mlflow_runs import MlflowRuns
from tailboard.harness.tracking.uri import is_ours, tracking_uri

RAW = {"name": "t", "data": "fashion-mnist-mini", "methods": "ERM", "network": "small", "seeds": 1}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("sqlite:///mlflow.db", "sqlite:////here/mlflow.db"),
        ("sqlite:///a/../b.db?timeout=5", "sqlite:////here/b.db?timeout=5"),
        ("./mlruns", "/here/mlruns"),
        ("a/mlruns", "/here/a/mlruns"),
        *((same, same) for same in ("sqlite:////x/y.db", "sqlite://", "sqlite:///:memory:", "http://h:1/a", "/x/y",
                                    "file:///x/y", "postgresql://h/d", "databricks", "databricks://p")),
    ],
)  # fmt: skip
def test_a_relative_path_is_made_absolute_and_nothing_else_is_touched(uri, found):
    assert absolute(uri, Path("/here")) == found


def test_of_a_spec_it_begins_at_the_spec_and_of_the_environment_here(tmp_path, monkeypatch):
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "t.yaml").write_text(str(RAW | {"tracking": {"uri": "sqlite:///m.db"}}))
    spec = read("specs/t.yaml")
    assert spec.tracking.uri == f"sqlite:///{tmp_path}/specs/m.db" and not is_ours(spec)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///specs/m.db")
    assert is_ours(spec)
    assert tracking_uri(parse(RAW), Store("store")) == f"sqlite:///{tmp_path}/specs/m.db"


def test_a_relative_database_is_written_to(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    MlflowRuns(parse(RAW), Store("store"))
    assert (tmp_path / "mlflow.db").is_file()


def test_an_experiment_that_was_deleted_is_told_with_the_remedy(tmp_path):
    spec, store = parse(RAW), Store("store")
    store.write_plan(spec)
    MlflowRuns(spec, store)
    client = MlflowClient(tracking_uri(spec, store))
    client.delete_experiment(client.get_experiment_by_name("tailboard").experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore"):
        MlflowRuns(spec, store)
    for reason in (catch_up(spec, store, []), Tracker(spec, store, []).close()):
        assert reason.startswith("MLflow was not written to: its experiment 'tailboard' was deleted there: restore it")
        assert "fills in" not in reason


@pytest.mark.parametrize("name", ["", "  "])
def test_an_experiment_without_a_name_is_refused(name):
    with pytest.raises(SpecError, match=r"tracking\.experiment: a name is expected"):
        parse(RAW | {"tracking": {"experiment": name}})
