"""What the report says of the tuning: nothing hidden, nothing counted twice, and what less would have found.

Searches are synthetic: their spaces come from specs, their outcomes are written here, and nothing is trained.
"""

import io
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from synthetic_searches import NASTY, SPEC, board_of, line_of, records, search_of, searched, spec_of, trained
from tailboard.harness.errors import ReportError, StoreError
from tailboard.harness.reporting import gather as publish
from tailboard.harness.reporting import tuning_tables
from tailboard.harness.reporting.figure_files import CURVES, write_curves
from tailboard.harness.reporting.gather import gather
from tailboard.harness.reporting.report import Report
from tailboard.harness.reporting.reported_store import within
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.storage.store import Store
from tailboard.harness.tuning.archive import load_searches, save_searches
from tailboard.harness.tuning.search import searches
from tailboard.methods.range import Range
from tailboard.methods.recipe import Recipe

pytestmark = pytest.mark.usefixtures("own_folder")


def section(text: str, title: str) -> dict[str, list[str]]:
    """The rows of a Markdown table by their first cell."""
    body = text.split(f"### {title}\n")[1].strip().split("\n\n")[0].splitlines()[2:]
    rows = [[part.strip() for part in re.split(r"(?<!\\)\|", row)[1:-1]] for row in body]
    return {row[0]: row[1:] for row in rows}


# The tables


def test_the_table_says_what_was_found_and_what_it_cost():
    text = board_of(line_of(["pruned", 40.0, 45.678, "failed: x"])).rendered("md")
    assert section(text, "Tuning") == {
        "Focal Loss": ["loss.gamma=1.2 (default 1)", "4", "16", "0.01", "pruned", "45.68"]
    }
    assert "val/balanced\\_accuracy in percent" in text


def test_a_winner_at_the_defaults_says_them_once():
    text = board_of(line_of([50.0, 40.0, 45.0, "pruned"])).rendered("md")
    assert section(text, "Tuning")["Focal Loss"] == ["loss.gamma=1", "4", "16", "0.01", "50.00", "50.00"]


@pytest.mark.parametrize(
    ("outcomes", "row"),
    [
        (
            ["failed: diverged: loss", *["pruned"] * 3],
            ["tuning: none of 4 trials finished; diverged: loss", "4", "16", "0.01", "failed", "–"],
        ),
        (
            [40.0, 41.0, "running", "running"],
            ["tuning is not finished: 2 of 4 trials", "2", "16", "0.01", "40.00", "–"],
        ),
        ([], ["tuning is not finished: 0 of 4 trials", "0", "0", "0", "–", "–"]),
    ],
)  # fmt: skip
def test_what_did_not_finish_shows_with_its_reason(outcomes, row):
    line = line_of(outcomes, search=search_of())
    text = board_of(line).rendered("md")
    assert section(text, "Tuning")["Focal Loss"] == row
    assert section(text, "Importance of each hyperparameter")["Focal Loss"][2] == "–"
    assert tuning_tables.values([line])["value"].tolist() == [None]


def test_a_space_that_is_used_up_is_finished():
    line = line_of([40.0, 41.0], search=search_of(), exhausted=True)
    assert section(board_of(line).rendered("md"), "Tuning")["Focal Loss"][-1] == "41.00"


def test_importance_or_why_there_is_none():
    some = line_of([40.0, 41.0, 42.0, 43.0], importance={"loss.gamma": 0.123456})
    few = line_of([40.0, "pruned", "failed: x", 43.0], method="other")
    text = board_of(some, few).rendered("md")
    found = section(text, "Importance of each hyperparameter")
    assert found["Focal Loss"] == ["loss.gamma", "\\[0, 3\\]", "1.3", "0.1235"]
    assert found["other"] == ["loss.gamma", "\\[0, 3\\]", "1.3", "n/a (3 judged trials)"]
    assert "PED-ANOVA" in text
    assert "rough" in text


def test_several_settings_get_a_column_and_one_does_not():
    one, two = line_of([40.0, 41.0, 42.0, 43.0]), line_of([10.0, 11.0, 12.0, 13.0], setting="IF 100")
    text = board_of(one, two).rendered("md")
    assert "| Setting   | Method " in text
    assert section(text, "Tuning")["IF 100"][0] == "Focal Loss"
    alone = board_of(one).rendered("md")
    assert not re.search(r"\| (Setting|Data set|Protocol) ", alone)


def test_names_are_inert_text_in_every_form(tmp_path):
    board = board_of(line_of([40.0, 41.0, "pruned", "pruned"], method=NASTY))
    text = board.rendered("md")
    assert not re.search(r"(?<!\\)<|(?<!\\)\[", text)
    for table in text.split("### ")[1:]:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines() if row[:1] == "|"}) == 1
    tex = board.rendered("latex")
    assert r"\textless{}img src=x\textgreater{}\textbar{}\_\$ & loss.gamma=1.1 (default 1)" in tex
    for form in CURVES:
        write_curves(board, tmp_path / f"c{form}")
    back = pd.read_csv(tmp_path / "c.csv")
    assert set(back["method"]) == {NASTY}
    assert "<img" not in re.sub("<!--.*?-->", "", (tmp_path / "c.svg").read_text())


def test_latex_compiles(tmp_path):
    engine = shutil.which("pdflatex")
    if engine is None:
        pytest.skip("pdflatex is not installed")
    several = line_of([1.0, 2.0], method=NASTY), line_of(["failed: a_b & {c}"] * 2, method="b", setting="IF 100")
    tex = board_of(*several).rendered("latex")
    whole = rf"\documentclass{{article}}\usepackage{{booktabs,graphicx}}\begin{{document}}{tex}\end{{document}}"
    (tmp_path / "t.tex").write_text(whole)
    flags = ["-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run([engine, *flags], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_without_searches_a_report_is_as_before():
    board = replace(board_of(line_of([1.0, 2.0, 3.0, 4.0])), searches=())
    for form in ("md", "latex"):
        assert "Importance" not in board.rendered(form)
        assert "uning" not in board.rendered(form)


def means(board: Report) -> dict[str, str]:
    every = board.rows[board.rows["group"] == "all"]
    return {f"{p}: {m}": "/".join(s) for (p, m), s in every.groupby(["protocol", "method"], sort=False)["status"]}


TUNED = "small, 4 epochs, tuned by 4 trials"
WHOLE_NUMBERS = """
from dataclasses import dataclass
from tailboard.methods.recipe import Part, Range, Recipe, hyper, register

@dataclass(frozen=True)
class Scaled(Part):
    scale: float = hyper(1.0, "none", Range(1, 3))
    power: int = hyper(1, "none", Range(1, 4))
    kind: str = hyper("plain", "none", Range(choices=("plain", "odd")))

    def build(self, scene):
        return lambda logits, y, epsilon: self.scale * logits.logsumexp(1)

register("Scaled", Recipe(loss=Scaled()))
"""


def test_what_is_remembered_of_a_search_is_that_search(tmp_path):
    spec = with_plugin(spec_of({"parameters": ["all", "lr"]}, methods=["ERM", "M2m"]), WHOLE_NUMBERS, ["Scaled"])
    store, found = Store(tmp_path / "s"), searches(spec)
    save_searches(spec, found, store)
    again = load_searches(spec, store)
    assert again.keys() == found.keys() and len(found) == 3
    for row, search in found.items():
        assert again[row].space == search.space
        assert again[row].name == search.name
        assert again[row].prerequisites() == search.prerequisites()
    assert sum(len(search.prerequisites()) for search in found.values()) == 1, "M2m's"


def test_a_report_runs_no_code_of_the_store(tmp_path, tailboard):
    """The plugin that a store holds may be a stranger's: status and report read what it declared, and never run it."""
    spec = with_plugin(spec_of({"parameters": "scale"}, methods=["ERM"]), WHOLE_NUMBERS, ["Scaled"])
    store = Store(tmp_path / "s")
    trained(spec, store, [40.0, "pruned", 45.0, "failed: x"])
    before = tailboard("report", store), tailboard("status", store)
    proof = tmp_path / "executed"
    hostile = f"open({str(proof)!r}, 'w')\n{WHOLE_NUMBERS}"
    plan_file = tmp_path / "s" / "plans" / "t.json"
    plan_file.write_text(plan_file.read_text().replace(json.dumps(WHOLE_NUMBERS)[1:-1], json.dumps(hostile)[1:-1]))
    assert "executed" in plan_file.read_text()
    assert (tailboard("report", store), tailboard("status", store)) == before
    assert before[0][0] == 0 and "loss.scale" in before[0][1]
    assert not proof.exists()


def test_a_range_that_is_declared_otherwise_later_leaves_a_finished_search_finished(tmp_path, monkeypatch):
    store = Store(tmp_path / "s")
    trained(spec_of(), store, [40.0, "pruned", 45.0, "failed: x"])
    before = gather([store]).rendered("md")
    monkeypatch.setattr(Recipe, "search", lambda self: {"loss.gamma": Range(0.0, 9.0)})
    assert search_of().space["loss.gamma"].range.high == 9
    assert gather([store]).rendered("md") == before


@pytest.mark.parametrize("left", [None, b"{", b'{"row": {"space": 3, "starts_from": []}}'])
def test_searches_that_cannot_be_read_are_one_message(tmp_path, left):
    store, spec = Store(tmp_path / "s"), spec_of()
    trained(spec, store, [40.0, "pruned", 45.0, "failed: x"])
    store.remove("searches/t.json") if left is None else store.write("searches/t.json", left)
    with pytest.raises(StoreError, match=r"searches/t\.json is (missing|damaged)"):
        gather([store])
    save_searches(spec, searches(spec), store)
    assert gather([store]).complete


def test_the_files_are_the_same_bytes_twice(tmp_path):
    store = Store(tmp_path / "s")
    trained(spec_of(), store, [40.0, "pruned", 45.0, "failed: x"])
    board = gather([store])
    assert board.complete
    written = publish.publish(board, store)
    assert list(written) == ["md", "latex", "csv", "json", "tuning", "budget"]
    first = [Path(path).read_bytes() for path in written.values()]
    publish.publish(gather([store]), store)
    assert [Path(path).read_bytes() for path in written.values()] == first
    values = pd.read_csv(io.BytesIO(first[-2]))
    assert list(values.columns) == tuning_tables.FIELDS
    assert values.loc[0, ["protocol", "method", "hyperparameter", "default", "trials", "epochs", "device_seconds"]
                      ].tolist() == [TUNED, "Focal Loss", "loss.gamma", 1.0, 4, 16, 36.0]  # fmt: skip
    curve = pd.read_csv(io.BytesIO(first[-1]))
    assert curve["best_so_far"].tolist() == [40, 40, 45, 45]
    assert b"seconds" not in first[-1]


def test_an_untuned_store_gets_four_files(tmp_path):
    store = Store(tmp_path / "s")
    records(parse({n: v for n, v in SPEC.items() if n != "tune"}), store)
    assert list(publish.publish(gather([store]), store)) == ["md", "latex", "csv", "json"]
    assert not Path(store.root, "report/budget.csv").exists()


def test_a_winner_at_the_defaults_stands_beside_them(tmp_path):
    store = Store(tmp_path / "s")
    trained(spec_of(), store, [50.0, 40.0, 41.0, 42.0])
    board = gather([store], defaults=True)
    assert means(board) == {f"{TUNED}: {m}": "complete/complete" for m in ("ERM", "Focal Loss", "Focal Loss, defaults")}
    assert any(note.startswith("4 of 4 trials are complete; training took 4 device-hours") for note in board.notes)
    assert len(pd.read_parquet(io.BytesIO(board.parquet()))) == len(board.rows), "a trial stands in two rows"


def test_defaults_that_nobody_ran_say_who_runs_them(tmp_path):
    store = Store(tmp_path / "s")
    trained(spec_of(), store, [40.0, 50.0, 41.0, 42.0])
    board = gather([store], defaults=True)
    assert means(board)[f"{TUNED}: Focal Loss, defaults"] == "missing/missing"
    assert "2 of 2 missing: only tailboard run --with-defaults trains this row" in board.rendered("md")


def test_a_row_without_values_hides_no_trial_at_the_defaults(tmp_path):
    store = Store(tmp_path / "s")
    searched(spec_of(), store, [40.0, 50.0, "running", "running"])
    records(spec_of(), store)
    board = gather([store], defaults=True)
    assert means(board)[f"{TUNED}: Focal Loss"] == "missing/missing"
    assert means(board)[f"{TUNED}: Focal Loss, defaults"] == "complete/complete"
    assert any(note.startswith("4 of 6 trials are complete; training took 4 dev") for note in board.notes)


def test_the_columns_say_which_row_each_trial_is_of(tmp_path):
    """The search, its end and the plan without one: three reports, and in each the row has the same key."""
    waiting, tuned, plain = (Store(tmp_path / name) for name in "abc")
    searched(spec_of(), waiting, [40.0, 50.0, "running", "running"])
    trained(spec_of(), tuned, [40.0, 50.0, 41.0, 42.0])
    records(parse({n: v for n, v in SPEC.items() if n != "tune"}), plain)
    expected = [
        (gather([waiting], defaults=True), {("tuned", True), ("defaults", False)}),
        (gather([tuned], defaults=True), {("tuned", False), ("defaults", False)}),
        (gather([plain]), {("", False)}),
    ]
    row_keys = set()
    for report, kinds in expected:
        rows = report.rows
        focal, erm = rows[rows["method"].str.startswith("Focal Loss")], rows[rows["method"] == "ERM"]
        assert set(zip(focal["variant"], focal["pending"], strict=True)) == kinds
        assert set(zip(erm["variant"], erm["pending"], strict=True)) == {("", False)}
        assert ((rows["key"] == "") == rows["pending"]).all()
        assert rows.loc[~rows["pending"], "key"].str.fullmatch("[0-9a-f]{20}").all()
        row_keys |= {(*focal["row_key"].unique(), *erm["row_key"].unique())}
    assert len(row_keys) == 1 and len(set(*row_keys)) == 2


def test_a_plan_with_tuning_and_one_without_keep_all_their_rows(tmp_path):
    store = Store(tmp_path / "s")
    trained(spec_of(), store, [50.0, 40.0, 41.0, 42.0])  # the winner is the plain row's own trial
    records(parse({n: v for n, v in SPEC.items() if n != "tune"} | {"name": "plain"}), store)
    board = gather([store])
    assert means(board) == {
        f"{p}: {m}": "complete/complete" for p in ("small, 4 epochs", TUNED) for m in ("ERM", "Focal Loss")
    }
    assert any("does not say tuned" in note for note in board.notes)
    assert any(note.startswith("4 of 4 trials") for note in board.notes)


def test_two_budgets_of_one_search_are_two_tables_and_are_paid_once(tmp_path):
    store = Store(tmp_path / "s")
    trained(spec_of({"trials": 8}), store, [50.0, 40.0, 41.0, 42.0, *["pruned"] * 4])
    save_searches(less := spec_of(name="less"), searches(less), store)
    store.write_plan(less)
    board = gather([store])
    assert len(board.searches) == 2
    assert means(board)[f"{TUNED}: Focal Loss"] == means(board)["small, 4 epochs, tuned by 8 trials: Focal Loss"]
    assert any(note.startswith("8 tuning trials and 32 epochs") for note in board.notes)
    assert any("got 4 or 8 trials" in note or "got 8 or 4 trials" in note for note in board.notes)
    assert "| Protocol " in board.rendered("md")


def test_what_differs_in_two_searches_of_a_row_is_told(tmp_path):
    store = Store(tmp_path / "s")
    trained(spec_of(), store, [40.0, 50.0, 41.0, 42.0])
    trained(spec_of({"sampler": "random", "training": {"epochs": 2}}, name="other"), store, [1.0, 2.0, 3.0, 4.0])
    board = gather([store])
    assert board.complete
    assert {line.protocol for line in board.searches} == {
        f"{TUNED}, training as reported, sampler tpe", f"{TUNED}, training epochs=2, sampler random"}  # fmt: skip
    assert board.rendered("latex")


@pytest.mark.parametrize("order", [1, -1])
def test_a_store_that_is_behind_takes_what_another_found(tmp_path, order):
    behind, ahead = Store(tmp_path / "a"), Store(tmp_path / "b")
    searched(spec_of(), behind, [40.0, 50.0, "running", "running"])
    trained(spec_of(), ahead, [40.0, 50.0, 41.0, 42.0])
    board = gather([behind, ahead][::order])
    assert board.complete
    assert [line.tuned.ended for line in board.searches] == [4]
    assert board.rendered("md")


def test_stores_that_found_different_values_are_not_mixed(tmp_path):
    one, two = Store(tmp_path / "a"), Store(tmp_path / "b")
    trained(spec_of(), one, [40.0, 50.0, 41.0, 42.0])
    trained(spec_of(), two, [40.0, 39.0, 41.0, 42.0])
    with pytest.raises(ReportError, match=r"to different values.*one by one"):
        gather([one, two])


# Another budget


def test_a_budget_whose_winner_was_not_trained_says_the_way_out(tmp_path):
    store = Store(tmp_path / "s")
    trained(spec_of({"trials": 8}), store, [40.0, 45.0, 41.0, 42.0, 50.0, "pruned", "pruned", "pruned"])
    assert gather([store]).complete
    board = gather([store], budget=4)
    assert means(board) == {f"{TUNED}: ERM": "complete/complete", f"{TUNED}: Focal Loss": "missing/missing"}
    assert "run the spec with trials: 4 and another name into the same store" in board.rendered("md")
    assert tuning_tables.curves(board.searches)["trials"].tolist() == [1, 2, 3, 4]
    # The way out, as told: the search is there already, so the winner's trials alone are wanting.
    smaller = spec_of(name="smaller")
    assert search_of(name="smaller").name == search_of({"trials": 8}).name
    (search,) = searches(smaller).values()
    winner = board.searches[0].winner
    assert winner is not None
    assert winner.value == 45.0
    records(smaller, store, [search.reporting_trial(winner, seed) for seed in smaller.seeds])
    assert gather([store], budget=4).complete


def test_a_budget_beyond_what_was_spent_changes_nothing(tmp_path):
    store = Store(tmp_path / "s")
    trained(spec_of(), store, [40.0, 50.0, 41.0, 42.0])
    assert gather([store], budget=20).rendered("md") == gather([store]).rendered("md")


@pytest.mark.parametrize(
    ("tune", "asked", "message"),
    [
        ({"trials": 8}, 3, "--budget: 3 must be a multiple of 4"),
        ({"trials": 8}, 0, "--budget: 0 must be .*at least 1"),
        ({"trials": 8, "prune": False}, 0, "--budget: 0 must be at least 1"),
        ({"trials": 8, "prune": False}, 3, None),
        ({"trials": 8}, 4, None),
        ({"trials": 8}, 8, None),
    ],
)
def test_a_budget_ends_where_a_generation_does(tune, asked, message):
    if message is None:
        found = within(spec_of(tune), asked).tune
        assert found is not None
        assert found.trials == asked
    else:
        with pytest.raises(ReportError, match=message):
            within(spec_of(tune), asked)


def test_a_budget_of_nothing_tuned_is_refused(tmp_path):
    store = Store(tmp_path / "s")
    records(parse({n: v for n, v in SPEC.items() if n != "tune"}), store)
    with pytest.raises(ReportError, match="nothing was tuned"):
        gather([store], budget=4)
