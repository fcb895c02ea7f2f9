"""The curves of the tuning: the expected best of K trials, and the command that writes and draws them."""

import ast
import sys
from fractions import Fraction
from itertools import combinations, islice
from math import comb, isnan, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthetic_searches import SPEC, board_of, line_of, records, spec_of, trained
from tailboard.harness.reporting import gather as publish
from tailboard.harness.reporting import tuning_tables
from tailboard.harness.reporting.figure_files import CURVES, csv_text, write_curves
from tailboard.harness.reporting.gather import gather
from tailboard.harness.spec.parser import parse
from tailboard.harness.storage.store import Store
from tailboard.leaderboard.statistics import budget
from tailboard.leaderboard.statistics.budget import expected_best

pytestmark = pytest.mark.usefixtures("own_folder")

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


@pytest.fixture
def store(tmp_path) -> Store:
    made = Store(tmp_path / "s")
    trained(spec_of(), made, [40.0, "pruned", 45.0, "failed: x"])
    return made


BEGINS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.mark.slow
def test_the_command_writes_every_form(tailboard, store, tmp_path):
    for form in CURVES:
        code, out, err = tailboard("report", store, "--curve", tmp_path / f"c{form}")
        assert code == 0, err
        assert "### Tuning" in out
    publish.publish(gather([store]), store)
    assert (tmp_path / "c.csv").read_bytes() == Path(store.root, "report/budget.csv").read_bytes()
    for form, start in BEGINS.items():
        assert (tmp_path / f"c{form}").read_bytes().startswith(start)


@pytest.mark.slow
@pytest.mark.parametrize("form", BEGINS)
def test_a_picture_is_the_same_bytes_twice(form, tmp_path, monkeypatch):
    lines = [line_of([float(m + i) for i in range(4)], method=f"m{m}", setting=s) for m in range(9) for s in "abc"]
    board = board_of(*lines, line_of(["failed: x"] * 4, method="dead", setting="a"))
    write_curves(board, tmp_path / f"a{form}")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    style = pytest.importorskip("tailboard.leaderboard.figures.style")
    with style.mpl.rc_context({"lines.linewidth": 9, "figure.dpi": 10}):  # what a user's matplotlibrc may say
        write_curves(board, tmp_path / f"b{form}")
    assert (tmp_path / f"a{form}").read_bytes() == (tmp_path / f"b{form}").read_bytes()


def test_lines_differ_without_colour():
    from tailboard.leaderboard.figures.style import looks

    assert len({(marker, dash) for _, marker, dash in islice(looks(), 28)}) == 28


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
    assert 'pip install "tailboard[figures]"' in err
    assert len(err.strip().splitlines()) == 1
    assert tailboard("report", store, "--curve", tmp_path / "c.csv")[0] == 0


def test_matplotlib_is_imported_in_one_file_only():
    house = Path(publish.__file__).parents[2]
    for path in [file for folder in ("harness", "leaderboard", "methods") for file in (house / folder).rglob("*.py")]:
        named = {alias.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import)
                 for alias in node.names}  # fmt: skip
        assert path.parent.name == "figures" or not any(name.startswith("matplotlib") for name in named), path
