"""Changes on the command line: a changed spec is a plan of its own."""

import json
from pathlib import Path

import pytest

from tailboard.harness.errors import SpecError
from tailboard.harness.spec.changes import SpecChanges
from tailboard.harness.spec.parser import parse, read
from tailboard.harness.spec.schema import plan

RAW = {
    "name": "t",
    "data": ["fashion-mnist-mini", {"name": "cifar10", "imbalance_factor": 100}],
    "methods": ["ERM", {"name": "Focal Loss", "values": {"loss.gamma": 2}}, "SAM"],
    "training": [{"epochs": 3}, {"epochs": 5, "lr": 0.2}],
}


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"fields": ["training.epochs=60"]}, "training", [{"epochs": 60}, {"epochs": 60, "lr": 0.2}]),
        ({"fields": ["data.imbalance_factor=[10, 50]"]}, "data", [
            {"name": "fashion-mnist-mini", "imbalance_factor": [10, 50]},
            {"name": "cifar10", "imbalance_factor": [10, 50]}]),
        ({"fields": ["tune.trials=8", "tune.prune=false"]}, "tune", {"trials": 8, "prune": False}),
        ({"fields": ["training={lr: 1e-3}"]}, "training", {"lr": 1e-3}),
        ({"methods": "Focal Loss, M2m"}, "methods", [RAW["methods"][1], "M2m"]),
        ({"seeds": 3}, "seeds", 3),
        ({"network": "small"}, "network", "small"),
    ],
)  # fmt: skip
def test_a_field_is_changed_wherever_it_stands(changes, field, value):
    changed = SpecChanges(**changes).applied(RAW)
    assert changed[field] == value and changed["name"].startswith("t-")
    assert {k: v for k, v in changed.items() if k not in (field, "name")} == {
        k: v for k, v in RAW.items() if k not in (field, "name")
    }
    assert parse(changed).name == changed["name"]


def test_each_change_is_a_plan_of_its_own_and_the_same_change_the_same_one():
    names = {SpecChanges(fields=[f"training.epochs={epochs}"]).applied(RAW)["name"] for epochs in (1, 2, "[1, 2]")}
    assert len(names) == 3
    assert SpecChanges(seeds=3).applied(RAW) == SpecChanges(fields=["seeds=3"]).applied(RAW)
    assert SpecChanges(seeds=3, name="mine").applied(RAW)["name"] == "mine"
    assert len(SpecChanges(methods=", ".join(["ERM"] * 90)).applied(RAW)["name"]) <= 100


@pytest.mark.parametrize("changes", [{}, {"fields": ["resources.gpu=0.5"]}, {"methods": "ERM, Focal Loss, SAM"}])
def test_what_compares_the_same_keeps_its_name(changes):
    assert SpecChanges(**changes).applied(RAW)["name"] == "t"


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("training.epochs", "FIELD=VALUE is expected"),
        ("=3", "FIELD=VALUE is expected"),
        ("training..epochs=3", "FIELD=VALUE is expected"),
        ("training.epochs=[", "--set training.epochs="),
        ("name.first=x", "unknown|name"),
        ("seeds.first=3", "there is no field 'first' in 5"),
        ("training.epoch=3", "did you mean 'epochs'"),
    ],
)
def test_a_wrong_change_is_one_line(field, words):
    with pytest.raises(SpecError, match=words) as caught:
        parse(SpecChanges(fields=[field]).applied(RAW | {"seeds": 5}))
    assert "\n" not in str(caught.value)


def test_the_command_says_how_the_changed_spec_is_called(tailboard, tmp_path):
    code, out, err = tailboard(
        "plan", "quickstart", "--set", "training.epochs=60", "--seeds", 3, "--methods", "ERM, M2m", "--json"
    )
    assert (code, err) == (0, "") and {trial["training"]["epochs"] for trial in json.loads(out)} == {60}
    code, out, err = tailboard("run", "quickstart", "--set", "training.epoch=60")
    assert code == 1 and "'epochs'" in err and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("words", [("--name", "x", "--data", "folder:y"), ("quickstart", "--minutes", 3)])
def test_an_option_that_does_nothing_is_refused(tailboard, words):
    code, _, err = tailboard("run", *words)
    assert code == 1 and "only with" in err


@pytest.mark.parametrize("words", [(), ("mine.yaml", "--methods", "ERM, SAM-A + M2m", "--data", "cifar10")])
def test_a_spec_to_begin_with_can_be_planned(tailboard, tmp_path, words):
    assert tailboard("init", *words)[0] == 0
    file = tmp_path / (words[0] if words else "tailboard.yaml")
    spec = read(file)
    assert spec.name == file.stem and len(plan(spec)) == 5 * len(spec.methods)
    assert tailboard("plan", file)[0] == 0
    before = file.read_bytes()
    code, _, err = tailboard("init", *words)
    assert code == 1 and "is there already" in err and file.read_bytes() == before


@pytest.mark.parametrize("words", [("--methods", "EMR"), ("--data", "cifar11"), ("--data", "folder:gone")])
def test_a_wrong_word_writes_no_spec(tailboard, tmp_path, words):
    code, _, err = tailboard("init", *words)
    assert code == 1 and len(err.splitlines()) == 1 and not list(Path(tmp_path).glob("*.yaml"))


def test_a_shipped_spec_is_printed_by_its_name(tailboard):
    code, out, _ = tailboard("list", "specs", "quickstart")
    assert code == 0 and "name: quickstart" in out and out.startswith("# ")
    assert "'quickstart'" in tailboard("list", "specs", "quikstart")[2]


def test_the_version_is_printed(tailboard):
    code, out, _ = tailboard("--version")
    assert code == 0 and out.startswith("tailboard 0.")
