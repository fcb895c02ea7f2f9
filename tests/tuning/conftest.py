"""Whole searches whose studies lie beside their records."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_lab import Lab, bumpy
from tailboard.harness.spec.schema import Spec, Trial
from tailboard.harness.storage.paths import STUDIES
from tailboard.harness.storage.store import Store
from tailboard.harness.tuning.optuna_study import open_storage


@pytest.fixture(scope="session")
def empty_studies(tmp_path_factory) -> Path:
    """Made once, since that takes Optuna longer than a search."""
    store = Store(tmp_path_factory.mktemp("studies"))
    with open_storage(store):
        return Path(store.root) / STUDIES


@pytest.fixture
def kept(empty_studies) -> Callable[..., Lab]:
    """``kept(folder, spec, score)``: a whole search whose studies are where they belong, beside its records."""

    def searched(folder: Path, spec: Spec, score: Callable[[Trial, int], float | str] = bumpy, **words: Any) -> Lab:
        lab = Lab(folder, spec, score)
        shutil.copy(empty_studies, lab.store.root)
        with open_storage(lab.store) as lab.memory:
            assert lab.drive(**words)
        return lab

    return searched
