"""What is printed and written whatever a method is called, whatever the terminal can show, and whoever reads it."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tailboard.harness.cli import app
from tailboard.harness.reporting.figure_files import csv_text
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Spec, plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.repair import set_aside
from tailboard.harness.storage.store import Store
from tailboard.harness.text import listed, table

RAW = {"name": "t", "data": "fashion-mnist-mini", "methods": ["ERM", "SAM"], "network": "small", "seeds": 2}
HOSTILE = '=HYPERLINK("http://x","y") \x1b[2J\x1b]0;owned\x07 \u202eabc\x9b31m'
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nothing listens: no report waits for MLflow


def filled(folder: Path | str, name: str = "SAM") -> Store:
    """A store with one complete trial, a failed one and two that are missing; the method ``name`` failed."""
    raw = parse(RAW).model_dump(mode="json")
    raw["methods"][1]["name"] = name
    store, spec = Store(folder), Spec.model_validate(raw)
    store.write_plan(spec)
    complete, _, failed, _ = plan(spec)
    about = {"counts": [30] * 10, "accuracy": {"last_ema": [50.0] * 10}}
    store.write_record(Record.model_validate({"key": complete.key, "trial": complete, "status": "complete"} | about))
    store.write_record(Record(key=failed.key, trial=failed, status="failed", reason=HOSTILE, log=HOSTILE))
    for trial in (complete, failed):
        store.mark_tracked(trial.key, {})
    return store


def test_a_comma_between_the_values_of_a_row_separates_no_names():
    names = "ERM,, Reweighting (weights.beta=0.9, weights.start=0.5) , M2m"
    assert listed("A (x=1, y=(2), z=3), B") == ["A (x=1, y=(2), z=3)", "B"]
    assert listed(names) == ["ERM", "Reweighting (weights.beta=0.9, weights.start=0.5)", "M2m"]


def command(monkeypatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["tailboard", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0)


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which ``tailboard`` is ours; its code is that of the first command of a pipe."""
    ours = f'tailboard() {{ "{sys.executable}" -m tailboard "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'
    env = os.environ | environment
    return subprocess.run(["bash", "-c", ours], check=False, capture_output=True, text=True, errors="replace", env=env)


@pytest.mark.parametrize("form", ["md", "latex", "csv", "json", "parquet", "html", "site"])
def test_no_form_holds_a_formula_or_moves_a_cursor(tmp_path, monkeypatch, form):
    store, goal = filled("store", HOSTILE), tmp_path / f"out.{form}"
    words = ["--" + form, goal] if form in ("html", "site") else ["--format", form, "-o", goal]
    assert command(monkeypatch, "report", store, *words) == 2
    if form == "parquet":
        assert not CONTROL.search(pd.read_parquet(goal).to_csv(index=False))
        return
    files = [path for path in (goal.rglob("*") if goal.is_dir() else [goal]) if path.is_file()]
    pages = [path for path in files if path.suffix in (".html", ".md", ".csv", ".json", f".{form}")]
    for path in pages:
        text = path.read_text(encoding="utf-8")
        # A page's own script and style have tabs; plotly's source names the characters that it strips.
        assert not re.search(r"\x1b|\x07|\x9b31m|\u202eabc", text), path
        assert "HYPERLINK" in text or path.name in ("index.html", "data.html") or path.parent.name == "croissant"
    if form == "csv":
        cells = [cell for line in csv.reader(io.StringIO(goal.read_text(encoding="utf-8"))) for cell in line]
        assert any(cell.startswith("'=HYPERLINK") for cell in cells)
        assert not any(cell.startswith(("=", "+", "@")) for cell in cells)
    if form == "json":
        assert not CONTROL.search(
            "".join(str(value) for cell in json.loads(goal.read_text()) for value in cell.values())
        )


def test_the_tables_of_a_search_hold_no_formula():
    table = pd.DataFrame({"method": [HOSTILE, "+1", "ERM"], "value": [-1.5, 2.0, 3.0]})
    cells = [line[0] for line in csv.reader(io.StringIO(csv_text(table)))]
    assert [cell[:2] for cell in cells[1:]] == ["'=", "'+", "ER"] and "-1.5" in csv_text(table)


@pytest.mark.slow
@pytest.mark.parametrize(
    "environment",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["ascii", "C"],
)
def test_a_terminal_without_the_character_gets_another(tmp_path, environment):
    filled("store")
    done = shell("tailboard report store", **environment)
    assert (done.returncode, done.stderr) == (2, "") and "50.0" in done.stdout and "?" in done.stdout


@pytest.mark.parametrize("line", ["tailboard report store | head -c 1", "tailboard list methods --json | true"])
def test_a_reader_who_leaves_is_no_error(tmp_path, line):
    filled("store")
    done = shell(line)
    assert (done.returncode, done.stderr) in [(141, ""), (2, ""), (0, "")]


def test_a_copy_in_a_store_is_no_trial_and_no_plan(tmp_path, monkeypatch, capsys):
    store = filled("store")
    command(monkeypatch, "status", store, "--json")
    before = json.loads(capsys.readouterr().out)
    for path in [path for path in Path("store").rglob("*") if path.is_file()]:
        for copy in (f"{path.stem} (copy)", f"{path.stem}.sync-conflict-1", f"{path.stem}-0001 (1)", "Thumbs"):
            path.with_name(f"{copy}{path.suffix}").write_bytes(path.read_bytes())
    assert len(store.finished()) == 2 == len(store.stamps().keys) and len(store.plans()) == 1
    assert set_aside(store, [*store.finished(), "Thumbs"]) == []
    command(monkeypatch, "status", store, "--json")
    assert json.loads(capsys.readouterr().out) == before


def test_a_plan_that_was_renamed_is_one(tmp_path):
    store = filled("store")
    Path("store/plans/t.json").rename("store/plans/renamed.json")
    assert [spec.name for spec in store.plans()] == ["t"]


@pytest.mark.parametrize(("width", "heads"), [(44, ["method", "ERM"]), (24, ["ERM", "a-name-that-is-long"])])
def test_a_table_is_folded_to_the_terminal(monkeypatch, width, heads):
    """Between words: what is copied from it is whole. Where that does not fit, a row is a paragraph."""
    rows = [
        {"method": "ERM", "what": "the mean of the losses of a batch", "trials": 5},
        {"method": "a-name-that-is-long", "what": "short", "trials": 10},
    ]
    whole = table(rows).splitlines()
    assert max(map(len, whole)) > width  # where no terminal is written to, each row is a line
    assert len(whole) == 4
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    folded = table(rows).splitlines()
    assert max(map(len, folded)) <= width
    assert [line.split()[0] for line in folded if not line.startswith((" ", "-"))][:2] == heads
    assert " ".join(" ".join(folded).split()).count("a-name-that-is-long") == 1
    assert {"mean", "losses", "batch"} <= set(" ".join(folded).split())
    unnamed = table([row | {"method": ""} for row in rows])
    assert "the mean" in " ".join(unnamed.split()) and "short" in unnamed
