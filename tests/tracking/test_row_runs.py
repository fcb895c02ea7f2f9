"""The table of a report is the first thing that MLflow's page shows: each row once, with the report's numbers, over the
runs of its trials; and the report's files at the run of the spec."""

import csv
import io
import json
import math
import time
from collections import Counter
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from mlflow_page import SPEC, Page, finish
from tailboard.harness.cli.report import _contents
from tailboard.harness.errors import ReportError
from tailboard.harness.reporting.pages import html_pages
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.tracking import row_runs
from tailboard.harness.tracking.background import catch_up, catch_up_all, tell_report
from tailboard.harness.tracking.mlflow_runs import MlflowRuns
from tailboard.harness.tracking.row_runs import VIEW, RowRuns
from tailboard.harness.tracking.table_rows import table_rows
from tailboard.harness.tracking.uri import tracking_uri
from tailboard.leaderboard.metric import Metric
from tailboard.leaderboard.results import summarise

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # of mlflow's own queries

ENDS = ("", "_stderr", "_ci95_low", "_ci95_high")
WRITES = ("create_run", "log_batch", "log_inputs", "set_terminated", "set_tag")
REQUESTS = (*WRITES, "search_runs", "update_run", "delete_run", "get_run", "set_experiment_tag", "log_artifact")
SEEDED = SPEC | {"seeds": 2}
FILES = ["leaderboard.csv", "leaderboard.html", "leaderboard.json", "leaderboard.md", "leaderboard.tex"]


@pytest.fixture(autouse=True)
def light_page(monkeypatch):
    """The charting library is megabytes, and nothing here looks at the page."""
    monkeypatch.setattr(html_pages, "_library", lambda: "")


def contents(store: Store, **more):
    return partial(_contents, store, more.get("defaults", False))


def prepared(store: Store, spec=SEEDED, seeds=(0, 1)):
    """The spec, and the records of its trials of these seeds: the second seed is better by ten points."""
    spec = parse(spec)
    store.write_plan(spec)
    for trial in plan(spec):
        if trial.seed in seeds:
            finish(store, trial, accuracy=(80.0 + 10 * trial.seed, 20.0))
    return spec


@pytest.mark.slow
def test_a_row_has_the_numbers_of_the_report_over_its_trials(store):
    spec = prepared(store)
    beside = plan(parse(SEEDED | {"seeds": 3}))  # trials that the report does not ask for
    assert catch_up(spec, store, beside, contents(store)) == ""
    page = Page(tracking_uri(spec, store))
    assert [run.info.status for run in page.specs] == ["FINISHED"]
    assert sorted(run.info.run_name for run in page.rows) == ["ERM", "Reweighting"]
    path = page.client.download_artifacts(page.specs[0].info.run_id, "leaderboard.csv")
    told = {(row["method"], row["group"]): row for row in csv.DictReader(io.StringIO(Path(path).read_text()))}
    for run in page.rows:
        for group in ("few", "med", "many", "all"):
            row = told[run.info.run_name, group]
            mean, stderr, half = (float(row[name] or "nan") for name in ("mean", "stderr", "ci95"))
            metrics = [run.data.metrics.get(f"test/{group}{end}", np.nan) for end in ENDS]
            assert metrics == pytest.approx([mean, stderr, mean - half, mean + half], nan_ok=True)
        assert run.data.metrics["test/all"] == pytest.approx(52.5)
        assert run.data.metrics["seeds"] == 2
        assert run.info.status == "FINISHED" and "mlflow.parentRunId" not in run.data.tags
        assert run.data.params["network"] == "small" and "seed" not in run.data.params
        assert run.data.tags["mlflow.source.name"] == "tailboard run t"
        assert run.data.tags["mlflow.source.git.commit"] == "c0ffee"
        (data,) = run.inputs.dataset_inputs
        assert (data.dataset.name, data.dataset.digest) == ("fashion-mnist-mini, IF 10, head 60", "f" * 36)
        under = [t for t in page.trials.values() if t.data.tags["mlflow.parentRunId"] == run.info.run_id]
        assert {trial.data.params["seed"] for trial in under} == {"0", "1"}
        assert {trial.data.params["method"] for trial in under} == {run.info.run_name}
    experiment = page.client.get_experiment(page.specs[0].info.experiment_id)
    view = json.loads(json.loads(experiment.tags[VIEW])["state"])
    groups = [f"metrics.`{name}`" for name in ("test/few", "test/med")]
    assert view["selectedColumns"][4:] == [*groups, "metrics.`train_seconds`"], "no class has more than 100 images"
    assert [file.path for file in page.client.list_artifacts(page.specs[0].info.run_id)] == FILES
    assert page.specs[0].data.tags["mlflow.source.git.commit"] == "c0ffee"
    assert not store.tracking()


@pytest.mark.slow
def test_what_is_told_twice_is_there_once(store):
    spec = prepared(store)
    for _ in range(2):
        assert catch_up(spec, store, plan(spec), contents(store)) == ""
        store.begin_tracking(spec.name)  # the process died before the store knew
    page = Page(tracking_uri(spec, store))
    assert len(page.rows) == 2
    for run in page.rows:
        assert len(page.client.get_metric_history(run.info.run_id, "test/all")) == 1
        assert len(run.inputs.dataset_inputs) == 1


def test_a_report_whose_files_were_cut_off_is_told_by_the_next(store, monkeypatch):
    """The request is done, and its answer is lost; and the same once more."""
    spec = prepared(store)
    assert catch_up(spec, store, plan(spec)) == ""
    made = contents(store)(spec)
    store.begin_tracking(spec.name)
    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", cut_off(MlflowClient.log_artifact))
        for _ in range(2):
            assert "no answer" in tell_report(spec, store, lambda _: made)
    assert store.tracking() == {"t"}
    assert catch_up_all(store, lambda _: made) == ""
    page = Page(tracking_uri(spec, store))
    assert [run.info.status for run in page.rows] == ["FINISHED"] * 2
    assert [file.path for file in page.client.list_artifacts(page.specs[0].info.run_id)] == FILES
    assert not store.tracking()


def cut_off(request):
    def call(client, *words, **more):
        request(client, *words, **more)
        raise ConnectionError("no answer")

    return call


@pytest.mark.slow
def test_a_row_grows_with_its_seeds_and_goes_with_its_plan(store):
    spec = prepared(store, seeds=[0])
    trials = plan(spec)
    assert catch_up(spec, store, trials, contents(store)) == ""
    page = Page(tracking_uri(spec, store))
    first = {run.info.run_name: run for run in page.rows}
    assert {run.info.status for run in page.rows} == {"KILLED"}, "a seed is missing"
    assert {run.data.tags["status"] for run in page.rows} == {"incomplete"}
    assert "test/all_stderr" not in first["ERM"].data.metrics

    prepared(store, seeds=[1])
    assert catch_up(spec, store, trials, contents(store)) == ""
    page = Page(tracking_uri(spec, store))
    assert {run.info.run_id for run in page.rows} == {run.info.run_id for run in first.values()}
    assert {run.info.status for run in page.rows} == {"FINISHED"}
    assert [run.data.metrics["test/all_stderr"] for run in page.rows] == pytest.approx([2.5, 2.5])

    spec = prepared(store, SEEDED | {"methods": ["ERM"]})
    store.begin_tracking(spec.name)
    assert catch_up_all(store, contents(store)) == ""
    page = Page(tracking_uri(spec, store))
    assert [run.info.run_name for run in page.rows] == ["ERM"]
    parents = {(t.data.tags["method"], t.data.tags["mlflow.parentRunId"]) for t in page.trials.values()}
    assert parents == {("ERM", page.rows[0].info.run_id), ("Reweighting", page.specs[0].info.run_id)}


def test_a_value_that_is_no_more_is_shown_no_more(store):
    """A trial that was told as complete is trained again, and diverges."""
    spec = prepared(store)
    assert catch_up(spec, store, plan(spec), contents(store)) == ""
    for trial in plan(spec):
        if trial.method.name == "ERM":
            store.remove(f"tracked/{trial.key}")
            store.remove(f"records/{trial.key}.json")
            finish(store, trial, "diverged", reason="loss not finite")
    assert catch_up_all(store, contents(store)) == ""
    (erm,) = [run for run in Page(tracking_uri(spec, store)).rows if run.info.run_name == "ERM"]
    assert erm.info.status == "FAILED"
    assert np.isnan(erm.data.metrics["test/all"])
    assert erm.data.tags["reason"] == "2 of 2 diverged: loss not finite"


def test_other_values_make_another_run(store):
    """What a search found stands among the parameters, which MLflow does not let be changed."""
    spec = prepared(store)
    assert catch_up(spec, store, plan(spec), contents(store)) == ""
    runs, page = MlflowRuns(spec, store), Page(tracking_uri(spec, store))  # which notes that it writes
    old = {run.info.run_name: run.info.run_id for run in page.rows}
    (erm,) = [run for run in page.rows if run.info.run_name == "ERM"]
    page.client.delete_run(erm.info.run_id)
    stale = runs.new({"tailboard.role": "row", "tailboard.row": erm.data.tags["tailboard.row"]}, "ERM")
    page.client.log_param(stale.info.run_id, "network", "another")
    assert tell_report(spec, store, contents(store)) == ""
    page = Page(tracking_uri(spec, store))
    now = {run.info.run_name: run.info.run_id for run in page.rows}
    assert now["Reweighting"] == old["Reweighting"]
    assert now["ERM"] not in (old["ERM"], stale.info.run_id)


def test_after_a_run_only_what_is_new_is_told(store):
    spec = prepared(store)
    assert catch_up(spec, store, plan(spec), contents(store)) == ""
    assert tell_report(spec, store, lambda _: pytest.fail("MLflow has it all")) == ""
    assert catch_up_all(store, lambda _: pytest.fail("MLflow has it all")) == ""


@pytest.mark.parametrize(
    ("fault", "words"),
    [(ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"), (ReportError("no row"), "no row")],
)
def test_a_report_that_cannot_be_made_is_not_told_as_a_fault_of_mlflow(store, fault, words):
    spec = prepared(store)

    def failing(_):
        raise fault

    said = catch_up(spec, store, plan(spec), failing)
    assert (
        said == f"MLflow was not told of the report, since it could not be made ({words}); the next report tries again"
    )
    assert catch_up_all(store, contents(store)) == ""
    assert len(Page(tracking_uri(spec, store)).rows) == 2


FORTY = [f"Focal Loss, loss.gamma={i / 10}" for i in range(1, 41)]
ONCE_EACH = dict.fromkeys(WRITES, 40)


@pytest.fixture
def forty(store):
    """A plan of forty rows of one seed, each trial with a run, and the tidy rows of its report."""
    spec = parse(SPEC | {"methods": FORTY})
    runs, trials = MlflowRuns(spec, store), plan(spec)
    data = runs.entities.DatasetInput(runs.entities.Dataset("A", "f" * 36, "tailboard", "{}"))
    for trial in trials:
        run = runs.start(trial, at=1e9)
        runs.client.log_inputs(run, [data])
        runs.client.set_terminated(run, "FINISHED", end_time=int(1e12))
    found = pd.concat([cells("A", t.key, "p", "all", [50.0]).assign(key=t.key) for t in trials])
    return runs, found


def measured(found: pd.DataFrame):
    return [(found, Metric("balanced_accuracy", ""))]


@pytest.fixture
def requests(monkeypatch) -> Counter:
    """How often each request was made."""
    counted = Counter()
    for name in REQUESTS:
        real = getattr(MlflowClient, name)

        def call(*words, real=real, name=name, **more):
            counted[name] += 1
            return real(*words, **more)

        monkeypatch.setattr(MlflowClient, name, call)
    return counted


@pytest.mark.slow
def test_a_new_row_is_a_few_requests_and_one_that_is_there_none(forty, requests):
    runs, rows = forty[0], table_rows(measured(forty[1]))
    requests.clear()
    RowRuns(runs, math.inf).tell(rows)
    assert requests == {"search_runs": 1} | ONCE_EACH
    requests.clear()
    RowRuns(runs, math.inf).tell(rows)
    assert requests == {"search_runs": 1}, "nothing is new"


@pytest.mark.slow
def test_a_slow_server_is_told_as_much_as_there_is_time_for_and_later_the_rest(forty, requests, monkeypatch):
    runs, rows = forty[0], table_rows(measured(forty[1]))
    clock = SimpleNamespace(monotonic=requests.total, time=time.time)
    monkeypatch.setattr(row_runs, "time", clock)  # each request takes a second
    requests.clear()
    with pytest.raises(TimeoutError, match="it is slow: 30 rows of the table are still to be told"):
        RowRuns(runs, 51).tell(rows)
    assert requests.total() == 52
    RowRuns(runs, math.inf).tell(rows)
    assert requests == {"search_runs": 2} | ONCE_EACH
    with pytest.raises(TimeoutError, match="it is slow: 2 files of the report are still to be told"):
        runs.write_files({"a": b"", "b": b""}, until=-1)
    assert not requests["log_artifact"]


@pytest.mark.slow
def test_a_report_that_was_cut_off_anywhere_is_whole_the_next_time(forty, monkeypatch):
    """Each kind of request in turn is done, and its answer is lost; and once more. The last rename rows, and take some
    away."""
    runs, found = forty
    renamed = pd.concat([found, cells("B", "not here", "p", "all", [1.0])])  # so that names tell the data set
    fewer = renamed[~renamed["method"].isin(found["method"][-3:])]
    once = [("set_experiment_tag", 1, found)]  # which is done then
    twice = [("log_artifact", 2, found), ("update_run", 2, renamed), ("delete_run", 2, fewer)]
    for failing, times, rows in [*((name, 2, found) for name in WRITES), *once, *twice]:
        told = partial(tell_report, runs.spec, runs.store, lambda _, rows=rows: (measured(rows), {"a.md": b"#"}))
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, failing, cut_off(getattr(MlflowClient, failing)))
            assert ["no answer" in told() for _ in range(times)] == [True] * times, failing
        assert runs.store.tracking() == {"t"}, "it is still to be told"
    assert told() == ""
    page = Page(tracking_uri(runs.spec, runs.store))
    names = {f"{key}, A, IF 10" for key in fewer["method"]} - {"not here, A, IF 10"}
    assert {run.info.run_name for run in page.rows} == names and len(names) == 37
    assert [run.info.status for run in page.rows] == ["FINISHED"] * 37
    parents = {run.data.tags["mlflow.parentRunId"] for run in page.trials.values()}
    assert parents == {run.info.run_id for run in [*page.rows, *page.specs]}
    assert all(run.inputs.dataset_inputs and run.data.metrics["test/all"] == 50 for run in page.rows)
    assert [run.info.status for run in page.specs] == ["FINISHED"]
    assert [file.path for file in page.client.list_artifacts(runs.parent)] == ["a.md"]
    assert not runs.store.tracking()


def cells(dataset: str, method: str, protocol: str, group: str, values) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "key": [f"{dataset}{method}{seed}" for seed in range(len(values))], "dataset": dataset, "setting": "IF 10",
            "protocol": protocol, "method": method, "seed": range(len(values)), "group": group, "classes": 2,
            "value": values, "status": "complete", "reason": "", "verified": True, "device_seconds": 3.0,
            "row_key": f"{dataset}/{method}", "variant": "",
        }
    )  # fmt: skip


def test_names_tell_what_differs_and_further_metrics_have_their_own():
    rows = pd.concat([cells("A", "ERM", "p", "all", [50.0, 60.0]), cells("B", "ERM", "p", "all", [70.0, 80.0])])
    metric = Metric("f1:a/b", "F1", of_hits=False)
    found = table_rows([(rows, Metric("balanced_accuracy", "")), (rows.assign(value=rows["value"] / 2), metric)])
    assert [row.name for row in found] == ["ERM, A, IF 10", "ERM, B, IF 10"]
    summary = summarise(rows).iloc[0]
    first = found[0].metrics
    assert first["test/all"] == summary["mean"] == 55
    assert first["test/all_ci95_high"] == summary["mean"] + summary["ci95"]
    assert first["test/f1_a_b/all"] == 27.5
    assert (first["seeds"], first["train_seconds"]) == (2, 3)
    other = pd.concat([rows, cells("A", "ERM", "q", "all", [1.0])])
    assert [row.name for row in table_rows([(other, Metric("balanced_accuracy", ""))])][-1] == "ERM, A, IF 10, q"
