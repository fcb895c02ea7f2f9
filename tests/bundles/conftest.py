"""The bundles that several files look at: each is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from forged_bundles import PLANTED, RAW, searched, trained
from tailboard.harness.bundles.export import export
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Store:
    return trained(tmp_path_factory.mktemp("group") / "store", with_plugin(parse(RAW), PLANTED, ["Planted"]))


@pytest.fixture(scope="session")
def bundle(store) -> Path:
    path = Path(store.root).parent / "b.zip"
    assert export(store, path) == []
    return path


@pytest.fixture(scope="session")
def tuned_bundle(tmp_path_factory) -> Path:
    training = {"preset": "ldam2019", "epochs": 4, "batch_size": 32}
    raw = RAW | {"methods": ["ERM", "Focal Loss"], "training": training, "seeds": 1}
    spec = parse(raw | {"tune": {"trials": 4, "parameters": ["gamma"]}})
    found = searched(tmp_path_factory.mktemp("tuned") / "store", spec)
    path = Path(found.root).parent / "b.zip"
    assert export(found, path) == []
    return path


@pytest.fixture(scope="session")
def groups(tmp_path_factory) -> dict[str, Path]:
    """ERM of one group, Reweighting of another, both of a third; and ERM with more epochs."""
    folder, found = tmp_path_factory.mktemp("groups"), {}
    base = RAW | {"seeds": 2}
    for name, methods, epochs in (
        ("erm", ["ERM"], 1), ("rw", ["Reweighting"], 1), ("both", ["ERM", "Reweighting"], 1), ("longer", ["ERM"], 2)
    ):  # fmt: skip
        spec = parse(base | {"name": name, "methods": methods, "training": {"epochs": epochs, "batch_size": 32}})
        made = Store(folder / name)
        for trial in plan(spec) if name == "both" else ():
            other = Store(folder / ("erm" if trial.method.name == "ERM" else "rw"))
            made.write(f"arrays/{trial.key}.npz", other.read(f"arrays/{trial.key}.npz"))
            made.write_record(other.record(trial.key))
        made = made if name == "both" else trained(folder / name, spec)
        made.write_plan(spec)
        found[name] = folder / f"{name}.zip"
        assert export(made, found[name]) == []
    return found
