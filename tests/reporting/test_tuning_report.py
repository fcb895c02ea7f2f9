"""What the report says of the tuning: nothing hidden, nothing counted twice, and what less would have found.

Searches are synthetic: their spaces come from specs, their outcomes are written here, and nothing is trained.
"""

import ast
import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from math import comb, isnan, nan
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailboard.harness.cli import app
from tailboard.harness.errors import ReportError, StoreError
from tailboard.harness.reporting import gather as publish
from tailboard.harness.reporting import tuning_tables
from tailboard.harness.reporting.figure_files import CURVES, csv_text, write_curves
from tailboard.harness.reporting.gather import gather, within
from tailboard.harness.reporting.report import Report
from tailboard.harness.spec.parser import parse, with_plugin
from tailboard.harness.spec.schema import experiments, plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.tuning.archive import load_searches, save_searches
from tailboard.harness.tuning.configuration import Configuration
from tailboard.harness.tuning.optuna_study import create_study, open_storage
from tailboard.harness.tuning.results import SearchResult
from tailboard.harness.tuning.search import Search, searches
from tailboard.leaderboard.results import COLUMNS
from tailboard.leaderboard.statistics import budget
from tailboard.leaderboard.statistics.budget import expected_best
from tailboard.methods.range import Range
from tailboard.methods.recipe import Recipe

NASTY = "<img src=x>|_$"
COUNTS = (60, 46, 35, 27, 21, 16, 12, 10, 7, 6)
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", "Focal Loss"],
    "network": "small",
    "training": {"epochs": 4},
    "seeds": 2,
    "tune": {"trials": 4, "parameters": ["gamma"]},
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nothing listens: no report waits for MLflow


def spec_of(tune=None, **changes):
    return parse(SPEC | changes | {"tune": SPEC["tune"] | (tune or {})})


def search_of(*words, **changes) -> Search:
    return next(iter(searches(spec_of(*words, **changes)).values()))


def configurations(search: Search, outcomes, shift=0.0) -> tuple[Configuration, ...]:
    """An outcome is the value of a finished trial, or its state, or "failed: reason". Each took 4 epochs, 9 s."""
    made = []
    for number, outcome in enumerate(outcomes):
        values = {n: d.default + (0.1 * number + shift if number else 0) for n, d in search.space.items()}
        state, _, reason = outcome.partition(": ") if isinstance(outcome, str) else ("complete", "", "")
        value = {"complete": outcome, "pruned": 99.0}.get(state)
        made.append(Configuration(number, values, state, value, 4, 9.0, reason))
    return tuple(made)


def line_of(
    outcomes, *, method="Focal Loss", importance=None, exhausted=False, search=None, **names
) -> tuning_tables.TunedRow:
    search = search or search_of({"trials": len(outcomes), "prune": len(outcomes) % 4 == 0})
    tuned = SearchResult(search, configurations(search, outcomes), importance or {}, exhausted)
    return tuning_tables.TunedRow(
        **{"dataset": "d", "setting": "IF 10", "protocol": "p", **names}, method=method, tuned=tuned
    )


def board_of(*lines) -> Report:
    common = {"key": "k", "seed": 0, "group": "all", "classes": 10, "value": 50.0, "status": "complete", "reason": "",
              "verified": True, "device_seconds": 1.0}  # fmt: skip
    rows = [common | line.names for line in lines]
    return Report(pd.DataFrame(rows, columns=list(COLUMNS)), [], [], lines)


def section(text: str, title: str) -> dict[str, list[str]]:
    """The rows of a Markdown table by their first cell."""
    body = text.split(f"### {title}\n")[1].strip().split("\n\n")[0].splitlines()[2:]
    rows = [[part.strip() for part in re.split(r"(?<!\\)\|", row)[1:-1]] for row in body]
    return {row[0]: row[1:] for row in rows}


# The expected best of K trials

outcomes_ = st.lists(st.one_of(st.floats(0, 100), st.just(nan)), min_size=1, max_size=8)


@settings(max_examples=150)
@given(outcomes_)
def test_the_expected_best_is_the_mean_over_all_subsets(values):
    for k in range(1, len(values) + 1):
        draws = [[v for v in draw if not isnan(v)] for draw in combinations(values, k)]
        bests = [max(draw) for draw in draws if draw]
        best, none = expected_best(values, k)
        assert none == pytest.approx(sum(not draw for draw in draws) / len(draws), abs=1e-12)
        assert isnan(best) == (not bests)
        if bests:
            assert best == pytest.approx(np.mean(bests), abs=1e-9)


@settings(max_examples=100)
@given(st.lists(st.floats(0, 100), min_size=1, max_size=40), st.integers(0, 20))
def test_one_trial_is_the_mean_and_all_are_the_best(values, lost):
    every = values + [nan] * lost
    assert expected_best(every, len(every)) == (max(values), 0.0)
    best, none = expected_best(every, 1)
    assert best == pytest.approx(np.mean(values), abs=1e-10)
    assert none == pytest.approx(lost / len(every))
    assert expected_best([42.1] * len(values) + [nan] * lost, 1)[0] == 42.1  # equals stay themselves, bit for bit


@pytest.mark.parametrize(("n", "lost", "k"), [(2000, 500, 1000), (3000, 0, 2), (400, 399, 399), (1000, 990, 985)])
def test_many_trials_neither_overflow_nor_lose_digits(n, lost, k):
    values = [100 * i / n for i in range(n - lost)]
    weights = [Fraction(comb(lost + i, k - 1), comb(n, k)) for i in range(n - lost)]
    exact = sum(w * Fraction(v) for w, v in zip(weights, values, strict=True)) / sum(weights)
    best, none = expected_best(values + [nan] * lost, k)
    assert best == pytest.approx(float(exact), rel=1e-11)
    assert none == pytest.approx(float(Fraction(comb(lost, k), comb(n, k))), rel=1e-11, abs=0)


@pytest.mark.parametrize("k", [0, 4, -1])
def test_more_than_all_trials_cannot_be_drawn(k):
    with pytest.raises(ValueError, match="from 1 to the 3 trials"):
        expected_best([1.0, 2.0, 3.0], k)


def test_a_curve_counts_epochs_in_the_order_of_proposal():
    found = tuning_tables.curves([line_of(["pruned", 40.0, 30.0, "failed: x", 50.0, "running"])])
    assert list(found.columns) == budget.COLUMNS
    assert found["trials"].tolist() == [1, 2, 3, 4, 5]  # what runs has come to nothing yet
    assert found["epochs"].tolist() == [4, 8, 12, 16, 20]
    np.testing.assert_array_equal(found["best_so_far"], [nan, 40, 40, 40, 50])
    np.testing.assert_allclose(found["expected_best"], [40, *(expected_best([30, 40, 50, nan, nan], k)[0]
                               for k in (2, 3, 4)), 50])  # fmt: skip
    np.testing.assert_allclose(found["none_finished"], [0.4, 0.1, 0, 0, 0])


def test_a_search_without_a_trial_has_a_header_only():
    assert csv_text(tuning_tables.curves([line_of(["running"] * 4)])) == ",".join(budget.COLUMNS) + "\n"


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


# Stores


def records(spec, store, trials=None) -> None:
    save_searches(spec, searches(spec), store)
    store.write_plan(spec)
    for trial in plan(spec) if trials is None else trials:
        accuracy = tuple(10.0 * c + trial.seed for c in range(10))
        done = {"status": "complete", "counts": COUNTS, "accuracy": {"last_ema": accuracy}, "train_seconds": 3600.0}
        store.write_record(Record(key=trial.key, trial=trial, **done))
        store.mark_tracked(trial.key, {})


def searched(spec, store, outcomes, shift=0.0) -> list[Configuration]:
    """A plan in a store whose searches have all come to this."""
    save_searches(spec, searches(spec), store)
    store.write_plan(spec)
    with open_storage(store) as opened:
        for search in searches(spec).values():
            study = create_study(opened, search.name)
            found = study.generation(search.space, 0, len(outcomes), "random", search.seed + int(shift))
            for c, made in zip(found, configurations(search, outcomes), strict=True):
                if made.state != "running":
                    study.tell(replace(made, values=c.values), {})
            last = study.configurations()
    return last


def trained(spec, store, outcomes, shift=0.0) -> None:
    """The same, with the trials of the winner and of what is not searched."""
    best = max((c for c in searched(spec, store, outcomes, shift) if c.state == "complete"), key=lambda c: c.value)
    found = searches(spec)
    finals = [found[cell.canonical].reporting_trial(best, s) if cell.canonical in found else cell.trial(s)
              for cell in experiments(spec) for s in spec.seeds]  # fmt: skip
    records(spec, store, finals)


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


# The curves


@pytest.fixture
def tailboard(monkeypatch, capsys):
    def run(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tailboard", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "s")
    trained(spec_of(), made, [40.0, "pruned", 45.0, "failed: x"])
    return made


BEGINS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def test_the_command_writes_every_form(tailboard, store, tmp_path):
    for form in CURVES:
        code, out, err = tailboard("report", store, "--curve", tmp_path / f"c{form}")
        assert code == 0, err
        assert "### Tuning" in out
    publish.publish(gather([store]), store)
    assert (tmp_path / "c.csv").read_bytes() == Path(store.root, "report/budget.csv").read_bytes()
    for form, start in BEGINS.items():
        assert (tmp_path / f"c{form}").read_bytes().startswith(start)


@pytest.mark.parametrize("form", BEGINS)
def test_a_picture_is_the_same_bytes_twice(form, tmp_path, monkeypatch):
    lines = [line_of([float(m + i) for i in range(4)], method=f"m{m}", setting=s) for m in range(9) for s in "abc"]
    board = board_of(*lines, line_of(["failed: x"] * 4, method="dead", setting="a"))
    write_curves(board, tmp_path / f"a{form}")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    pictures = pytest.importorskip("tailboard.leaderboard.figures.plots")
    with pictures.mpl.rc_context({"lines.linewidth": 9, "figure.dpi": 10}):  # what a user's matplotlibrc may say
        write_curves(board, tmp_path / f"b{form}")
    assert (tmp_path / f"a{form}").read_bytes() == (tmp_path / f"b{form}").read_bytes()


def test_lines_differ_without_colour():
    from tailboard.leaderboard.figures import plots

    looks = {(plots.MARKERS[i % len(plots.MARKERS)], plots.DASHES[i % len(plots.DASHES)])
             for i in range(28)}  # fmt: skip
    assert len(looks) == 28


@pytest.mark.parametrize("name", ["c.gif", "c", ".png", "c.jsonl"])
def test_an_unknown_ending_names_the_four(tailboard, store, tmp_path, name):
    code, out, err = tailboard("report", store, "--curve", tmp_path / name)
    assert (code, out) == (1, "")
    assert ".csv, .png, .svg or .pdf" in err
    assert not (tmp_path / name).exists()


def test_nothing_tuned_has_no_curve(tailboard, tmp_path):
    store = Store(tmp_path / "plain")
    records(parse({n: v for n, v in SPEC.items() if n != "tune"}), store)
    code, _, err = tailboard("report", store, "--curve", tmp_path / "c.csv")
    assert code == 1
    assert "nothing was tuned" in err


def test_without_matplotlib_one_message_says_what_to_install(tailboard, store, tmp_path, monkeypatch):
    for name in [
        name for name in sys.modules if name.startswith(("matplotlib", "tailboard.leaderboard.figures.plots"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("tailboard.leaderboard.figures.plots", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, out, err = tailboard("report", store, "--curve", tmp_path / "c.png")
    assert (code, out) == (1, "")
    assert "pip install 'tailboard[figures]'" in err
    assert len(err.strip().splitlines()) == 1
    assert tailboard("report", store, "--curve", tmp_path / "c.csv")[0] == 0


def test_matplotlib_is_imported_in_one_file_only():
    house = Path(publish.__file__).parents[2]
    for path in [file for folder in ("harness", "leaderboard", "methods") for file in (house / folder).rglob("*.py")]:
        named = {alias.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import)
                 for alias in node.names}  # fmt: skip
        assert path.parent.name == "figures" or not any(name.startswith("matplotlib") for name in named), path
