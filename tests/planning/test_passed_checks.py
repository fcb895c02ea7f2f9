"""A method that passed its check before is not built again, unless what failed is to be tried again."""

from __future__ import annotations

import pytest

from tailboard.harness.planning import passed_checks
from tailboard.harness.planning.request import check_names
from tailboard.harness.registry import remembered
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.methods.part import MethodError

RAW = {"name": "t", "data": "fashion-mnist-mini", "network": "small", "training": {"epochs": 2}, "seeds": 1}
CLASH = "LDAM-DRW + tau-normalisation"
PLUGIN = """
from tailboard.methods.losses import Focal
from tailboard.methods.recipe import Recipe, register
register("Mine", Recipe(loss=Focal(gamma=2.0)))
"""


@pytest.fixture(autouse=True)
def checked(tmp_path, monkeypatch) -> list[str]:
    """The names of the methods that are built, in order; nothing is remembered at first."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    names, check = [], passed_checks.check_methods

    def noted(trials, plugins):
        names.extend(trial.method.name for trial in trials)
        check(trials, plugins)

    monkeypatch.setattr(passed_checks, "check_methods", noted)
    return names


def planned(*methods: str, **words) -> None:
    check_names(plan(parse(RAW | words | {"methods": list(methods)})), {}, anew=False)


def test_a_method_that_passed_is_not_built_again_until_the_code_or_its_values_are_others(checked, monkeypatch):
    planned("ERM", "Focal Loss")
    planned("Focal Loss", "ERM", "SAM", training={"epochs": 3})
    assert checked == ["ERM", "Focal Loss", "SAM"]
    check_names(plan(parse(RAW | {"methods": {"name": "Focal Loss", "values": {"loss.gamma": 2}}})), {}, anew=False)
    assert checked[3:] == ["Focal Loss"]
    monkeypatch.setattr(remembered, "code", lambda: "0" * 64)
    planned("ERM")
    assert checked[4:] == ["ERM"]


def test_an_estimator_is_another_check_than_a_network(checked):
    for _ in range(2):
        planned("ERM", data="adult", network=["logistic_regression", "mlp"], training={})
    assert checked == ["ERM", "ERM"]


def test_what_does_not_pass_is_remembered_by_none(checked):
    for _ in range(2):
        with pytest.raises(MethodError, match="tau-normalisation"):
            planned("ERM", CLASH)
    assert checked == ["ERM", CLASH] * 2


def test_who_tries_again_asks_nothing_of_what_is_remembered(monkeypatch):
    with monkeypatch.context() as passing:
        passing.setattr(passed_checks, "check_methods", lambda trials, plugins: None)
        planned(CLASH)
    planned(CLASH)  # as a forged or stale file has it
    with pytest.raises(MethodError, match="tau-normalisation"):
        check_names(plan(parse(RAW | {"methods": CLASH})), {})


def test_a_plugin_is_built_each_time(checked, tmp_path):
    (tmp_path / "mine.py").write_text(PLUGIN)
    spec = parse(RAW | {"methods": [{"name": "Mine", "plugin": "mine.py"}]}, tmp_path)
    for _ in range(2):
        check_names(plan(spec), spec.plugins, anew=False)
    assert checked == ["Mine", "Mine"]


@pytest.mark.parametrize("text", [b"", b"\xff\x00", b"a" * (2**20 + 1)], ids=["nothing", "no text", "too much"])
def test_a_file_that_cannot_be_read_is_made_anew(checked, text):
    place = remembered._file("passed")
    place.parent.mkdir(parents=True)
    place.write_bytes(text)
    planned("ERM")
    planned("ERM")
    assert checked == ["ERM"]


def test_where_nothing_can_be_kept_each_plan_checks(checked, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    planned("ERM")
    planned("ERM")
    assert checked == ["ERM", "ERM"]
