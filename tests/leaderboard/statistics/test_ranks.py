"""Average ranks only where there are data sets enough; wins, ties and losses where there are not."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import friedmanchisquare

from tailboard.harness.errors import ReportError
from tailboard.harness.reporting.figure_files import write_diagram
from tailboard.harness.reporting.report import Report
from tailboard.leaderboard.metric import Metric
from tailboard.leaderboard.results import COLUMNS, summarise
from tailboard.leaderboard.statistics.ranks import critical_difference, ranked
from tailboard.leaderboard.tables.standings import standings
from tidy_rows import COMPLETE

LESS = Metric("nll", "NLL", larger_is_better=False)


@pytest.mark.parametrize(
    ("methods", "datasets", "difference"),
    [(4, 14, 1.25), (9, 6, 4.9), (9, 10, 3.8), (9, 2, 8.5), (9, 4, 6.0)],
    ids=["Demsar 2006, section 3.2.3", "nine over six", "nine over ten", "nine over two", "nine over four"],
)
def test_the_critical_difference_is_the_known_one(methods, datasets, difference):
    assert critical_difference(methods, datasets) == pytest.approx(difference, abs=0.006 if methods == 4 else 0.06)


@pytest.mark.parametrize(
    ("methods", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102), (10, 3.164)],
)
def test_its_q_is_demsars(methods, q):
    """Table 5a of Demsar 2006, at 0.05."""
    found = critical_difference(methods, 1) / np.sqrt(methods * (methods + 1) / 6)
    assert found == pytest.approx(q, abs=0.001)


def test_where_no_method_differs_anywhere_friedmans_p_is_1():
    (one,) = ranked(summarise(board([[[50.0]] * 6] * 3).assign(value=50.0)))
    assert one.p == 1 and set(one.ranks.values()) == {2.0}


def board(values, settings=("IF 100",)):
    """``values``: methods x data sets x settings; five seeds around each."""
    rows = [
        {"key": "k", "dataset": f"data {d}", "setting": setting, "protocol": "p, 1 epochs", "method": f"m{m}",
         "seed": seed, "value": values[m][d][s] + (seed - 2) / 10 * (m + 1),
         "group": "all", "classes": 10, **COMPLETE}
        for m in range(len(values)) for d in range(len(values[0])) for s, setting in enumerate(settings)
        for seed in range(5)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS))


SIX = np.array([[50, 60, 70, 50, 60, 70], [51, 61, 71, 51, 61, 69], [40, 62, 69, 40, 59, 69]], dtype=float)[..., None]


def test_ranks_are_averaged_over_data_sets_and_ties_shared():
    (found,) = ranked(summarise(board(SIX)))
    assert found.ranks == pytest.approx({"m1": 8.5 / 6, "m0": 12 / 6, "m2": 15.5 / 6})
    assert list(found.ranks) == ["m1", "m0", "m2"]
    assert found.p == pytest.approx(friedmanchisquare(*SIX[..., 0]).pvalue)
    (turned,) = ranked(summarise(board(SIX)), LESS)
    assert list(turned.ranks) == ["m2", "m0", "m1"]


def test_several_tails_of_one_data_set_are_one_data_set():
    three = SIX.reshape(3, 3, 2)
    (found,) = ranked(summarise(board(three, ("IF 10", "IF 100"))))
    assert (found.datasets, found.ranks) == (3, {})
    (six,) = ranked(summarise(board(np.repeat(SIX, 2, axis=2), ("IF 10", "IF 100"))))
    assert six.ranks == ranked(summarise(board(SIX)))[0].ranks


def test_a_method_that_failed_somewhere_is_left_out_and_named():
    four = np.concatenate([SIX, SIX[:1] + 9])
    rows = board(four)
    gone = (rows["method"] == "m3") & (rows["dataset"] == "data 2") & (rows["seed"] == 1)
    rows = rows.assign(status=rows["status"].mask(gone, "failed"), value=rows["value"].mask(gone))
    (found,) = ranked(summarise(rows))
    assert (set(found.ranks), found.left_out) == ({"m0", "m1", "m2"}, ("m3",))
    (table,) = standings(rows)
    assert any("left out" in sentence and "m3" in sentence for sentence in table.caption)


def test_below_six_data_sets_the_table_counts_and_says_why():
    two = SIX[:, :2] + np.array([0, 20, 0])[:, None, None]
    (table,) = standings(board(two), "m0")
    assert table.body == (("m1", "2 / 0 / 0 / 0"), ("m2", "1 / 0 / 1 / 0"))
    assert "they need 6 data sets" in table.caption[-1]
    assert "lie 2.3 ranks apart, where the largest gap that there can be is 2" in table.caption[-1]
    assert standings(board(two)) == []
    assert "they need 6 data sets" in Report(board(two), [], []).with_ranks(None).notes[-1]


@pytest.mark.parametrize("form", ["png", "svg", "pdf"])
def test_the_diagram_is_drawn_from_six_on(tmp_path, form):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"cd.{form}"
    board_ = Report(board(SIX), [], [])
    write_diagram(board_, path)
    first = path.read_bytes()
    write_diagram(board_, path)
    assert len(first) > 1000
    assert path.read_bytes() == first
    path.unlink()
    assert re.match(r"--diagram: No average ranks.*6 data sets", write_diagram(Report(board(SIX[:, :5]), [], []), path))
    assert not path.exists()
    with pytest.raises(ReportError, match=r"must end in \.png"):
        write_diagram(board_, tmp_path / "cd.gif")


def test_a_bar_joins_what_lies_within_the_difference_and_nothing_else():
    cliques = pytest.importorskip("tailboard.leaderboard.figures.plots").cliques
    assert cliques([1.0, 1.5, 2.4, 4.0, 4.2], 1.0) == [(0, 1), (1, 2), (3, 4)]
    assert cliques([1.0, 2.0, 3.0], 1.0) == []  # at the difference itself they differ
    assert cliques([1.0, 1.1, 1.2], 5.0) == [(0, 2)]


def test_an_unknown_reference_is_told():
    with pytest.raises(ReportError, match="--versus: no method 'M1' here"):
        Report(board(SIX), [], []).with_ranks("M1")
