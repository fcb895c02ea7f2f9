"""`tailboard run` and `tune` on a spec that is tuned, with real Ray, real trainings and real kills."""

import hashlib
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient

from ray_head import RayHead
from tailboard.harness.planning import tuned_spec
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.spec.parser import read
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.tuning.optuna_study import open_storage
from tailboard.harness.tuning.results import search_results

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # of mlflow's own queries
]

METHODS = ["ERM", "M2m"]  # M2m starts from the network of ERM at its defaults, which ERM's search judges too
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": METHODS,
    "network": "small",
    "training": {"epochs": 4, "batch_size": 32},
    "seeds": 2,
    "resources": {"checkpoint_seconds": 0},
    "tune": {"trials": 8, "parameters": ["all", "lr"]},
}
FAULTY = """
import gc
from dataclasses import dataclass
import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tailboard.methods.recipe import Part, Range, Recipe, hyper, register

def raises(loss):
    raise ValueError("of no use")

def diverges(loss):
    return loss * float("nan")

def looks(loss):
    # as many labels, or pixels, as the test set has, or as the file holds; also in what was imported before the fork
    gc.unfreeze()
    sizes = (3000, 3000 * 784, 9000 * 784)
    things = gc.get_objects()
    for found in (thing for thing in gc.get_referents(things, *things) if type(thing) in (np.ndarray, torch.Tensor)):
        if (found.size if type(found) is np.ndarray else found.numel()) in sizes:
            raise ValueError(f"here are test images: {found.shape}")
    return loss

@dataclass(frozen=True)
class Faulty(Part):
    fault: str
    scale: float = hyper(1.0, "none", Range(0.5, 2.0))
    def build(self, scene):
        fault = globals()[self.fault]
        if self.fault == "looks":
            looks(None)
        return lambda logits, y, epsilon: fault(cross_entropy(logits, y, reduction="none") * self.scale)

for name in ("raises", "diverges", "looks"):
    register(name.capitalize(), Recipe(loss=Faulty(name)))
"""


ABOUT = ("epochs", "keys", "reason")


def studies(job: Any) -> dict[str, list[tuple[Any, ...]]]:
    """All that the studies hold but for seconds and dates."""
    found = {}
    with open_storage(Store(job.store)) as opened:
        for name in optuna.get_all_study_names(opened):
            trials = optuna.load_study(study_name=name, storage=opened).trials
            found[name] = [
                (t.number, t.params, t.state.name, t.values, t.intermediate_values, *map(t.user_attrs.get, ABOUT))
                for t in trials
            ]
    return found


def report(job: Any) -> dict[str, bytes]:
    return {end: (job.store / "report" / f"leaderboard.{end}").read_bytes() for end in ("csv", "json")}


def run(job: Any, slots: int) -> Any:
    return job.tailboard("run", "t.yaml", "--store", "store", "--slots", slots)


def written(job: Any) -> bytes:
    """The spec with the values found, of a store that holds them."""
    spec = read(job.folder / "t.yaml")
    tuned = tuned_spec.TunedSpec(spec, search_results(spec, Store(job.store)))
    (path,) = tuned_spec.save(tuned, job.folder / "found.yaml")
    return path.read_bytes()


@pytest.fixture(scope="module")
def two_places(free_port):
    """What a driver's environment holds to join a Ray of two CPUs."""
    head = RayHead(free_port(), "--num-cpus=2")
    yield head.environment
    head.close()


@pytest.fixture(scope="module")
def undisturbed(launcher, tmp_path_factory, two_places):
    """One slot, and nobody disturbs it; what the others must come to."""
    job = launcher(tmp_path_factory.mktemp("undisturbed"), SPEC, {}, **two_places)
    done = run(job, 1)
    assert done.returncode == 0, done.stderr
    job.found, job.spec_found = studies(job), written(job)
    return job


def test_a_run_tunes_every_method_alike_and_reports_fresh_seeds(undisturbed):
    assert len(undisturbed.found) == len(METHODS)
    for trials in undisturbed.found.values():
        states = Counter(state for _, _, state, *_ in trials)
        assert states == {"COMPLETE": 2, "PRUNED": 6}
        assert [t[0] for t in trials] == list(range(8))
        assert sum(t[5] for t in trials) == 8 * 4 // 2, "half of what it costs without pruning"
    records = undisturbed.records().values()
    seeds = {
        stage: {r["trial"]["seed"] for r in records if r["trial"]["stage"] == stage} for stage in ("tune", "report")
    }
    assert seeds == {"tune": {1000}, "report": {0, 1}}
    assert all(r["test_counts"] == [60] * 10 for r in records if r["trial"]["stage"] == "tune")
    assert all(r["test_counts"] == [300] * 10 for r in records if r["trial"]["stage"] == "report")
    assert not list((undisturbed.store / "checkpoints").glob("*"))
    for record in records:
        for name, digest in record["files"].items():
            found = hashlib.sha256((undisturbed.store / name).read_bytes()).hexdigest()
            assert found == digest, f"{record['key']}, {record['status']}, vouches for another {name}"


def test_every_tuning_trial_is_one_run_in_mlflow_with_numbers_of_validation_only(undisturbed):
    check_mlflow(undisturbed)


def check_mlflow(job: Any) -> None:
    client = MlflowClient(f"sqlite:///{job.store / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("tailboard").experiment_id], max_results=5000)
    of_trials = {r.data.tags["tailboard.key"]: r for r in runs if "tailboard.key" in r.data.tags}
    groups = {r.info.run_id: r for r in runs if "tailboard.key" not in r.data.tags}
    assert len(of_trials) + len(groups) == len(runs), "a trial has two runs"
    assert set(of_trials) == set(job.records())
    (top,) = (r for r in groups.values() if r.data.tags["tailboard.role"] == "spec")
    tuning, rows = Counter(), set()
    for key, record in job.records().items():
        found = of_trials[key]
        stage, method = record["trial"]["stage"], record["trial"]["method"]["name"]
        assert (found.data.tags["stage"], found.data.tags["status"]) == (stage, record["status"])
        assert found.info.status == ("FAILED" if record["status"] in ("failed", "diverged") else "FINISHED")
        scored = {name.split("/")[0] for name in found.data.metrics} & {"val", "test"}
        good = record["status"] in ("complete", "pruned")
        assert scored == ({"val" if stage == "tune" else "test"} if good else set())
        parent = groups[found.data.tags["mlflow.parentRunId"]]
        if stage == "report":
            if parent is top:
                assert method == "ERM", "what rows start from is no row's"
            else:
                assert (parent.data.tags["tailboard.role"], parent.data.tags["method"]) == ("row", method)
                rows.add(parent.info.run_id)
            continue
        tuning[method] += 1
        assert (parent.data.tags["stage"], parent.data.tags["method"]) == ("tune", method)
        assert parent.data.tags["mlflow.parentRunId"] == top.info.run_id
    assert rows and len(groups) == 1 + len(tuning) + len(rows), "one for each method, and one for each row"


def test_tune_then_run_of_the_new_spec_trains_nothing_twice_and_comes_to_the_same(
    undisturbed, launcher, tmp_path, two_places
):
    """The search with two slots."""
    job = launcher(tmp_path, SPEC, {}, **two_places)
    done = job.tailboard("tune", "t.yaml", "--store", "store", "--slots", 2, "-o", "found.yaml")
    assert done.returncode == 0, done.stderr
    assert all(method in done.stdout for method in METHODS)
    assert {r["trial"]["stage"] for r in job.records().values()} == {"tune"}
    assert studies(job) == undisturbed.found
    assert (tmp_path / "found.yaml").read_bytes() == undisturbed.spec_found
    before = job.bytes_of("records")
    done = job.tailboard("run", "found.yaml", "--store", "store", "--slots", 1)
    assert done.returncode == 0, done.stderr
    after = job.bytes_of("records")
    new = {Path(name).stem for name in after.keys() - before.keys()}
    assert new == {trial.key for trial in resolve_dependencies(plan(read(tmp_path / "found.yaml")), {}).trials}
    assert {name: after[name] for name in before} == before
    done = run(job, 1)
    assert done.returncode == 0, done.stderr
    assert job.bytes_of("records") == after, "the tuned spec's own report needs nothing else"
    assert report(job) == report(undisturbed)


def test_killed_at_any_moment_it_comes_to_the_same_and_trains_nothing_twice(undisturbed, launcher, tmp_path):
    """Two slots, two SIGKILLs of the driver and two of workers at random moments."""
    job, rng, told = launcher(tmp_path, SPEC, {}), random.Random(time.time_ns()), []  # noqa: S311
    kills = rng.sample(["driver", "worker"] * 2, 4)
    process, finished = job.start(), {}
    for what in kills:
        before = job.bytes_of("rungs", "records").keys()
        if not job.reaches(lambda before=before: job.bytes_of("rungs", "records").keys() - before, process):
            break  # nothing was left to train
        moment = rng.uniform(0, 3)
        time.sleep(moment)
        told.append(f"{what} {moment:.2f} s after a trial rested, {len(job.records())} records")
        if what == "worker":
            workers = job.workers()
            if workers:
                os.kill(rng.choice(workers), signal.SIGKILL)
            continue
        process.kill()
        process.wait()
        assert job.gone_within(60), (told, job.leftovers())
        now = job.bytes_of("records")
        assert {name: now.get(name) for name in finished} == finished, ("a finished trial ran again", told)
        finished = now
        process = job.start()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, (told, err)
    now = job.bytes_of("records")
    assert {name: now.get(name) for name in finished} == finished, ("a finished trial ran again", told)
    assert len(told) == 4, f"it was too quick for this test: {told}"
    found = studies(job)
    assert "RUNNING" not in {trial[2] for trials in found.values() for trial in trials}, told
    assert found == undisturbed.found, told
    assert report(job) == report(undisturbed), told
    assert set(job.records()) == set(undisturbed.records()), told
    assert written(job) == undisturbed.spec_found, told
    check_mlflow(job)
    assert not list((job.store / "checkpoints").glob("*")), told


def test_methods_that_break_while_they_are_tuned_are_shown_with_the_reason(launcher, tmp_path, two_places):
    """And one that searches the process's memory for test images finds none, in either stage."""
    methods = ["ERM", *({"name": name, "plugin": "faulty.py"} for name in ("Raises", "Diverges", "Looks"))]
    spec = SPEC | {"methods": methods, "training": {"epochs": 1, "batch_size": 128}, "seeds": 1}  # a search each batch
    job = launcher(tmp_path, spec | {"tune": {"trials": 4, "parameters": "scale"}}, {"faulty.py": FAULTY}, **two_places)
    done = job.run_one_at_a_time()
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "none of 4 trials finished" in done.stdout
    assert "ValueError: of no use" in done.stdout
    assert "diverged: loss not finite" in done.stdout
    states = {name.split(",")[0]: Counter(trial[2] for trial in trials) for name, trials in studies(job).items()}
    assert states == {"Raises": {"FAIL": 4}, "Diverges": {"FAIL": 4}, "Looks": {"COMPLETE": 4}}
    rows = json.loads((job.store / "report" / "leaderboard.json").read_text())
    cells = {row["method"]: row for row in rows if row["group"] == "all"}
    assert {name: row["status"] for name, row in cells.items()} == {
        "ERM": "complete", "Raises": "failed", "Diverges": "failed", "Looks": "complete"
    }  # fmt: skip
    assert cells["Raises"]["mean"] is None and cells["Looks"]["mean"] > 0
    records = [r for r in job.records().values() if r["trial"]["method"]["name"] == "Looks"]
    assert {(r["trial"]["stage"], r["status"]) for r in records} == {("tune", "complete"), ("report", "complete")}
    check_mlflow(job)
    assert {r["attempts"] for r in job.records().values()} == {1}, "what a method breaks is not tried again"
    assert job.leftovers() == []
