"""The rows of a plan, taken from its axes: they are those that are made one by one."""

import numpy as np
import pytest

from tailboard.harness.planning.reported import merge_rows, report_rows
from tailboard.harness.planning.row_columns import ListedRows, rows_of
from tailboard.harness.spec.labels import Labels
from tailboard.harness.spec.parser import parse

SPECS = {
    "axes": {
        "data": [
            {"name": "cifar10", "imbalance_factor": [10, 33.5]},
            {"name": "fashion-mnist-mini", "profile": "step"},
        ],
        "methods": [
            "ERM",
            {"name": "Focal Loss", "values": {"gamma": 2}},
            {"name": "LDAM-DRW", "training": {"lr": 0.05}},
        ],
        "network": ["resnet32", "small"],
        "training": {"epochs": [3, 4]},
        "seeds": [3, 0, 11],
    },
    "one row": {"data": {"name": "cifar10", "imbalance_factor": 10}, "methods": "ERM", "seeds": 1},
}


@pytest.fixture(params=SPECS)
def spec(request):
    return parse({"name": "t"} | SPECS[request.param])


def test_rows_from_axes_are_those_made_one_by_one(spec):
    made, listed = rows_of([(spec, "as tuned")]), ListedRows(merge_rows(report_rows(spec, {}, protocol="as tuned")))
    assert made is not None and len(made) == len(listed)
    assert list(made) == list(listed) and made[-1] == listed[-1]
    assert [row.first.trial.key for row in made] == [row.first.trial.key for row in listed]
    for column in ("lengths", "seeds"):
        assert np.array_equal(getattr(made, column), getattr(listed, column))
    for ours, theirs in zip(made.keys(), listed.keys(), strict=True):
        assert np.array_equal(ours, theirs)


def test_words_from_axes_are_those_of_the_rows(spec):
    made, listed = rows_of([(spec, "")]), ListedRows(merge_rows(report_rows(spec, {})))
    assert made is not None
    labels = Labels(row.first.row for row in listed)
    told, theirs = (Labels(row.first.row for row in rows.kinds()) for rows in (made, listed))
    assert vars(told) == vars(theirs)
    for (name, (words, of_row)), (other, (all_words, _)) in zip(
        made.words(labels).items(), listed.words(labels).items(), strict=True
    ):
        assert name == other and [words[i] for i in of_row] == all_words


@pytest.mark.parametrize(
    "words",
    [
        {"methods": ["ERM", "ERM"]},
        {"methods": "ERM", "tune": {"trials": 4, "parameters": ["training.lr"]}},
    ],
)
def test_rows_that_are_no_axes_are_made(words):
    assert rows_of([(parse({"name": "t", "data": {"name": "cifar10", "imbalance_factor": 10}} | words), "")]) is None


def test_rows_of_two_plans_are_made():
    one = parse({"name": "t"} | SPECS["one row"])
    assert rows_of([(one, ""), (one, "")]) is None
