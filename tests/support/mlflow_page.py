"""What MLflow holds of a small spec, and records as trials leave them, for the tests of what is told to it."""

import json
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from tailboard.harness.storage.record import Provenance, Record
from tailboard.harness.storage.store import Store
from tailboard.harness.tracking.mlflow_runs import KEY, ROLE

EPOCHS = 5
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", "Reweighting"],
    "network": "small",
    "training": {"epochs": EPOCHS, "batch_size": 32},
    "seeds": 1,
    "resources": {"checkpoint_seconds": 0},
}


class Page:
    """What MLflow holds: the runs of the trials by key, those of specs, and those of the rows of reports."""

    def __init__(self, uri: str) -> None:
        self.client = MlflowClient(uri)
        experiment = self.client.get_experiment_by_name("tailboard")
        assert not experiment or experiment.tags["mlflow.experimentKind"] == "custom_model_development"
        runs = self.client.search_runs([experiment.experiment_id]) if experiment else []
        self.trials = {run.data.tags[KEY]: run for run in runs if KEY in run.data.tags}
        self.rows = [run for run in runs if run.data.tags.get(ROLE) == "row"]
        self.specs = [run for run in runs if KEY not in run.data.tags and run not in self.rows]
        assert len(self.trials) + len(self.specs) + len(self.rows) == len(runs), "a trial has two runs"
        names = [run.info.run_name for run in self.rows]
        assert len(names) == len(set(names)), "a row has two runs"

    def steps(self, key: str, metric: str = "train/loss") -> list[int]:
        """In the order in which its page shows them."""
        return [m.step for m in self.client.get_metric_history(self.trials[key].info.run_id, metric)]

    def check(self, key: str, record: dict) -> None:
        """All of a finished trial is there, once."""
        run, trial = self.trials[key], record["trial"]
        complete = record["status"] == "complete"
        assert run.info.status == ("FINISHED" if complete else "FAILED")
        assert run.data.tags["status"] == record["status"]
        assert run.data.tags["reason"] == record["reason"]
        assert run.data.tags["method"] == run.data.params["method"] == trial["method"]["name"]
        rows = [row for row in self.rows if row.data.tags["method"] == run.data.tags["method"]]
        (parent,) = rows or self.specs
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert (run.data.tags["dataset"], run.data.tags["stage"]) == ("fashion-mnist-mini", "report")
        assert run.data.tags["seed"] == run.data.params["seed"] == str(trial["seed"])
        assert run.data.params["training.batch_size"] == "32"
        epochs = list(range(record["epochs"]))
        assert self.steps(key) == self.steps(key, "train/lr") == epochs
        if complete:
            assert self.steps(key, "test/all") == [record["epochs"]]
            expected = sum(record["accuracy"]["last_ema"]) / len(record["counts"])
            assert run.data.metrics["test/all"] == pytest.approx(expected)
        assert run.data.tags["mlflow.source.name"] == "tailboard run t"
        assert run.data.tags.get("mlflow.source.git.commit") == record["environment"].get("commit")
        inputs = [each.dataset for each in run.inputs.dataset_inputs]
        assert [each.digest for each in inputs] == ([record["data"]["fingerprint"][:36]] if record["data"] else [])
        path = self.client.download_artifacts(run.info.run_id, "record.json")
        assert json.loads(Path(path).read_text())["key"] == key


def finish(store: Store, trial, status="complete", accuracy=(80.0, 20.0), **changes) -> Record:
    """A trial's record and arrays, as run_trial leaves them."""
    complete = status == "complete"
    if complete:
        loss = np.linspace(2, 1, EPOCHS)
        store.write_arrays(trial.key, {"history_epoch": np.arange(EPOCHS), "history_loss": loss, "history_lr": loss})
    record = Record(
        key=trial.key, trial=trial, status=status, counts=(60, 6), epochs=EPOCHS if complete else 0,
        accuracy={"last_ema": accuracy, "last": accuracy} if complete else {},
        started="2026-01-01T00:00:00+00:00", finished="2026-01-01T00:01:00+00:00",
        data=Provenance(verified=True, hashes={}, fingerprint="f" * 64), environment={"commit": "c0ffee"},
        files={f"arrays/{trial.key}.npz": "0"} if complete else {}, **changes,
    )  # fmt: skip
    store.write_record(record)
    return record


def line(epoch: int) -> dict[str, float]:
    return {"epoch": epoch, "loss": 2.0 - epoch / 4, "lr": 2.0 - epoch / 4}
