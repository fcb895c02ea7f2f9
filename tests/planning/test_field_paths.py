"""What is wrong in a spec is said of the field in which it stands."""

from __future__ import annotations

from typing import Any

import pytest

from tailboard import UserError
from tailboard.harness.planning.request import RunRequest, check_names
from tailboard.harness.spec.parser import parse

RAW: dict[str, Any] = {"name": "t", "data": "fashion-mnist-mini", "methods": ["ERM"], "network": "small", "seeds": 1}
START = {"data": {"name": "fashion-mnist-mini", "imbalance_factor": 1}, "method": "ERM", "training": {"epochs": 1}}
FOCAL = {"name": "Focal Loss"}


def started(**changes: Any) -> dict[str, Any]:
    return {"network": {"name": "small", "weights": START | changes}}


WRONG = {
    "method": ({"methods": ["ERM", "M2n"]}, "methods: unknown method 'M2n'; did you mean 'M2m'?"),
    "sum": ({"methods": "ERM + Reweigting"}, "methods: unknown method 'Reweigting'; did you mean 'Reweighting'?"),
    "value": (
        {"methods": FOCAL | {"values": {"loss.gama": 1}}},
        "methods: Focal Loss: unknown value 'loss.gama'; did you mean 'loss.gamma'?",
    ),
    "kind of value": (
        {"methods": FOCAL | {"values": {"loss.gamma": "x"}}},
        "methods: Focal Loss: Focal: gamma must be a number, not 'x'",
    ),
    "slot": ({"methods": "LDAM-DRW + Reweighting"}, "methods: "),
    "data set": ({"data": "cifar11"}, "data: unknown data set 'cifar11'; did you mean 'cifar10'?"),
    "tuned on": ({"data": "cifar11", "tune": {"trials": 4}}, "data: unknown data set 'cifar11'; did you mean"),
    "class": (
        {"data": {"name": "cifar10", "classes": ["kat", "dog"]}},
        "data.classes: cifar10 has no class 'kat'; did you mean 'cat'?",
    ),
    "long tail": ({"data": {"name": "cifar10", "imbalance_factor": 1e5}}, "data: cifar10, imbalance factor 100000: "),
    "folder": ({"data": "folder:/gone"}, "data: "),
    "network": ({"network": "resnet33"}, "network: unknown network 'resnet33'; did you mean 'resnet"),
    "depth": ({"network": "wrn-27-10"}, "network: wrn-27-10: the depth must be 6n + 4"),
    "estimator's value": (
        {"data": "adult", "network": {"name": "xgboost", "values": {"max_dept": 6}}},
        "network.values: xgboost has no 'max_dept'; did you mean 'max_depth'?",
    ),
    "preset": ({"training": {"preset": "t6"}}, "training.preset: unknown 't6'; did you mean 't5'?"),
    "metric": (
        {"tune": {"trials": 4, "metric": "val/macro_f2"}},
        "tune.metric: no trial reports 'val/macro_f2'; did you mean 'val/macro_f1'?",
    ),
    "parameter": (
        {"methods": FOCAL, "tune": {"trials": 4, "parameters": {"loss.gama": [1, 2]}}},
        "tune.parameters",
    ),
    "data to start from": (
        started(data="cifar11"),
        "network.weights.data: unknown data set 'cifar11'; did you mean 'cifar10'?",
    ),
    "tail to start from": (
        started(data={"name": "fashion-mnist-mini", "imbalance_factor": 0.5}),
        "network.weights.data.imbalance_factor: should be greater than or equal to 1, not 0.5",
    ),
    "method to start from": (
        started(method="EMR"),
        "network.weights.method: unknown method 'EMR'; did you mean 'ERM'?",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_a_message_begins_with_the_path_of_its_field(changes, message):
    with pytest.raises(UserError) as caught:
        request = RunRequest.of(parse(RAW | changes))
        check_names([*request.plan.trials, *request.plan.default_trials], request.spec.plugins)
    assert str(caught.value).startswith(message)
