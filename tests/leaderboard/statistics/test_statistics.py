"""The words are calibrated: proven on a thousand simulated leaderboards that go through the real `paired`."""

import numpy as np
import pandas as pd
import pytest

from tailboard.leaderboard.formats import latex, markdown
from tailboard.leaderboard.metric import Metric
from tailboard.leaderboard.results import summarise
from tailboard.leaderboard.statistics.paired import detectable, paired
from tailboard.leaderboard.tables.leaders import leaders
from tailboard.leaderboard.tables.report_tables import View
from tidy_rows import COMPLETE

BOARDS, METHODS, SEEDS = 1000, 9, 5
FIXED = {
    "key": "k", "dataset": "cifar10", "protocol": "small, 20 epochs", "group": "all", "classes": 10, **COMPLETE,
}  # fmt: skip


def leaderboards(shift=0.0, boards=BOARDS, methods=METHODS, seeds=SEEDS, seed=0):
    """Tidy rows: a column for each leaderboard, seed effects that all methods share (2 points), and noise of each
    trial's own (1 point). The last method is better by ``shift``."""
    rng = np.random.default_rng(seed)
    values = 50 + rng.normal(0, 2, (boards, 1, seeds)) + rng.normal(0, 1, (boards, methods, seeds))
    values[:, -1] += shift
    index = pd.MultiIndex.from_product([range(boards), range(methods), range(seeds)])
    rows = (
        index.to_frame(index=False, name=["setting", "method", "seed"])
        .astype({"setting": str})
        .assign(value=values.ravel(), **FIXED)
    )
    return rows.assign(method=[f"method {i}" if i else "ERM" for i in rows["method"]])


@pytest.fixture(scope="module")
def equals():
    """A thousand leaderboards of nine identical methods, compared with the first."""
    return paired(leaderboards(), "ERM")


def test_of_equal_methods_at_most_one_leaderboard_in_twenty_says_a_word(equals):
    """The share of 1,000 is an estimate with a binomial standard error of 0.7 points: over 40 seeds it ran from 3.3 to
    6.7 percent, and was at most 5 for 29 of them. Over all 40,000 leaderboards it was 4.77 ± 0.11 percent, so the
    promise holds of the rule; the seed here is the first, 0, and was not sought."""
    words = equals["verdict"].isin(["better", "worse"]).groupby(equals["setting"]).any()
    assert len(words) == BOARDS
    assert 0.01 < words.mean() <= 0.05  # a rule that never speaks would hold it too


def test_the_intervals_cover_as_often_as_they_say(equals):
    covered = (equals["ci95_low"] <= 0) & (equals["ci95_high"] >= 0)
    assert len(covered) == BOARDS * (METHODS - 1)
    assert 0.935 <= covered.mean() <= 0.965


def test_a_difference_of_the_detectable_size_is_found_with_the_stated_power():
    """One method of nine is better: Holm's hardest step, a level of 0.05 / 8. The noise of a difference has variance 2.
    Four of five, within three binomial standard errors of 1.3 points."""
    shift = detectable(SEEDS, METHODS - 1) * np.sqrt(2 / SEEDS)
    found = paired(leaderboards(shift), "ERM")
    power = (found.loc[found["method"] == "method 8", "verdict"] == "better").mean()
    assert power == pytest.approx(0.80, abs=3 * np.sqrt(0.8 * 0.2 / BOARDS))


@pytest.mark.slow
def test_the_best_is_named_by_the_numbers_that_it_is_tested_on_so_that_more_are_left_out():
    """docs/report.md says how many, since the word is weaker than one against a reference named beforehand."""
    (found,) = leaders(leaderboards()).values()
    alike = pd.Series([place[2] for place in found.best | found.level]).value_counts()
    assert len(alike) == BOARDS
    assert 0.105 < (alike < METHODS).mean() < 0.115


def test_where_less_is_better_the_words_change_places():
    rows = leaderboards(8.0, boards=2)
    loss = paired(rows, "ERM", Metric("nll", "NLL", larger_is_better=False))
    assert (loss.loc[loss["method"] == "method 8", "verdict"] == "worse").all()
    assert (paired(rows, "ERM").query("method == 'method 8'")["verdict"] == "better").all()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows[rows["seed"] < 4],
        lambda rows: rows.assign(
            status=rows["status"].mask((rows["seed"] == 4) & (rows["method"] == "ERM"), "failed"),
            value=rows["value"].mask((rows["seed"] == 4) & (rows["method"] == "ERM")),
        ),
        lambda rows: rows.assign(protocol=np.where(rows["method"] == "ERM", "paper, 300 epochs", rows["protocol"])),
    ],
    ids=["four seeds", "a seed failed", "another protocol"],
)
def test_no_word_is_due(change):
    rows = leaderboards(20.0, boards=1)
    assert paired(rows, "ERM")["verdict"].eq("better").any()
    assert paired(change(rows), "ERM")["verdict"].eq("").all()


def test_protocols_stand_in_tables_of_their_own():
    rows = leaderboards(20.0, boards=1)
    rows = rows.assign(protocol=np.where(rows["method"] == "ERM", "paper, 300 epochs", rows["protocol"]))
    text = markdown.markdown(rows, versus="ERM")
    assert text.count("### paper, 300 epochs") == 1
    assert text.count("### small, 20 epochs") == 2  # the means, and differences without a word
    assert "better" not in text.split("difference from ERM")[1].split("\n- ")[0]


@pytest.mark.parametrize(
    ("word", "shown", "said"),
    [
        ("se", "42.0 ± 0.7", "one standard error"),
        ("std", "42.0 ± 1.6", "one standard deviation"),
        ("ci95", "42.0 ± 2.0", "95 percent interval"),
    ],
)
def test_the_caption_says_what_follows_the_sign(word, shown, said):
    """Five values from 40 to 44: variance 2.5; the half-width is 2.776 standard errors."""
    rows = leaderboards(boards=1, methods=1).assign(value=[40.0, 41.0, 42.0, 43.0, 44.0])
    for text in (markdown.markdown(rows, view=View(word)), latex.latex(rows, view=View(word)).replace(r"$\pm$", "±")):
        assert shown in text
        assert said in text


def test_the_interval_of_a_mean_is_students():
    found = summarise(leaderboards(boards=1, methods=1).assign(value=[40.0, 41.0, 42.0, 43.0, 44.0])).iloc[0]
    assert found["std"] == pytest.approx(np.sqrt(2.5), abs=1e-12)
    assert found["ci95"] == pytest.approx(2.7764451 * np.sqrt(0.5), abs=1e-6)


def leading(rows, **words):
    """The methods that are best, and those that are not separable from them."""
    found = leaders(rows, **words)["small, 20 epochs"]
    return {place[0] for place in found.best}, {place[0] for place in found.level}


def test_the_best_is_bold_and_what_is_not_separable_from_it_is_underlined():
    rows = leaderboards(boards=1, methods=3).assign(setting="IF 100")
    rows.loc[rows["method"] == "ERM", "value"] -= 20
    best, level = leading(rows)
    assert len(best) == 1 and best | level == {"method 1", "method 2"}
    text = latex.latex(rows)
    assert text.count(r"\textbf{") == 1 and text.count(r"\underline{") == 1
    both = latex.latex(rows, options=latex.LatexOptions(bold="separable"))
    assert both.count(r"\textbf{") == 2 and r"\underline{" not in both
    assert r"\textbf{" not in latex.latex(rows, options=latex.LatexOptions(bold="none"))
    assert "Bold" not in markdown.markdown(rows)


def test_nothing_is_underlined_where_nothing_can_be_said():
    rows = leaderboards(boards=1, methods=3).assign(setting="IF 100")
    best, level = leading(rows)  # three equals
    assert best | level == {"ERM", "method 1", "method 2"}
    assert leading(rows[rows["seed"] < 4])[1] == set()
    broken = rows["method"].isin(best) & (rows["seed"] == 0)
    cut = rows.assign(status=rows["status"].mask(broken, "failed"), value=rows["value"].mask(broken))
    still, level = leading(cut)
    assert level == set() or not still & best
    assert leading(rows[rows["method"] == "ERM"]) == ({"ERM"}, set()), "alone"


def test_a_method_of_which_seeds_failed_is_not_the_best_by_the_seed_that_did_not():
    rows = leaderboards(boards=1, methods=3).assign(setting="IF 100")
    broken = (rows["method"] == "method 1") & (rows["seed"] > 0)
    lucky = rows.assign(value=rows["value"] + 20.0 * (rows["method"] == "method 1"))
    cut = lucky.assign(status=rows["status"].mask(broken, "failed"), value=lucky["value"].mask(broken))
    best, level = leading(cut)
    assert best | level == {"ERM", "method 2"}
    assert leading(cut[cut["method"] == "method 1"]) == ({"method 1"}, set()), "alone"


def test_equal_means_are_all_the_best():
    rows = leaderboards(boards=1, methods=2)
    values = rows.loc[rows["method"] == rows["method"].iloc[0], "value"].tolist()
    assert len(leading(rows.assign(value=[*values, *values[::-1]]))[0]) == 2


def test_where_less_is_better_the_least_is_bold():
    rows = leaderboards(20.0, boards=1, methods=3).assign(setting="IF 100")
    assert leading(rows) == ({"method 2"}, set())
    best, level = leading(rows, metric=Metric("nll", "NLL", larger_is_better=False))
    assert best | level == {"ERM", "method 1"}
