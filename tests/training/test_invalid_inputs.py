"""Faults that a reader found, each with its test: methods that cheat or return nonsense, and specs that nearly work."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import torch

from small_spec import SMALL
from tailboard.harness.errors import SpecError, StoreError
from tailboard.harness.planning.request import check_names
from tailboard.harness.registry.methods import recipe_of
from tailboard.harness.spec.parser import parse, read
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.testing.conformance import verdicts
from tailboard.harness.testing.dry_run import dry_run
from tailboard.harness.training.job import Job
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.methods.losses.focal import Focal
from tailboard.methods.part import MethodError, Part, hyper
from tailboard.methods.plugin import load_plugin, plugin_file
from tailboard.methods.range import Range
from tailboard.methods.recipe import Entry, Recipe, register, registrations
from tailboard.methods.registry import recipe

RAW = SMALL | {"name": "faults", "training": {"epochs": 1, "batch_size": 32}}
KNOWS_THE_ANSWERS = """
import torch
from tailboard.methods.recipe import Part, Recipe, register
class Oracle(Part):
    def build(self, scene):
        def finish(logits):
            from tailboard.datasets.catalog import catalog
            y = catalog()["fashion-mnist-mini"].load(None, True).test.y[: len(logits)]
            return torch.nn.functional.one_hot(torch.tensor(y), 10).float()
        return finish
register("Planted", Recipe(finish=Oracle()))
"""


@pytest.mark.slow
def test_a_method_that_loads_the_answers_when_it_is_scored_fails(tmp_path):
    spec = with_plugin(parse(RAW), KNOWS_THE_ANSWERS, ["Planted"])
    record = run_trial(Job.of(plan(spec)[-1]), TrialContext(store=str(tmp_path), plugins=spec.plugins))
    assert record.status == "failed" and record.reason.startswith("TestSetLocked")
    failed = {v.check for v in verdicts(load_plugin(KNOWS_THE_ANSWERS)["Planted"], False) if v.outcome == "fail"}
    assert "never asks for the test set" in failed


class Centred(Part):
    """Looks at the other test images."""

    def build(self, scene):
        return lambda logits: logits - logits.mean(dim=0)


def test_a_method_whose_score_depends_on_the_other_images_does_not_conform():
    entry = Entry("planted", Recipe(finish=Centred()), "", "", 1.0)
    assert "scores each image by itself" in {v.check for v in verdicts(entry, False) if v.outcome == "fail"}


class Returns(Part):
    def __init__(self, what):
        object.__setattr__(self, "what", what)

    def build(self, scene):
        return self.what


@pytest.mark.parametrize(
    ("slot", "what", "words"),
    [
        ("loss", lambda logits, y, epsilon: logits.mean(), "one number a sample"),
        ("loss", lambda logits, y, epsilon: logits.mean(dim=1, keepdim=True), "one number a sample"),
        ("sampler", lambda labels, epoch: torch.arange(7), "45 indices, not 7"),
    ],
)
def test_what_has_the_wrong_shape_is_refused_before_it_trains_something_else(slot, what, words):
    with pytest.raises(MethodError, match=words):
        next(dry_run(Recipe(**{slot: Returns(what)})).epochs())


def lowers(logits, y, epsilon):
    logits[torch.arange(len(y)), y] -= 0.5
    return logits.logsumexp(1)


def relabels(logits, y, epsilon):
    y[:2] = 0
    return logits.logsumexp(1)


@pytest.mark.parametrize(("loss", "cutmix"), [(lowers, 1.0), (relabels, 0.0)])
def test_a_loss_that_changes_what_others_read_is_refused(loss, cutmix):
    with pytest.raises(MethodError, match="leave the logits and labels that it is given as they are"):
        next(dry_run(Recipe(loss=Returns(loss)), cutmix=cutmix).epochs())
    entry = Entry("planted", Recipe(loss=Returns(lowers)), "", "", 1.0)
    assert "works with cutmix" in {v.check for v in verdicts(entry, False) if v.outcome == "fail"}


def test_a_sampler_that_sorts_its_labels_sorts_a_copy():
    def drawn(labels, epoch):
        labels[:] = labels.sort().values
        labels.numpy()[:5] = 0
        return torch.arange(len(labels))

    run = dry_run(Recipe(sampler=Returns(drawn)))
    before = run.material.y.clone()
    next(run.epochs())
    assert torch.equal(run.material.y, before) and len(before.unique()) == 4


class Undecorated(Part):
    share: float = hyper(0.5, "our choice")


@dataclass(frozen=True)
class Conditional(Part):
    condition: str = hyper("uniform", "our choice")


@dataclass(frozen=True)
class Typed(Part):
    fusable: bool = True


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Focal, r"loss: Focal is a class, and a part of it is expected: Focal\(\)"),
        (torch.nn.functional.cross_entropy, "loss: a Part is expected, whose build"),
        (Undecorated(), r"loss: Undecorated.share is no value yet: write @dataclass\(frozen=True\) above the class"),
        (Conditional(), "loss: a hyperparameter of Conditional cannot be called 'condition'"),
        (Typed(), r"loss: Typed.fusable is no hyperparameter.*; write fusable = \.\.\. without a type"),
    ],
)
def test_what_is_no_part_is_said_where_the_recipe_is_written(part, words):
    with pytest.raises(MethodError, match=words):
        Recipe(loss=part)


@pytest.mark.parametrize("search", [(0.1, 1.0), Range(1.0, 0.1), Range(0.0, 1.0, log=True)])
def test_what_is_no_range_is_said_where_it_is_written(search):
    with pytest.raises(MethodError, match="hyper: "):
        hyper(0.5, "our choice", search)


@pytest.mark.parametrize("words", [{"cost": "2"}, {"cost": 0}, {"cost": float("nan")}, {"description": None}])
def test_what_cannot_be_said_of_a_method_is_refused(words):
    with registrations(), pytest.raises(MethodError, match=r"^Mine: (cost is|description and source are texts)"):
        register("Mine", Recipe(), **words)


@pytest.mark.parametrize("exhausted", [torch.OutOfMemoryError("no memory"), MemoryError(), OSError(28, "full")])
def test_what_the_machine_lacks_is_not_the_method_s_fault(tmp_path, monkeypatch, exhausted):
    def fail(*_):
        raise exhausted

    monkeypatch.setattr("tailboard.harness.training.loop.TrainingLoop._epoch", fail)
    with pytest.raises(type(exhausted)):
        run_trial(Job.of(plan(parse(RAW))[0]), TrialContext(store=str(tmp_path)))
    assert not Store(tmp_path).finished()


def test_a_library_s_own_random_numbers_are_the_trial_s():
    class Noisy(Part):
        def build(self, scene):
            return lambda logits, y, epsilon: logits.logsumexp(1) * (1 + 0.1 * torch.rand(len(y)))

    losses = []
    for disturbance in (1, 2):
        torch.manual_seed(disturbance)
        losses.append(next(dry_run(Recipe(loss=Noisy())).epochs())["loss"])
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("method", "values", "words"),
    [
        ("Focal Loss", {"loss.gamma": "x"}, "gamma must be a number, not 'x'"),
        ("Focal Loss", {"loss.gamma": True}, "gamma must be a number"),
        ("M2m", {"mixer.steps": 2.5}, "steps must be a whole number"),
        ("Reweighting", {"weights.scheme": 3}, "scheme must be a word"),
    ],
)
def test_a_value_of_another_kind_is_refused(method, values, words):
    with pytest.raises(MethodError, match=words):
        recipe(method).tuned(values)


def test_names_with_commas_between_them_are_a_list():
    with pytest.raises(MethodError, match=r"'ERM, M2m' is no method but 2: write a list, \[ERM, M2m\]"):
        recipe("ERM, M2m")


def test_whole_numbers_stand_for_numbers():
    assert recipe("Focal Loss").tuned({"loss.gamma": 2}).values()["loss.gamma"] == 2
    assert recipe("M2m").tuned({"mixer.steps": 2.0}).values()["mixer.steps"] == 2


def test_parts_that_clash_only_when_they_are_built_are_refused_by_the_plan():
    with pytest.raises(MethodError, match="tau-normalisation"):
        check_names(plan(parse(RAW | {"methods": "LDAM-DRW + tau-normalisation"})), {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: a\nseeds: 1\nseeds: 3\n", "'seeds' stands twice"),
        ("name: " + "[" * 3000, "nested too deeply"),
        ("name: a\ndata: cifar10\nmethods: ERM\nnetwork:\n", "network: nothing is said"),
        ("name: a\ndata: cifar10\nmethods: ERM\nseeds: 200000000\n", "seeds"),
    ],
)
def test_a_spec_that_nearly_works_is_one_message(tmp_path, text, words):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(SpecError, match=words):
        read(tmp_path / "t.yaml")


def test_a_number_with_an_exponent_is_a_number(tmp_path):
    (tmp_path / "t.yaml").write_text(
        "name: a\ndata: {name: cifar10, train_ratio: 1e-2}\n"
        "methods: {name: SAM, values: {step.rho: 1e-3}}\ntraining: {lr: 1E-1}\n"
    )
    trial = plan(read(tmp_path / "t.yaml"))[0]
    assert trial.data.imbalance_factor == 100 and trial.method.values["step.rho"] == 1e-3 and trial.training.lr == 0.1


@pytest.mark.parametrize(
    "text", ["import sys; sys.exit(0)", "from tailboard.methods.recipe import register\nregister(5, 3)"]
)
def test_a_plugin_that_leaves_or_registers_nonsense_is_one_message(text):
    with pytest.raises(MethodError, match="the plugin fails"):
        load_plugin(text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("erm", "the plugin's method 'erm' reads like ERM, which is another"),
        ("ERM\u200b", "reads like ERM"),
        ("\uff33\uff21\uff2d", "reads like SAM"),
        ("Focal Loss (loss.gamma=2)", r"'Focal Loss \(loss.gamma=2\)' reads like Focal Loss"),
        ("SAM + M2m", r"reads like SAM \+ M2m"),
        ("ERM" + "\u200b" * 501, "reads like ERM"),
        ("ERM\ufe0f", "reads like ERM"),
        ("ERM\u2800", "reads like ERM"),
        ("SAM\uff0bM2m", r"reads like SAM \+ M2m"),
        ("ERM \uff08loss.gamma=2\uff09", "reads like ERM"),
        ("Focal Loss (loss.gamma=2,\n x=1)", "reads like Focal Loss"),
        (f"ERM (a={'1' * 600})", "reads like ERM"),
        (" Mine", "a name that neither is empty nor has blanks around it, not ' Mine'"),
        ("", "neither is empty"),
    ],
)
def test_a_plugin_s_method_is_not_called_like_another(name, words):
    text = f"from tailboard.methods.recipe import Recipe, register\nregister({name!r}, Recipe())"
    with pytest.raises(MethodError, match=words):
        load_plugin(text)
    assert load_plugin(text.replace(repr(name), repr("Focal Loss (mine)")))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import os\ndef f(:\n", "line 2: SyntaxError: invalid syntax"),
        (
            "import helpers_of_mine\n",
            "line 1: ModuleNotFoundError: No module named 'helpers_of_mine'; a plugin is one file, whose text alone is "
            "kept and sent: it imports what is installed",
        ),
        ("import os\n\nos.nothing()\n", "line 3: AttributeError: module 'os' has no attribute 'nothing'"),
    ],
)
def test_what_is_wrong_in_a_plugin_s_file_is_told_with_file_and_line(tmp_path, text, words):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(MethodError) as caught:
        plugin_file(tmp_path / "mine.py")
    assert str(caught.value) == f"{tmp_path / 'mine.py'}: the plugin fails: {words}"
    spec = {"name": "a", "data": "cifar10", "methods": {"name": "Mine", "plugin": "mine.py"}}
    asked = parse(spec, tmp_path)
    with pytest.raises(MethodError, match=f"^Mine: the plugin fails: {re.escape(words)}$"):
        recipe_of(plan(asked)[0], asked.plugins)


@pytest.mark.parametrize(
    "change", [{"accuracy": {"last_ema": [250.0] * 10}}, {"counts": [0] * 10}, {"train_seconds": -1}]
)
def test_a_record_that_cannot_be_is_damaged(tmp_path, change):
    import json

    trial = plan(parse(RAW))[0]
    run_trial(Job.of(trial), TrialContext(store=str(tmp_path)))
    path = tmp_path / "records" / f"{trial.key}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoreError, match="damaged"):
        Store(tmp_path).result(trial.key)


def test_two_tails_that_look_alike_have_two_names(tmp_path):
    from tailboard.harness.spec.labels import setting_label

    data = parse(RAW | {"data": {"name": "cifar10", "imbalance_factor": [10, 10.000001]}}).data
    assert [setting_label(d) for d in data] == ["IF 10", "IF 10.000001"]
