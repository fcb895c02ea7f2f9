"""Our statistics against those of kept libraries: Holm's correction and Nemenyi's critical difference."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from tailboard.leaderboard.statistics.paired import ALPHA, holm
from tailboard.leaderboard.statistics.ranks import critical_difference

multitest = pytest.importorskip("statsmodels.stats.multitest")
posthocs = pytest.importorskip("scikit_posthocs")


@pytest.fixture(scope="module", autouse=True)
def quick_collections():
    """statsmodels collects garbage at each call: what the other tests hold need not be looked through each time."""
    gc.freeze()
    yield
    gc.unfreeze()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holms_correction_is_that_of_statsmodels(p):
    _, expected, _, _ = multitest.multipletests(p, alpha=ALPHA, method="holm")
    assert holm(np.array(p)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("methods", "datasets"), [(4, 20), (5, 12), (9, 30)])
def test_the_critical_difference_separates_the_pairs_that_nemenyis_test_separates(methods, datasets):
    strength, rng = np.arange(methods) / 2, np.random.default_rng(methods)
    scores = strength + rng.normal(size=(datasets, methods))
    ranks = rankdata(-scores, axis=1).mean(axis=0)
    p = posthocs.posthoc_nemenyi_friedman(scores).to_numpy()
    apart = np.abs(ranks[:, None] - ranks) > critical_difference(methods, datasets)
    assert (apart == (p < ALPHA)).all() and 0 < apart.sum() < apart.size
