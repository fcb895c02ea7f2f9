"""Stores that MLflow is told of, with an empty database of its own."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlflow_page import SPEC
from tailboard.harness.spec.parser import parse
from tailboard.harness.storage.store import Store
from tailboard.harness.tracking import background


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """Made once, since that takes MLflow longer than all the rest."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path, monkeypatch, empty_database) -> Store:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(background, "GATHER_SECONDS", 0.2)
    store = Store(tmp_path / "store")
    store.write_plan(parse(SPEC))
    shutil.copy(empty_database, store.root)
    return store
