"""The arithmetic of the figures, each formula against a small table that was computed by hand."""

import re
from math import log10

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tailboard.leaderboard.figures.contrasts import Contrast, cross_fitted, halves, judged
from tailboard.leaderboard.figures.drawing import drawn
from tailboard.leaderboard.figures.fit import first_fitted, fit
from tailboard.leaderboard.figures.improvement import improvement, relative_gain
from tailboard.leaderboard.figures.misalignment import misalignment
from tailboard.leaderboard.figures.ratio_matrix import (
    RatioMatrix,
    _contrasts,
    exponential_prior,
    ratio_matrix,
    reweighted,
)
from tailboard.leaderboard.figures.regions import entropy, regions
from tailboard.leaderboard.figures.sweep import best_against, scaling, sweep

SEEDS = range(5)
NOISE = np.array([0.0, 0.1, -0.1, 0.2, -0.2])


def observations(values, panel="", **columns):
    """Of each (curve, x) its mean, to which each seed adds its noise, another for each."""
    rows = [
        {"panel": panel, "curve": curve, "x": x, "seed": seed, "value": mean + np.roll(NOISE, i)[seed]}
        for i, ((curve, x), mean) in enumerate(values.items())
        for seed in SEEDS
    ]
    return pd.DataFrame(rows).assign(**columns)


def recalled(recalls, panel="", **columns):
    rows = [
        {"panel": panel, "curve": "ERM", "x": x, "seed": seed, "recalls": np.array(each) + NOISE[seed]}
        for x, each in recalls.items()
        for seed in SEEDS
    ]
    return pd.DataFrame(rows).assign(**columns)


# Contrasts


def test_a_claim_of_nothing_chosen_is_a_paired_t_test():
    values = np.array([1.0, 2.0, 0.5, 1.5, 3.0])
    (claim,) = judged([Contrast("", "above", values)])
    test = stats.ttest_1samp(values, 0)
    low, high = test.confidence_interval()
    assert (claim.p, claim.effect) == pytest.approx((test.pvalue, 1.6))
    assert (claim.low, claim.high, claim.n) == pytest.approx((low, high, 5))
    assert claim.verdict == "supported"
    assert judged([Contrast("", "above", -values)])[0].verdict == "contradicted"
    assert [c.verdict for c in judged([Contrast("", "above", values)] * 3)] == ["not separable"] * 3  # Holm


def test_a_claim_that_two_are_alike_is_two_one_sided_tests_within_its_margin():
    values = np.array([0.1, -0.1, 0.2, -0.2, 0.05])
    (claim,) = judged([Contrast("", "alike", values, margin=1.0)])
    upper, lower = (stats.ttest_1samp(values, m, alternative=a) for m, a in ((1, "less"), (-1, "greater")))
    assert claim.p == pytest.approx(2 * max(upper.pvalue, lower.pvalue))
    assert claim.verdict == "supported"
    assert judged([Contrast("", "alike", values + 3, margin=1.0)])[0].verdict == "contradicted"
    assert judged([Contrast("", "alike", values + 1, margin=1.0)])[0].verdict == "not separable"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([1.0, 1.1, 1.2, 1.3], "4 seeds are fewer than 5"),
        ([1.0, 1.1, 1.2, 1.3, 1.4, np.nan], "1 of 6 seeds are not complete"),
        ([1.0] * 5, "the seeds do not vary"),
        ([np.nan] * 5, "5 of 5 seeds are not complete"),
    ],
)
def test_a_claim_that_gets_no_word_says_why_and_keeps_its_place(values, reason):
    sure = Contrast("", "above", np.array([9.0, 9.1, 9.2, 8.9, 8.8]))
    alone, with_it = judged([sure])[0], judged([sure, Contrast("", "above", np.array(values))])
    assert (with_it[1].verdict, with_it[1].reason) == ("", reason)
    assert with_it[0].p == pytest.approx(2 * alone.p)


def test_the_best_is_chosen_on_the_other_half():
    scores = np.array([[9.0, 1.0, 9.0, 1.0, 9.0], [2.0, 3.0, 2.0, 3.0, 2.0]])  # the first wins on the even seeds only
    folds = halves(5)
    assert folds.tolist() == [0, 1, 0, 1, 0]
    assert cross_fitted(scores, folds).tolist() == [1, 0, 1, 0, 1]
    differences, _ = best_against(scores, np.zeros(5))
    assert differences.tolist() == [2, 1, 2, 1, 2]


@pytest.mark.parametrize(("options", "seeds", "among"), [(2, 5, False), (8, 5, True), (2, 5, True), (6, 10, False)])
def test_of_studies_without_a_difference_at_most_5_percent_get_a_word(options, seeds, among):
    """1000 studies; the bound is 5 percent and three standard errors. ``among``: the reference is an option too."""
    random = np.random.default_rng([options, seeds, among])
    said = 0
    for _ in range(1000):
        scores = random.normal(0, 1, (options, seeds)) + random.normal(0, 3, seeds)
        reference = scores[0] if among else random.normal(0, 0.1, seeds)
        differences, folds = best_against(scores, reference)
        said += judged([Contrast("", "best", differences, folds=folds)])[0].verdict in ("supported", "contradicted")
    assert said / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)


def test_at_the_margin_at_most_5_percent_get_a_word():
    drawn = np.random.default_rng(0).normal(1.0, 0.3, (1000, 5))
    verdicts = [judged([Contrast("", "alike", values, margin=1.0)])[0].verdict for values in drawn]
    assert 0 < np.mean([word in ("supported", "contradicted") for word in verdicts]) <= 0.07


@pytest.mark.parametrize(("gain", "claim"), [(0.0, "at test ratio 0.01"), (4 / 3, "over all test ratios")])
def test_of_ratios_that_are_alike_or_at_the_margin_at_most_5_percent_get_a_word(gain, claim):
    """Without a gain training at the test ratio is as good as balanced training; with one of 4/3 points of the first of
    four train ratios, the identical one at one test ratio of four, the optimal gains the margin, 1 point."""
    random, said = np.random.default_rng([7, len(claim)]), 0
    for _ in range(400):
        accuracy = random.normal(0, 0.3, (4, 4, 5)) + random.normal(0, 2, 5)
        accuracy[0] += gain
        matrix = RatioMatrix("", np.array([0.01, 0.03, 0.1, 1.0]), tuple(range(5)), accuracy)
        found = {each.claim: each.verdict for each in judged([*_contrasts(matrix, 1.0, "points")])}
        (verdict,) = (word for text, word in found.items() if text.startswith(claim))
        said += verdict in ("supported", "contradicted")
    assert said / 400 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("mirrored", [0.0, 5.0])
def test_a_best_ratio_that_is_chance_or_on_the_other_side_is_not_called_the_test_ratio(mirrored):
    """Errors to either side must not cancel. ``mirrored``: what is gained by the ratio at the other end of the grid."""
    random, said, balanced = np.random.default_rng([11, int(mirrored)]), 0, 0
    for _ in range(200):
        accuracy = random.normal(0, 3, (5, 5, 5))
        accuracy[np.arange(5), np.arange(5)[::-1]] += mirrored
        matrix = RatioMatrix("", np.array([0.01, 0.03, 0.1, 0.3, 1.0]), tuple(range(5)), accuracy)
        *_, near, side = judged([*_contrasts(matrix, 1.0, "points")])
        assert near.claim.startswith("the best train ratio is on average within a step")
        assert side.claim.endswith("the best train ratio is the more balanced of the two")
        said += near.verdict == "supported"
        balanced += side.verdict in ("supported", "contradicted")
    assert said / 200 <= 0.05 and balanced / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


@pytest.mark.parametrize(("towards", "word"), [(1, "supported"), (-1, "contradicted")])
def test_a_best_ratio_that_is_more_balanced_than_the_test_ratio_is_told_from_one_that_is_less(towards, word):
    random = np.random.default_rng(3)
    accuracy = random.normal(0, 0.5, (5, 5, 5))
    for tested in range(5):  # the next ratio of the grid gains, or the next but one
        for seed in range(5):
            accuracy[np.clip(tested + towards * (1 + seed % 2), 0, 4), tested, seed] += 10
    matrix = RatioMatrix("", np.array([0.01, 0.03, 0.1, 0.3, 1.0]), tuple(range(5)), accuracy)
    *_, side = judged([*_contrasts(matrix, 1.0, "points")])
    assert side.verdict == word and (side.effect > 0) == (towards > 0)


# Families


def test_the_gain_over_a_baseline_in_both_readings():
    option, baseline = np.array([60.0, 30.0]), np.array([50.0, 40.0])
    assert relative_gain(option, baseline).tolist() == [20.0, -25.0]  # equation 2, and 1 as the text has it
    assert relative_gain(option, baseline, "option") == pytest.approx([100 / 6, -100 / 3])  # equation 1 as printed
    assert np.isnan(relative_gain(np.array([1.0]), np.array([0.0]))).all()


def test_improvement_is_paired_by_seed_and_claims_the_smallest_ratio():
    table = observations({("64", 0.01): 60, ("128", 0.01): 50, ("64", 1.0): 80.2, ("128", 1.0): 80})
    figure = improvement(table, "128")
    assert figure.points["curve"].unique().tolist() == ["64"]
    first = figure.points.set_index("x").loc[0.01]
    trained = zip((60, 60.1, 59.9, 60.2, 59.8), (49.8, 50, 50.1, 49.9, 50.2), strict=True)
    by_hand = [100 * (option - baseline) / baseline for option, baseline in trained]
    assert first["mean"] == pytest.approx(np.mean(by_hand))
    assert first["stderr"] == pytest.approx(np.std(by_hand, ddof=1) / np.sqrt(5))
    assert [claim.claim for claim in figure.claims] == [
        "64 is better than 128 at train ratio 0.01",
        "64 gains more over 128 at train ratio 0.01 than at 1",
    ]
    assert {claim.verdict for claim in figure.claims} == {"supported"}


def test_a_sweep_has_an_optimum_inside_or_not():
    values = {("ERM", x): mean for x, mean in ((50, 60), (100, 70), (400, 72), (1000, 65))}
    figure = sweep(observations(values), "majority images", "accuracy")
    assert figure.points["mean"].tolist() == [60, 70, 72, 65]
    assert [claim.verdict for claim in figure.claims] == ["supported"] * 3
    assert figure.claims[0].claim == "ERM: majority images 1000 beats 50"
    table = observations(values)
    rising = table.assign(x=table["x"].replace({400: 2000}))
    assert sweep(rising, "x", "y").claims[2].verdict == "contradicted"


def test_scaling_compares_the_largest_network_with_the_best_smaller_one():
    table = observations({("ERM", 1e5): 50, ("ERM", 1e6): 60, ("ERM", 1e7): 55})
    (claim,) = scaling(table, "accuracy").claims
    assert (claim.verdict, claim.effect) == ("supported", pytest.approx(5, abs=0.5))
    assert "10,000,000 parameters" in claim.claim


def test_on_balanced_data_scaling_claims_the_reverse():
    table = observations({("ERM", 10.0): 50, ("ERM", 20.0): 70, ("ERM", 30.0): 60}, panel="even")
    (tailed,), (balanced,) = (scaling(table, "accuracy", balanced=each).claims for each in ([], [("even", "ERM")]))
    assert tailed.claim == "ERM: the best smaller network beats the largest (30 parameters)"
    assert balanced.claim == "ERM: the largest (30 parameters) beats the best smaller network"
    assert (balanced.effect, balanced.low) == (-tailed.effect, -tailed.high)
    assert (tailed.verdict, balanced.verdict) == ("supported", "contradicted")
    beside = pd.concat([table, table.assign(curve="SAM")])  # of one panel, as where the curves are train ratios
    first, second = (claim.claim for claim in scaling(beside, "accuracy", balanced=[("even", "SAM")]).claims)
    assert first == tailed.claim and second.startswith("SAM: the largest")


# The ratio matrix


def test_the_prior_falls_exponentially():
    assert exponential_prior(3, 0.01) == pytest.approx(np.array([1, 0.1, 0.01]) / 1.11)
    assert exponential_prior(4, 1.0).tolist() == [0.25] * 4


def test_reweighted_recalls_by_hand():
    recalls = np.array([90.0, 60.0, 30.0])
    assert reweighted(recalls, [1.0, 0.01]) == pytest.approx([60, (90 + 6 + 0.3) / 1.11])
    assert reweighted(recalls, [0.01], [1, 2]) == pytest.approx([(60 * 0.1 + 30 * 0.01) / 0.11])


def test_reweighted_recalls_equal_a_subsampled_test_set_within_its_noise():
    random, each, ratio = np.random.default_rng(3), 2000, 0.05
    hits = [random.random(each) < share for share in (0.9, 0.7, 0.4, 0.2)]
    exact = float(reweighted(np.array([100 * hit.mean() for hit in hits]), [ratio])[0])
    kept = [round(each * ratio ** (i / 3)) for i in range(4)]
    subsampled = [
        100 * np.concatenate([random.choice(hit, n, replace=False) for hit, n in zip(hits, kept, strict=True)]).mean()
        for _ in range(400)
    ]
    error = np.std(subsampled, ddof=1) / np.sqrt(400)
    assert error < 0.05
    assert np.mean(subsampled) == pytest.approx(exact, abs=4 * error + 0.02)  # and what rounding the counts moves


RECALLS = {0.01: (89.0, 40.0, 10.0), 0.1: (90.0, 60.0, 40.0), 1.0: (70.0, 65.0, 60.0)}


def test_the_matrix_its_best_and_its_three_curves():
    matrix = RatioMatrix.of(recalled(RECALLS), "")
    by_hand = [[np.dot(r, exponential_prior(3, tested)) for tested in RECALLS] for r in RECALLS.values()]
    assert matrix.accuracy.mean(axis=2) == pytest.approx(np.array(by_hand))
    assert matrix.best()[:, 0].tolist() == [0.1, 0.1, 1.0]
    assert [edge.tolist() for edge in matrix.band()] == [[0.1, 0.1, 1.0]] * 3
    figure = ratio_matrix(recalled(RECALLS))
    curves = figure.points[figure.points["quantity"] == "accuracy"].set_index(["curve", "x"])["mean"]
    assert curves["identical"].tolist() == pytest.approx([by_hand[0][0], by_hand[1][1], by_hand[2][2]])
    assert curves["balanced"].tolist() == pytest.approx(by_hand[2])
    assert curves["optimal"].tolist() == pytest.approx([by_hand[1][0], by_hand[1][1], by_hand[2][2]])
    assert list(figure.axes) == ["accuracy", "best", "matrix"]


def test_optimal_is_not_chosen_by_the_numbers_that_it_is_judged_by():
    """Of train ratios that do not differ, the best of each seed lies above all, and the cross-fitted one does not."""
    random = np.random.default_rng(0)
    accuracy = random.normal(50, 1, (8, 8, 200))
    matrix = RatioMatrix("", np.logspace(-2, 0, 8), tuple(range(200)), accuracy)
    assert abs(matrix.optimal()[0].mean() - 50) < 0.15
    assert accuracy.max(axis=0).mean() - 50 > 1.3


def test_a_seed_that_lacks_a_train_ratio_is_in_no_claim():
    table = recalled(RECALLS)
    table.at[0, "recalls"] = None
    figure = ratio_matrix(table)
    assert {claim.reason for claim in figure.claims} == {"1 of 5 seeds are not complete"}
    best = figure.points[figure.points["quantity"] == "best"]
    assert best["n"].tolist() == [4, 4, 4]


def test_misalignment_is_the_mean_distance_from_the_diagonal():
    aligned = {0.01: (99.0, 10.0, 1.0), 0.1: (90.0, 80.0, 20.0), 1.0: (70.0, 65.0, 60.0)}
    table = pd.concat([recalled(RECALLS, total=100), recalled(aligned, total=1000)])
    points = misalignment(table).points.set_index(["quantity", "x"])["mean"]
    assert points["distance", 100] == pytest.approx((abs(0.1 - 0.01) + 0 + 0) / 3)
    assert points["log distance", 100] == pytest.approx(abs(log10(0.1) - log10(0.01)) / 3)
    best = RatioMatrix.of(recalled(aligned), "").best()[:, 0]
    assert points["distance", 1000] == pytest.approx(np.abs(best - np.array([0.01, 0.1, 1.0])).mean())


# The drawing


@pytest.mark.slow
@pytest.mark.parametrize("form", ["svg", "png", "pdf"])
def test_a_drawing_is_the_same_bytes_each_time(form):
    table = pd.concat([recalled(RECALLS, "a $x$ panel"), recalled(RECALLS, "_b")])
    first = drawn(ratio_matrix(table), form)
    assert first == drawn(ratio_matrix(table), form)
    if form == "svg":
        assert not re.search(rb"<dc:date>|\d{4}-\d\d-\d\dT", first)
        assert len(drawn(ratio_matrix(recalled(RECALLS)), form)) < 100_000
        assert len(first) < 100_000 and b">_b" in first, "two panels, and text is text"


def test_long_curves_stay_whole_in_a_small_file():
    values = {(name, float(x)): 50 + x for name in "abcdef" for x in range(1, 101)}
    svg = drawn(sweep(observations(values), "epoch", "accuracy"), "svg")
    (longest,) = {
        len(re.findall(rb"L ", path)) for path in re.findall(rb'<path d="([^"]*)"', svg) if path.count(b"L ") > 50
    }
    assert longest == 99 and len(svg) < 100_000


# The fit, and decision regions


def fitted(curves, images=200):
    """A curve's mean at each epoch; each seed is one image off or not."""
    rows = [
        {"panel": "", "curve": curve, "x": x, "seed": seed, "value": value, "images": images}
        for curve, epochs in curves.items()
        for x, values in epochs.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_the_fit_of_training_images_and_when_it_is_reached():
    late = {2: [60] * 5, 4: [98, 99.5, 98, 98, 98], 6: [99, 100, 99.5, 99.5, 99.5]}
    soon = {2: [99.5] * 5, 4: [100] * 5, 6: [100] * 5}
    figure = fit(fitted({"train_ratio 0.1": late, "train_ratio 1": soon}), ordered=True)
    assert figure.points.set_index(["curve", "x"])["mean"]["train_ratio 0.1", 6] == pytest.approx(99.5)
    at = pd.DataFrame(late).T
    assert first_fitted(at, 1.0).tolist() == [6, 4, 6, 6, 6]
    assert first_fitted(at, 0.1).tolist() == [6] * 5, "one that never gets there counts as at the last epoch"
    first, second, later = figure.claims
    assert (first.claim, first.effect) == ("train_ratio 0.1 ends within 1 points of 100 percent", pytest.approx(-0.5))
    assert (second.verdict, second.effect) == ("supported", 0)  # no seed varies: as if by one image of 200
    test = 2 * stats.t.sf((1 - 0) / (0.5 / np.sqrt(5)), 4)
    assert judged([Contrast("", "", np.zeros(5), margin=1.0, step=0.5)])[0].p == pytest.approx(test)
    assert (later.effect, later.verdict) == (pytest.approx(3.6), "supported")


def test_a_fit_of_too_few_images_is_no_proof():
    (claim,) = fit(fitted({"ERM": {1: [100.0] * 5}}, images=20)).claims
    assert (claim.verdict, claim.effect) == ("not separable", 0.0)  # a step is 5 points


def test_a_trial_that_is_not_complete_leaves_its_claims_without_a_word():
    figure = fit(fitted({"ERM": {2: [100.0] * 5, 4: [100.0] * 4 + [np.nan]}}))
    assert [claim.reason for claim in figure.claims] == ["1 of 5 seeds are not complete"]


def test_of_trainings_that_are_fitted_alike_at_most_5_percent_get_a_word():
    """800 studies of whole epochs, in which seeds often agree; the bound is 5 percent and three standard errors."""
    random, epochs = np.random.default_rng(5), np.arange(2, 18, 2)
    said = 0
    for _ in range(800):
        ends = [pd.DataFrame((epochs[:, None] >= random.integers(2, 8, 5) * 2) * 100.0, epochs) for _ in range(2)]
        later = first_fitted(ends[0], 1.0) - first_fitted(ends[1], 1.0)
        said += judged([Contrast("", "later", later, "epochs", step=2)])[0].verdict in ("supported", "contradicted")
    assert said / 800 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 800)


def test_of_regions_that_are_alike_at_most_5_percent_get_a_word():
    random = np.random.default_rng(6)
    shares = entropy(random.dirichlet([0.5] * 4, (800, 2, 5, 20))).mean(axis=-1)
    words = [judged([Contrast("", "above", first - second, "bits")])[0].verdict for first, second in shares]
    assert np.mean([word in ("supported", "contradicted") for word in words]) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 800)


def test_entropy_by_hand():
    shares = np.array([[1.0, 0, 0, 0], [0.25] * 4, [0.5, 0.25, 0.25, 0]])
    assert entropy(shares).tolist() == [0.0, 2.0, 1.5]


def test_regions_are_compared_by_the_entropy_of_their_shares():
    random = np.random.default_rng(0)
    rows = [
        {"panel": "", "curve": curve, "x": 0.1, "seed": seed, "shares": random.dirichlet([alpha] * 4, 20)}
        for curve, alpha in (("ERM", 0.3), ("SAM-A", 3.0))
        for seed in SEEDS
    ]
    figure = regions(pd.DataFrame(rows), "ERM")
    (claim,) = figure.claims
    by_hand = [entropy(rows[5 + s]["shares"]).mean() - entropy(rows[s]["shares"]).mean() for s in SEEDS]
    assert (claim.verdict, claim.effect) == ("supported", pytest.approx(np.mean(by_hand)))
    shares = figure.points[figure.points["quantity"] == "share"].set_index(["curve", "x"])["mean"]
    assert shares["ERM"].sum() == pytest.approx(100)
    assert shares["ERM", 1.0] == pytest.approx(np.mean([100 * rows[s]["shares"][:, 0].mean() for s in SEEDS]))
    rows[0]["shares"] = None
    assert regions(pd.DataFrame(rows), "ERM").claims[0].reason == "1 of 5 seeds are not complete"
    assert regions(pd.DataFrame(rows), "CE").claims == []
