"""`tailboard run` of estimators with real Ray: a signal lets the fits that run end, and starts no other."""

import json
import os
import signal

import pytest

pytestmark = pytest.mark.slow

SPEC = {
    "name": "t",
    "data": {"name": "csv:rows.csv", "label": "y"},
    "methods": "ERM",
    "network": {"name": "random_forest", "values": {"n_estimators": 500}},  # a second each
    "seeds": 200,  # far more than are fitted before the signal
}
ROWS = "\n".join(["x,y", *(f"{row * 37 % 101},{'rare' if row % 5 == 0 else 'usual'}" for row in range(1000))])


def test_sigterm_acts_between_fits(launcher, tmp_path, shared_ray, shared_mlflow):
    job = launcher(tmp_path, SPEC, {"rows.csv": ROWS}, **shared_ray, **shared_mlflow)
    process = job.start()
    job.wait_for(job.records, process)
    begun = len(job.records())
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    assert "the same command goes on" in err and "Traceback" not in err
    records = job.records()
    assert begun <= len(records) < SPEC["seeds"], "fits that ran have ended, and no other began"
    assert {record["status"] for record in records.values()} == {"complete"} and not job.checkpoints()
    assert {(record["attempts"], record["epochs"]) for record in records.values()} == {(1, 1)}
    status = json.loads(job.tailboard("status", job.store, "--json").stdout)
    assert status["states"] == {"complete": len(records), "missing": SPEC["seeds"] - len(records)}
