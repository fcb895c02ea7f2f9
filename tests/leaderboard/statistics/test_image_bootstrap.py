"""The bootstrap over test images against closed forms."""

import numpy as np
import pytest

from tailboard.leaderboard.statistics import bootstrap
from tailboard.leaderboard.statistics.bootstrap import resampled

RNG = np.random.default_rng(0)
SIZES = (40, 80, 160)
LABELS = np.repeat([0, 1, 2], SIZES)
GROUPS = {"few": (0,), "med": (1,), "many": (2,), "all": (0, 1, 2)}
HITS = (RNG.random((2, len(LABELS))) < np.array([[0.3], [0.8]])).astype(float)


def closed(score, at):
    """The standard error of a mean of class means, images drawn class by class: plug-in variances, in percent."""
    return 100 * np.sqrt(sum(score[c == LABELS].var() / SIZES[c] for c in at)) / len(at)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_the_error_is_the_closed_form(group):
    """20,000 draws: the standard error of a standard deviation is 0.5 percent of it."""
    found = resampled(HITS, LABELS, GROUPS, draws=20_000)[group]
    for i, score in enumerate(HITS):
        assert found[:, i].std() == pytest.approx(closed(score, GROUPS[group]), rel=0.03)
        assert found[:, i].mean() == pytest.approx(
            100 * np.mean([score[c == LABELS].mean() for c in GROUPS[group]]), abs=0.1
        )


def test_methods_share_their_images():
    """Of two that miss nearly the same images the difference is far surer than either, as the closed form says."""
    other = HITS[0].copy()
    other[::20] = 1 - other[::20]
    found = resampled(np.stack([HITS[0], other]), LABELS, GROUPS, draws=20_000)["all"]
    gap = (found[:, 0] - found[:, 1]).std()
    assert gap == pytest.approx(closed(HITS[0] - other, GROUPS["all"]), rel=0.03)
    assert gap < 0.6 * found[:, 0].std()


def test_classes_keep_their_sizes():
    """A method that knows one class and no other has no noise: nothing is drawn across classes."""
    found = resampled((LABELS == 1).astype(float)[None], LABELS, GROUPS)
    assert {group: set(draws.round(9).ravel()) for group, draws in found.items()} == {
        "few": {0.0}, "med": {100.0}, "many": {0.0}, "all": {round(100 / 3, 9)},
    }  # fmt: skip


def test_draws_are_repeated_and_blocks_change_nothing(monkeypatch):
    whole = resampled(HITS, LABELS, GROUPS)
    monkeypatch.setattr(bootstrap, "LARGEST", 1000)
    again = resampled(HITS, LABELS, GROUPS)
    assert all(np.array_equal(whole[group], again[group]) for group in GROUPS)
    assert not np.array_equal(whole["all"], resampled(HITS, LABELS, GROUPS, seed=1)["all"])
    assert np.array_equal(whole["few"], resampled(HITS, LABELS, {"few": (0,), "med": ()})["few"])


def test_a_class_without_images_is_refused():
    with pytest.raises(ValueError, match="class 3 has no test image"):
        resampled(HITS, LABELS, {"all": (0, 1, 2, 3)})
