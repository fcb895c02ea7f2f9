"""Entries that are one method in other words are trained and shown once; keys that exist stay."""

from __future__ import annotations

import json
import sys

import pytest

import tailboard
from tailboard.harness.cli import app
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.planning.same_methods import distinct_methods
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan

RAW = {"name": "t", "data": "fashion-mnist-mini", "network": "small", "training": {"epochs": 2}, "seeds": 2}


def kept(*methods, **words) -> tuple[list[str], list[str]]:
    spec, remarks = distinct_methods(parse(RAW | words | {"methods": list(methods)}))
    return [entry.name for entry in spec.methods], remarks


@pytest.mark.parametrize(
    ("methods", "names"),
    [
        (["SAM + Focal Loss", "Focal Loss + SAM", "Focal Loss+SAM"], ["SAM + Focal Loss"]),
        (["Focal Loss", {"name": "Focal Loss", "values": {"loss.gamma": 1.0}}], ["Focal Loss"]),
        (["ERM", {"name": "ERM", "training": {"lr": 0.1}}], ["ERM"]),
        (["ERM", "ERM"], ["ERM"]),
        (["Focal Loss", {"name": "Focal Loss", "values": {"loss.gamma": 2.0}}], ["Focal Loss"] * 2),
        (["ERM", {"name": "ERM", "training": {"lr": 0.2}}], ["ERM"] * 2),
        (["SAM", "SAM-A", "Resampling", "Reweighting"], ["SAM", "SAM-A", "Resampling", "Reweighting"]),
    ],
)
def test_one_method_in_other_words_is_kept_once_under_the_first(methods, names):
    assert kept(*methods)[0] == names


def test_what_is_left_out_is_said():
    assert kept("SAM + Focal Loss", "Focal Loss + SAM")[1] == [
        "Focal Loss + SAM is the same method as SAM + Focal Loss: it is trained and shown once"
    ]
    assert kept("ERM", "ERM")[1] == []


def test_a_value_that_is_given_is_not_searched_so_that_it_tells_methods_apart():
    methods = ["Focal Loss", {"name": "Focal Loss", "values": {"loss.gamma": 1.0}}]
    assert kept(*methods, tune={"trials": 4, "parameters": "all"})[0] == ["Focal Loss"] * 2


def test_a_routine_that_differs_under_one_training_only_tells_methods_apart():
    methods = ["ERM", {"name": "ERM", "training": {"lr": 0.1}}]
    assert len(kept(*methods, training={"epochs": 2, "lr": [0.1, 0.2]})[0]) == 2


def test_the_keys_are_those_of_the_first_words(tmp_path, monkeypatch, capsys):
    raw = RAW | {"methods": ["SAM + Focal Loss", "Focal Loss + SAM"]}
    keys = [trial.key for trial in plan(parse(RAW | {"methods": "SAM + Focal Loss"}))]
    assert [trial.key for trial in tailboard.plan(raw)] == keys
    assert [trial.key for trial in RunRequest.of(parse(raw)).plan.trials] == keys
    (tmp_path / "t.yaml").write_text(json.dumps(raw))
    monkeypatch.setattr(sys, "argv", ["tailboard", "plan", str(tmp_path / "t.yaml")])
    with pytest.raises(SystemExit) as ended:
        app.main()
    out = capsys.readouterr().out
    assert not ended.value.code and "2 trials" in out and "Focal Loss + SAM is the same method" in out
