"""The means of shot groups for many trials at once: each sum is rounded once, whatever the order of the classes."""

from math import fsum

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailboard.harness.reporting.tidy import group_means
from tailboard.leaderboard.metric import GROUPS

ACCURACY = st.one_of(
    st.floats(0, 100),
    st.integers(0, 1000).map(lambda hits: 100 * hits / 1000),
    st.sampled_from([0.0, 100.0, 1e-300, 5e-324, 2**-56, 2**-57, 0.1, 1 / 3]),
)


@given(st.data())
def test_each_mean_is_that_of_the_exact_sum(data):
    classes = data.draw(st.integers(1, 12))
    accuracy = np.array(data.draw(st.lists(st.lists(ACCURACY, min_size=classes, max_size=classes), min_size=1)))
    group = np.array([data.draw(st.lists(st.integers(0, 2), min_size=classes, max_size=classes)) for _ in accuracy])
    means = group_means(accuracy, group)
    for i, (values, of) in enumerate(zip(accuracy, group, strict=True)):
        for number, name in enumerate(GROUPS):
            among = values if name == "all" else values[of == number]
            assert means[i, number] == fsum(among) / len(among) if len(among) else np.isnan(means[i, number])


@pytest.mark.parametrize("classes", [1000, 70_000])
def test_of_many_classes_too(classes):
    accuracy = np.random.default_rng(0).uniform(0, 100, (2, classes))
    means = group_means(accuracy, np.zeros((2, classes), np.int8))
    assert means[:, 3].tolist() == [fsum(each) / classes for each in accuracy]
