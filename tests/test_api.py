"""The front door from Python: as a script, in a notebook, and what importing it costs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import tailboard as tb
from small_spec import SMALL
from warm_process import WarmProcess

SPEC = SMALL | {"methods": ["ERM", "Focal Loss"], "training": {"epochs": 1, "batch_size": 32}, "seeds": 2}
SCRIPT = """
import json, sys
import tailboard as tb

if __name__ == "__main__":
    board = tb.run(json.loads(sys.argv[1]), sys.argv[2], slots=1)
    assert board.complete and len(board.rows) == 16
    print(board.save(sys.argv[3], versus="ERM"))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory, shared_ray) -> Path:
    """A store that a script filled through ``tailboard.run``."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "script.py").write_text(SCRIPT)
    process = WarmProcess(["script.py", json.dumps(SPEC), "store", "table.tex"], folder, os.environ | shared_ray)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    assert out == "table.tex\n" and "Focal Loss" in (folder / "table.tex").read_text()
    assert "ERM" in err, "progress goes to stderr"
    return folder / "store"


def test_importing_it_imports_nothing_heavy():
    code = "import tailboard, sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "ray", "mlflow", "pandas", "numpy", "pydantic", "typer"} & set(done.stdout.split())


def test_every_name_is_there():
    for name in tb.__all__:
        assert getattr(tb, name) is not None and name in dir(tb)
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        tb.rum  # noqa: B018


@pytest.mark.parametrize("form", [lambda raw, _: raw, lambda raw, _: tb.harness.spec.parser.parse(raw), "file"])
def test_a_spec_is_a_mapping_a_spec_or_a_file(form, tmp_path):
    (tmp_path / "t.yaml").write_text(json.dumps(SPEC))
    spec = tmp_path / "t.yaml" if form == "file" else form(SPEC, tmp_path)
    trials = tb.plan(spec)
    assert [(trial.method.name, trial.seed) for trial in trials] == [
        ("ERM", 0), ("ERM", 1), ("Focal Loss", 0), ("Focal Loss", 1)
    ]  # fmt: skip
    assert len({trial.key for trial in trials}) == 4


def test_the_users_errors_are_user_errors(tmp_path):
    for mistake in (
        lambda: tb.plan("quickstrat"),
        lambda: tb.plan(SPEC | {"methods": "ERMM"}),
        lambda: tb.plan(SPEC | {"network": "smal"}),
        lambda: tb.plan(SPEC | {"data": {"name": "cifar11"}}),
        lambda: tb.report(tmp_path / "none"),
        tb.report,
        lambda: tb.run(SPEC, "s3://user:password@bucket"),
        lambda: tb.tune(SPEC, tmp_path / "store"),
        lambda: tb.plan(3),
        lambda: tb.run(SPEC, tmp_path / "store", slots=0),
        lambda: tb.run("quickstart", tmp_path / "store", plugins="missing.py"),
    ):
        with pytest.raises(tb.UserError):
            mistake()


@pytest.mark.slow
def test_a_script_trains_and_the_same_call_trains_nothing_twice(store):
    before = {path: path.stat().st_mtime_ns for path in store.glob("records/*.json")}
    board = tb.run(SPEC, store)  # nothing is left to train: Ray is not started
    assert len(before) == 4 and {path: path.stat().st_mtime_ns for path in store.glob("records/*.json")} == before
    assert isinstance(board.rows, pd.DataFrame) and set(board.rows["status"]) == {"complete"}


@pytest.mark.slow
def test_the_table_is_wide_and_of_the_rows(store):
    board = tb.report(store)
    assert list(board.table.columns) == [(g, w) for g in ("few", "med", "many", "all") for w in ("mean", "stderr")]
    assert list(board.table.index.get_level_values("method")) == ["ERM", "Focal Loss"]
    values = board.rows.query("method == 'ERM' and group == 'all'")["value"].astype(float)
    row = board.table.xs("ERM", level="method").iloc[0]
    assert row["all", "mean"] == pytest.approx(values.mean())
    assert row["all", "stderr"] == pytest.approx(values.std(ddof=1) / np.sqrt(2))


@pytest.mark.slow
def test_it_is_saved_in_every_form(store, tmp_path):
    board = tb.report(store)
    for name in ("t.md", "t.tex", "t.csv", "t.json", "t.parquet", "t.html"):
        assert board.save(tmp_path / name).stat().st_size > 100
    assert (tmp_path / "t.md").read_text() == str(board)
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == len(board.rows)
    with pytest.raises(tb.UserError, match="must end in"):
        board.save(tmp_path / "t.docx")
    with pytest.raises(tb.UserError, match="no method 'ERN'"):
        board.save(tmp_path / "t.md", versus="ERN")


@pytest.mark.slow
def test_a_notebook_shows_the_table(store, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [nbformat.v4.new_code_cell(f"import tailboard as tb\ntb.report({str(store)!r})")]
    book = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    (output,) = [out for out in book.cells[0].outputs if out.output_type == "execute_result"]
    shown = output.data["text/html"]
    assert "<td>Focal Loss</td>" in shown and "±" in shown
    assert "nothing is selected on it" in shown and "4 of 4 trials are complete" in shown, "the caption too"


@pytest.mark.slow
def test_a_run_opens_the_storage_of_its_searches_once(tmp_path, monkeypatch):
    """Its checks, its searches and its report share it; Ray, which would train, is left out."""
    from tailboard.harness.scheduling import ray_tune
    from tailboard.harness.tuning import optuna_study

    openings, open_storage = [], optuna_study.open_storage
    monkeypatch.setattr(
        optuna_study,
        "open_storage",
        lambda *words, **options: openings.append(words) or open_storage(*words, **options),
    )
    monkeypatch.setattr(ray_tune, "run_jobs", lambda *words, **options: SimpleNamespace(interrupted=False))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for number in (1, 2):  # the second time there is one
        board = tb.run(SPEC | {"tune": {"trials": 4, "parameters": "gamma"}}, tmp_path / "store")
        assert len(openings) == number
        assert board.rows.loc[board.rows["method"] == "Focal Loss", "pending"].all()
        assert "tuning is not finished: 0 of 4 trials" in str(board)
