"""MLflow mirrors the store: every trial once, every epoch once, whatever was killed or away in between."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient

from mlflow_page import EPOCHS, SPEC, Page, finish, line
from tailboard.harness.planning.plan import Plan
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.lease import only_driver
from tailboard.harness.storage.sqlite import address
from tailboard.harness.tracking import background
from tailboard.harness.tracking.background import Tracker, catch_up, catch_up_all
from tailboard.harness.tracking.mlflow_runs import MlflowRuns
from tailboard.harness.tracking.uri import masked, tracking_uri

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # of mlflow's own queries

BROKEN = """
from dataclasses import dataclass
from tailboard.methods.recipe import Part, Recipe, register

@dataclass(frozen=True)
class Raises(Part):
    def build(self, scene):
        raise ValueError("no such thing")

register("Raises", Recipe(loss=Raises()))
"""
SLOW = """
import time
from dataclasses import dataclass
from pathlib import Path
from tailboard.methods.recipe import ClassWeights, Part, Recipe, register

@dataclass(frozen=True)
class Slow(Part):
    def build(self, scene):
        def weights(epoch):
            time.sleep(0.4)
            end = time.monotonic() + 60
            while epoch > 2 and not Path("FOLDER/killed").exists() and time.monotonic() < end:
                time.sleep(0.05)
            return ClassWeights(scene.tensor([1.0] * scene.classes))
        return weights

register("Slow", Recipe(weights=Slow()))
"""


# In this process, against SQLite


@pytest.mark.slow
def test_a_tracker_writes_what_it_is_told_and_closes_all(store):
    spec = parse(SPEC)
    one, two = trials = plan(spec)
    tracker = Tracker(spec, store, trials)
    assert tracker._thread.ident is None, "it would import MLflow, and Ray forks while it starts"
    tracker.begin()
    for epoch in range(EPOCHS):
        tracker.epoch(one, line(epoch))
    tracker.epoch(two, line(0))
    record = finish(store, one)
    tracker.finished(record)
    assert tracker.close() == ""
    page = Page(tracking_uri(spec, store))
    page.check(one.key, record.model_dump())
    assert page.trials[two.key].info.status == "KILLED", "it does not run any more"
    assert page.specs[0].info.status == "KILLED"

    again = Tracker(spec, store, trials)  # resumed: the epochs since the checkpoint come once more
    again.begin()
    for epoch in range(EPOCHS):
        again.epoch(two, line(epoch))
    other = finish(store, two)
    again.finished(other)
    assert again.close() == ""
    page = Page(tracking_uri(spec, store))
    page.check(one.key, record.model_dump())
    page.check(two.key, other.model_dump())
    assert [run.info.status for run in page.specs] == ["FINISHED"]


def test_epochs_that_an_outage_swallowed_are_filled_in(store):
    spec = parse(SPEC)
    one, _ = plan(spec)
    runs = MlflowRuns(spec, store)
    runs.epochs(one, [line(0)])
    runs.epochs(one, [line(3)])
    assert MlflowRuns(spec, store).parent == runs.parent
    record = finish(store, one)
    assert catch_up(spec, store, [one]) == ""
    Page(tracking_uri(spec, store)).check(one.key, record.model_dump())


def test_what_was_cut_off_in_the_middle_is_done_again_and_counts_once(store):
    """The process died after MLflow had the trial and before the store knew."""
    spec = parse(SPEC)
    one, two = plan(spec)
    records = {one.key: finish(store, one), two.key: finish(store, two, "failed", reason="ValueError: no")}
    for _ in range(2):
        assert catch_up(spec, store, [one, two]) == ""
        assert store.tracked() == set(records)
        page = Page(tracking_uri(spec, store))
        for key, record in records.items():
            page.check(key, record.model_dump())
            store.remove(f"tracked/{key}")
        assert [run.info.status for run in page.specs] == ["FINISHED"]


def test_the_network_that_others_start_from_is_told_too_by_a_session_that_did_not_train_it(store):
    """The driver was killed between its record and MLflow's; no table shows it."""
    spec = parse(SPEC | {"methods": "M2m"})
    trials = plan(spec)
    (judge,) = Plan(spec).prerequisites
    records = {trial.key: finish(store, trial) for trial in (judge, *trials)}
    assert judge.key not in {trial.key for trial in trials}
    assert catch_up(spec, store, trials) == ""
    assert store.tracked() == set(records)
    page = Page(tracking_uri(spec, store))
    for key, record in records.items():
        page.check(key, record.model_dump())


@pytest.mark.parametrize("made", ["once, but the answer is lost", "twice"])
def test_an_answer_that_is_lost_makes_no_second_run(store, monkeypatch, made):
    spec = parse(SPEC)
    trials, real, asked = plan(spec), MlflowClient.create_run, []

    def create_run(client, *words, **more):
        asked.append(more["run_name"])
        run = real(client, *words, **more)
        if made == "twice":  # the first request came too late to be answered, and was repeated
            return real(client, *words, **more)
        if asked.count(more["run_name"]) == 1:
            raise ConnectionError("no answer")
        return run

    monkeypatch.setattr(MlflowClient, "create_run", create_run)
    records = {trial.key: finish(store, trial) for trial in trials}
    told = [catch_up(spec, store, trials) for _ in range(4)]
    assert ["no answer" in reason for reason in told] == [made != "twice"] * 3 + [False]
    assert len(asked) == 3, "the spec and two trials"
    page = Page(tracking_uri(spec, store))
    assert len(page.trials) == 2
    for key, record in records.items():
        page.check(key, record.model_dump())
    assert [run.info.status for run in page.specs] == ["FINISHED"]


def test_two_runs_of_one_trial_that_a_killed_driver_left_become_one(store):
    spec = parse(SPEC)
    one, _ = trials = plan(spec)
    runs = MlflowRuns(spec, store)
    first, second = runs._create(one, None), runs._create(one, None)
    other = runs._new({"tailboard.store": runs.id, "tailboard.spec": "t", "tailboard.role": "spec"}, "t")
    assert len({first, second, other, runs.parent}) == 4
    records = {trial.key: finish(store, trial) for trial in trials}
    assert catch_up(spec, store, trials) == ""
    page = Page(tracking_uri(spec, store))
    assert page.trials[one.key].info.run_id in (first, second)
    assert [(run.info.run_id, run.info.status) for run in page.specs] == [(runs.parent, "FINISHED")]
    for key, record in records.items():
        page.check(key, record.model_dump())


def test_a_trial_begun_before_an_outage_and_not_finished_does_not_run(store, monkeypatch):
    spec = parse(SPEC)
    one, two = trials = plan(spec)
    tracker = Tracker(spec, store, trials)
    tracker.begin()
    tracker.epoch(one, line(0))
    wait_for(lambda: "RUNNING" in statuses(spec, store))

    def away(*_, **__):
        raise ConnectionError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", away)
        tracker.epoch(one, line(1))
        wait_for(lambda: tracker._runs is None)
    finish(store, two)
    assert tracker.close() == ""
    page = Page(tracking_uri(spec, store))
    assert page.trials[one.key].info.status == "KILLED"
    assert page.trials[two.key].info.status == "FINISHED"
    assert [run.info.status for run in page.specs] == ["KILLED"]


@pytest.mark.slow
def test_after_an_outage_the_same_run_tells_what_was_missed(store, monkeypatch):
    spec = parse(SPEC)
    one, two = trials = plan(spec)
    tracker = Tracker(spec, store, trials)
    tracker.begin()
    with monkeypatch.context() as patch:
        patch.setattr(background, "MlflowRuns", lambda *_: 1 / 0)
        tracker.finished(finish(store, one))
        wait_for(lambda: tracker._away_until > 0)
    wait_for(lambda: store.tracked() == {one.key})  # by itself: nothing else happens
    tracker.epoch(two, line(0))
    assert tracker.close() == ""
    assert statuses(spec, store) == ["FINISHED", "KILLED", "KILLED"]


def test_the_run_of_the_spec_ends_though_the_server_left_before_it_was_told(store, monkeypatch):
    spec = parse(SPEC)
    trials = plan(spec)
    tracker = Tracker(spec, store, trials)
    tracker.begin()
    for trial in trials:
        tracker.finished(finish(store, trial))
    wait_for(lambda: len(store.tracked()) == 2)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowRuns, "close", lambda *_: 1 / 0)
        assert "division" in tracker.close()
    assert [run.info.status for run in Page(tracking_uri(spec, store)).specs] == ["RUNNING"]
    with only_driver(store):
        assert catch_up_all(store) == ""
    assert statuses(spec, store) == ["FINISHED", "FINISHED", "RUNNING"], "its driver lives, and does so itself"
    assert catch_up_all(store) == ""
    assert statuses(spec, store) == ["FINISHED"] * 3
    assert not store.tracking()


@pytest.mark.slow
def test_a_report_tells_no_server_that_only_the_store_names(store, tmp_path, monkeypatch):
    """It may be a stranger's, who would be shown the password that is in the environment."""
    uri = address(tmp_path / "elsewhere.db")
    spec = parse(SPEC | {"tracking": {"uri": uri}})
    store.write_plan(spec)
    finish(store, plan(spec)[0])
    assert f"only the store says that it is at {uri}" in catch_up_all(store)
    assert not (tmp_path / "elsewhere.db").exists() and not store.tracked()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert catch_up_all(store) == ""
    assert len(store.tracked()) == 1


def test_a_database_that_was_handed_on_does_not_say_where_files_are_written(store, tmp_path):
    spec = parse(SPEC)
    one, two = plan(spec)
    finish(store, one)
    assert catch_up_all(store) == ""
    assert list(store.path("mlflow-artifacts").rglob("record.json"))
    with closing(sqlite3.connect(store.path("mlflow.db"))) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", [(tmp_path / "out").as_uri()])
    finish(store, two)
    assert catch_up_all(store) == ""
    assert len(store.tracked()) == 2
    assert not (tmp_path / "out").exists()
    assert len(list(store.path("mlflow-artifacts").rglob("record.json"))) == 1


def test_a_slow_server_does_not_keep_the_driver(store, monkeypatch):
    spec = parse(SPEC)
    trials = plan(spec)
    monkeypatch.setattr(background, "CLOSE_SECONDS", -1.0)
    tracker = Tracker(spec, store, trials)
    tracker.begin()
    for trial in trials:
        tracker.finished(finish(store, trial))
    slow = "it is slow: 2 finished trials are still to be told"
    assert tracker.close() == (
        f"MLflow could not be written to ({slow}); the next run or report fills in what is missing"
    )
    assert catch_up_all(store) == ""
    assert statuses(spec, store) == ["FINISHED"] * 3


@pytest.mark.parametrize("call", ["_opened", "_finish"])
def test_a_database_that_never_answers_does_not_keep_the_driver(store, monkeypatch, call):
    spec, locked = parse(SPEC), threading.Event()
    trials = plan(spec)
    monkeypatch.setattr(background, "CLOSE_SECONDS", 0.1)
    monkeypatch.setattr(background, "LAST_CALL_SECONDS", 0.1)
    monkeypatch.setattr(background, "MlflowRuns", None)  # else it is away
    monkeypatch.setattr(Tracker, call, lambda self: locked.wait(60))
    tracker = Tracker(spec, store, trials)
    tracker.begin()
    tracker.finished(finish(store, trials[0]))
    try:
        said = tracker.close()
    finally:
        locked.set()
    assert (
        said == "MLflow could not be written to (it does not answer); the next run or report fills in what is missing"
    )


def statuses(spec, store) -> list[str]:
    page = Page(tracking_uri(spec, store))
    return sorted(run.info.status for run in [*page.trials.values(), *page.specs])


def wait_for(happens) -> None:
    end = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_damaged_record_does_not_keep_the_others_out(store):
    spec = parse(SPEC)
    one, two = plan(spec)
    record = finish(store, two)
    store.remove(f"arrays/{two.key}.npz")
    finish(store, one)
    store.write(f"records/{one.key}.json", b"{")
    assert catch_up(spec, store, [one, two]) == ""
    page = Page(tracking_uri(spec, store))
    assert set(page.trials) == {two.key}
    assert page.trials[two.key].info.status == "FINISHED"
    assert page.trials[two.key].data.metrics["test/all"] == sum(record.accuracy["last_ema"]) / 2


def test_two_specs_of_one_store_stand_apart(store):
    for name, seeds in (("t", [0]), ("u", [0, 1])):
        spec = parse(SPEC | {"name": name, "seeds": seeds})
        for trial in plan(spec):
            finish(store, trial)
        assert catch_up(spec, store, plan(spec)) == ""
    page = Page(tracking_uri(spec, store))
    assert len(page.trials) == 4
    assert len(page.specs) == 2
    assert Counter(run.data.tags["tailboard.spec"] for run in page.trials.values()) == {"t": 2, "u": 2}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host:5/x", "http://***@host:5/x"),
        ("https://token@host", "https://***@host"),
        ("API request to http://me:secret@h failed", "API request to http://***@h failed"),
        ("sqlite:////a/b@c/mlflow.db", "sqlite:////a/b@c/mlflow.db"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://me:p@ss@host/x", "http://***@host/x"),
        ("postgresql:///m?user=u&password=p&x=1", "postgresql:///m?user=u&password=***&x=1"),
        ("", ""),
    ],
)
def test_a_password_is_not_shown(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"])
def test_a_password_of_the_environment_is_not_shown(monkeypatch, name):
    monkeypatch.setenv(name, "s3/cret")
    assert masked("cannot read 's3/cret' at http://host") == "cannot read '***' at http://host"


# Real runs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_a_killed_run_leaves_each_trial_and_each_epoch_once(launcher, tmp_path, shared_ray):
    methods = ["ERM", *({"name": n, "plugin": f"{n}.py"} for n in ("Raises", "Slow"))]
    files = {"Raises.py": BROKEN, "Slow.py": SLOW.replace("FOLDER", str(tmp_path))}
    job = launcher(tmp_path, SPEC | {"methods": methods}, files, **shared_ray)
    uri = f"sqlite:///{job.store / 'mlflow.db'}"

    def half_way() -> bool:
        return any(run.data.tags["method"] == "Slow" and len(page.steps(key)) >= 2
                   for page in [Page(uri)] for key, run in page.trials.items())  # fmt: skip

    process = job.start("run", "t.yaml", "--store", "store", "--slots", 1)
    job.wait_for((job.store / "mlflow.db").exists, process)
    job.wait_for(job.saved, process)
    job.wait_for(half_way, process)
    process.kill()
    process.wait()
    (tmp_path / "killed").touch()
    assert job.gone_within(60)
    assert "RUNNING" in {run.info.status for run in Page(uri).trials.values()}
    done = job.run_one_at_a_time()
    assert done.returncode == 2, done.stderr
    records, page = job.records(), Page(uri)
    assert set(page.trials) == set(records)
    assert len(records) == 3
    assert max(record["attempts"] for record in records.values()) == 2
    for key, record in records.items():
        page.check(key, record)
    assert [run.info.status for run in page.specs] == ["FINISHED"]
    assert {run.info.run_name: run.info.status for run in page.rows} == {
        "ERM": "FINISHED", "Slow": "FINISHED", "Raises": "FAILED",
    }  # fmt: skip
    status = json.loads(job.tailboard("status", job.store, "--json").stdout)
    assert status["mlflow"] == {"uri": uri, "tracked": 3, "finished": 3}


@pytest.mark.slow
def test_a_server_that_is_away_is_told_later(launcher, tmp_path, shared_ray):
    port = free_port()
    uri = f"http://me:secret@127.0.0.1:{port}"
    job = launcher(tmp_path, SPEC, MLFLOW_TRACKING_URI=uri, **shared_ray)
    done = job.run_one_at_a_time()
    assert done.returncode == 0, done.stderr
    assert "MLflow could not be written to" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(job.records()) == 2
    folder = tmp_path / "server"
    folder.mkdir()
    server = subprocess.Popen(
        [Path(sys.executable).with_name("mlflow"), "server", "--backend-store-uri", f"sqlite:///{folder}/m.db",
         "--artifacts-destination", folder / "artifacts", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        answers(f"http://127.0.0.1:{port}/health")
        for _ in range(2):
            report = job.tailboard("report", job.store, "--format", "json")
            assert (report.returncode, report.stderr) == (0, "")
            assert len(json.loads(report.stdout)) == 8, "stdout is data only"
            page = Page(uri)
            assert set(page.trials) == set(job.records())
            for key, record in job.records().items():
                page.check(key, record)
            assert [run.info.status for run in page.specs] == ["FINISHED"]
            assert {run.info.run_name for run in page.rows} == {"ERM", "Reweighting"}
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    said = done.stdout + done.stderr + job.tailboard("status", job.store).stdout
    assert "secret" not in said
    assert not [path for path in job.store.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def answers(url: str) -> None:
    end = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310
        except OSError:
            assert time.monotonic() < end, "the server does not answer"
            time.sleep(0.3)
        else:
            return
