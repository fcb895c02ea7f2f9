"""Tiers: a method shares one exactly where the paired test cannot separate it from the tier's best."""

import pandas as pd
import pytest

from page_boards import board
from page_content import ROWS, SETTINGS
from tailboard.leaderboard.metric import Metric
from tailboard.leaderboard.results import summarise
from tailboard.leaderboard.statistics.paired import paired
from tailboard.leaderboard.statistics.tiers import tiers

LESS = Metric("nll", "NLL", larger_is_better=False)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [5, 8])
def test_a_tier_is_what_the_paired_test_says_of_its_best(seeds):
    rows = board(12, datasets=2, seeds=seeds).rows
    means = summarise(rows).set_index(["dataset", "group", "method"])["mean"]
    for (_, dataset, _, group), found in tiers(rows).items():
        assert len(found) == 12
        left = set(found)
        for tier in range(1, max(found.values()) + 1):
            first = max(left, key=lambda name: means[dataset, group, name])
            said = paired(rows, first).query("dataset == @dataset and group == @group").set_index("method")["verdict"]
            shares = {name for name in left if name == first or said[name] == "not separable"}
            assert {name for name, its in found.items() if its == tier} == shares
            left -= shares
        assert not left
    assert any(max(found.values()) > 2 for found in tiers(rows).values())


def test_what_no_word_is_due_of_is_in_no_tier():
    here = tiers(ROWS)[(SETTINGS[0][2], "cifar10", "IF 100", "all")]
    assert here["better"] == 1
    assert here["near"] == here["ERM"] == 2
    assert not here.keys() & {"part", "dead", "to come"}
    assert all(not found for found in tiers(board(5, seeds=4).rows).values())  # too few seeds for any word


def test_equals_share_a_tier_and_the_smallest_leads_where_less_is_better():
    rows = board(2).rows
    erm = rows[rows["method"] == "ERM"]
    worst = erm.assign(method="half", value=erm["value"] / 2)
    found = tiers(pd.concat([worst, erm, erm.assign(method="again")]), LESS)
    assert found[("small, 20 epochs", "cifar10", "IF 100", "all")] == {"half": 1, "ERM": 2, "again": 2}
