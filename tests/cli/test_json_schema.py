"""The schema for editors takes what the parser takes, and marks what it refuses."""

import json

import jsonschema
import pytest

from tailboard.harness.cli.descriptions.json_schema import json_schema
from tailboard.harness.cli.descriptions.template import commented_spec
from tailboard.harness.spec.parser import shipped
from tailboard.harness.spec.yaml_format import load

RAW = {"name": "t", "data": "cifar10", "methods": "ERM"}
VALIDATOR = jsonschema.Draft202012Validator(json_schema())


def test_it_is_a_schema():
    VALIDATOR.check_schema(VALIDATOR.schema)


@pytest.mark.parametrize("name", shipped())
def test_shipped_specs_hold(name):
    VALIDATOR.validate(load(shipped()[name].read_text()))


@pytest.mark.parametrize(
    "changes",
    [
        {"data": [{"name": "cifar10", "imbalance_factor": [10, 100]}, "cifar100"]},
        {"data": {"name": "csv:x.csv", "label": "kind"}},
        {"methods": [{"name": "Focal Loss", "values": {"loss.gamma": [1, 2]}, "training": {"lr": 0.2}}, "SAM"]},
        {"network": ["small", {"name": "resnet32", "weights": "x.safetensors"}]},
        {"training": [{"preset": ["t5", "ldam2019"], "lr": [0.1, 0.2]}, {"epochs": 3}]},
        {"network": {"name": "xgboost", "values": {"max_depth": [4, 6]}}, "training": {"preset": "tables"}},
        {"network": [{"estimator": "sklearn.neighbors:KNeighborsClassifier", "values": {"weights": "x"}}, "xgboost"]},
        {"network": {"name": "small", "weights": {"data": "cifar10", "method": "ERM", "training": {"epochs": 2}}}},
        {"seeds": [1, 5], "resources": {"gpu": 0.5}, "tracking": {"uri": "http://h"}, "shots": {"few": 10}},
        {
            "tune": {
                "trials": 4,
                "parameters": ["gamma", {"name": "rho", "low": 0.1, "high": 1}],
                "training": {"epochs": 2},
            }
        },
        load(commented_spec("f", "t", "folder:x", ["ERM"])),
    ],
)
def test_what_a_spec_may_say_holds(changes):
    VALIDATOR.validate(RAW | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"sedes": 3}, {"training": {"epoch": 3}}, {"training": {"epochs": "x"}}, {"training": {"preset": "t6"}},
        {"data": {"imbalance_factor": 10}}, {"seeds": "x"}, {"name": ""}, {"resources": {"gpus": 1}},
        {"tune": {"prune": True}}, {"network": {"name": "small", "weight": "x"}}, {"methods": [{"values": {}}]},
        {"data": {"name": "cifar10", "contents": {}}}, {"network": {"values": {"depth": 2}}},
        {"network": {"name": "svm", "estimator": "a.b:C"}}, {"network": {"estimator": "a.b"}},
        {"network": {"name": "small", "weights": {"data": "cifar10"}}}, {"training": {"kind": "images"}},
        {"network": {"name": "small", "weights": {"data": {"name": ["cifar10", "cifar100"]}, "method": "ERM"}}},
    ],
)  # fmt: skip
def test_a_mistake_does_not(changes):
    assert not VALIDATOR.is_valid(RAW | changes)


def test_the_command_prints_it(tailboard):
    code, out, err = tailboard("schema")
    assert (code, err) == (0, "") and json.loads(out) == json.loads(json.dumps(json_schema()))
