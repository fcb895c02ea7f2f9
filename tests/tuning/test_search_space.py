"""What is searched, and what is asked for and is not there."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from typing import Any

import pytest

from search_lab import RAW, Lab, bumpy, next_of, spec_of
from tailboard.datasets.catalog import DataError
from tailboard.harness.cli import app
from tailboard.harness.errors import SpecError
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.planning.reported import reported_trials
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.reporting.reported_store import within
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.spec.parser import parse, read
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.harness.tuning.configuration import Configuration
from tailboard.harness.tuning.dimension import Dimension, at_least
from tailboard.harness.tuning.search import searches
from tailboard.methods.range import Range

# What is searched


def space_of(method: Any, *parameters: Any, **changes: Any) -> dict[str, str]:
    (search,) = searches(spec_of({"parameters": list(parameters)}, methods=[method], **changes)).values()
    return {name: str(dimension.range) for name, dimension in search.space.items()}


SUM = "Joint-SSL + SAM-A + M2m"


@pytest.mark.parametrize(
    ("method", "parameters", "expected"),
    [
        ("SAM-A", ["rho"], {"step.rho": "[0.01, 1] log"}),
        (SUM, ["lambda"], {"extra.lambda": "[1, 200] log", "mixer.lambda": "[0.01, 1] log"}),
        (SUM, ["mixer.lambda"], {"mixer.lambda": "[0.01, 1] log"}),
        ("SAM-A", ["all"], {"step.rho": "[0.01, 1] log", "step.power": "[0.25, 1]"}),
        ("SAM-A", [{"name": "rho", "low": 0.02, "high": 0.5}], {"step.rho": "[0.02, 0.5]"}),
        ("SAM-A", [{"name": "step.rho", "low": 0.02, "high": 0.5, "log": True}], {"step.rho": "[0.02, 0.5] log"}),
        ("SAM-A", ["all", {"name": "rho", "choices": [0.05, 1]}], {"step.rho": "{0.05, 1}", "step.power": "[0.25, 1]"}),
        ("SAM-A", [{"name": "rho", "choices": [0.05, 1]}, "all"], {"step.rho": "{0.05, 1}", "step.power": "[0.25, 1]"}),
        (
            "ERM",
            ["lr", "weight_decay", "batch_size"],
            {"training.lr": "[0.01, 0.3] log", "training.weight_decay": "[0.0001, 0.005] log",
             "training.batch_size": "{32, 64, 128, 256}"},
        ),
        ("ERM", [{"name": "momentum", "low": 0.5, "high": 0.99}], {"training.momentum": "[0.5, 0.99]"}),
        ({"name": "SAM-A", "values": {"step.rho": 0.2}}, ["all"], {"step.power": "[0.25, 1]"}),
        ({"name": "SAM-A", "training": {"lr": 0.05}}, ["all", "weight_decay"],
         {"step.rho": "[0.01, 1] log", "step.power": "[0.25, 1]", "training.weight_decay": "[0.0001, 0.005] log"}),
    ],
)  # fmt: skip
def test_what_is_searched(method, parameters, expected):
    assert space_of(method, *parameters) == expected


def test_what_the_proxy_routine_fixes_is_not_searched():
    """It would be tried at the proxy's value and reported at another."""
    for words in ("lr", ["rho", "lr"]):
        with pytest.raises(SpecError, match="'lr': no method of this spec leaves it open to search"):
            searches(spec_of({"parameters": words, "training": {"lr": 0.05}}))


def test_a_range_of_ones_own_holds_wherever_it_stands():
    own = {"name": "step.rho", "low": 0.02, "high": 0.5}
    for words in (["rho", own], [own, "rho"], ["all", own, "rho"]):
        (search,) = searches(spec_of({"parameters": words})).values()
        assert search.space["step.rho"].range == Range(0.02, 0.5)


def test_true_is_no_learning_rate():
    with pytest.raises(SpecError, match="choices must be numbers"):
        searches(spec_of({"parameters": [{"name": "lr", "choices": [0.1, True]}]}))


def test_a_rung_beside_a_whole_record_leaves_its_arrays(tmp_path):
    """A trial that was trained to its end before is judged on the way once more; the record vouches for its arrays."""
    (trial,) = plan(parse(RAW | {"seeds": 1, "training": {"epochs": 2, "batch_size": 32}, "methods": "ERM"}))
    trial = trial.model_copy(update={"stage": "tune", "val_per_class": 10})
    store, setting = Store(tmp_path), TrialContext(str(tmp_path))
    record = run_trial(Job.of(trial), setting)
    (name, digest), *_ = record.files.items()
    rung = run_trial(Job(trial, 1), setting)
    assert (rung.status, rung.epochs, store.record(trial.key)) == ("pruned", 1, record)
    assert hashlib.sha256(store.read(name)).hexdigest() == digest


def test_a_network_that_others_start_from_rests_where_its_own_search_judges_it(tmp_path):
    """So it is trained once: each of its jobs goes on from the one before."""
    own_judge = {"name": "M2m", "values": {"mixer.judge": "same"}}  # ERM's own trial, not an independent one
    lab = Lab(tmp_path, spec_of({"trials": 4, "parameters": ["all", "lr"]}, methods=[own_judge, "ERM"]), bumpy)
    first = {t.key for s in searches(lab.spec).values() for t in s.prerequisites()}
    fill_queue(lab_agenda := JobQueue(lab.store), RunRequest(lab.spec), lab.memory, lab)
    untils = [job.target_epoch for job in iter(lambda: next_of(lab_agenda, lab, first), None)]
    assert untils == [2, 4, 8]


def test_a_method_without_any_is_not_searched_and_runs_at_its_own_values(tmp_path):
    lab = Lab(tmp_path, spec_of({"parameters": ["rho"]}, methods=["ERM", "SAM-A"]), bumpy)
    assert lab.drive(2)
    assert [one.search.experiment.entrant.name for one in lab.tuned()] == ["SAM-A"]
    shown = reported_trials(lab.spec, {one.search.experiment.canonical: one for one in lab.tuned()})
    untuned = {t.key for t in plan(lab.spec) if t.method.name == "ERM"}
    assert {one.trial.key for one in shown if one.row.method.name == "ERM"} == untuned <= lab.store.finished()


def test_the_defaults_final_trial_is_the_trial_of_the_untuned_row():
    spec = spec_of({"parameters": ["all", "lr"]}, methods=[SUM, "ERM"])
    plain = {trial.method.name: trial.key for trial in plan(parse(RAW | {"methods": [SUM, "ERM"], "seeds": 1}))}
    for search in searches(spec).values():
        defaults = Configuration(0, {name: dimension.default for name, dimension in search.space.items()})
        assert search.reporting_trial(defaults, 0).key == plain[search.experiment.entrant.name]
        other = replace(defaults, values=dict(defaults.values) | {"training.lr": 0.02})
        assert search.reporting_trial(other, 0).key != plain[search.experiment.entrant.name]
        assert search.reporting_trial(other, 0).training.lr == 0.02


def test_a_generator_has_the_routine_that_all_share_whatever_rate_was_found():
    own_judge = {"name": "M2m", "values": {"mixer.judge": "same"}}
    (search,) = searches(spec_of({"parameters": ["lr"]}, methods=[own_judge])).values()
    found = search.reporting_trial(Configuration(3, {"training.lr": 0.02}), 0)
    erm = next(t for t in resolve_dependencies([found], {}).trials if t.method.name == "ERM")
    assert (found.training.lr, erm.training.lr) == (0.02, plan(search.spec)[0].training.lr)
    assert erm.key == plan(parse(RAW | {"methods": ["ERM"]}))[0].key


def test_more_trials_go_on_with_the_same_study_and_another_range_is_another(tmp_path):
    lab = Lab(tmp_path, spec_of({"trials": 8}), bumpy)
    assert lab.drive(2)
    (eight,) = lab.studies().values()
    lab.spec = spec_of({"trials": 12})
    assert lab.drive(2)
    (twelve,) = lab.studies().values()
    assert twelve[:8] == eight and len(twelve) == 12
    fresh = Lab(tmp_path / "fresh", spec_of({"trials": 12}), bumpy)
    assert fresh.drive(2)
    assert fresh.studies() == lab.studies()
    for other in ({"parameters": [{"name": "rho", "low": 0.01, "high": 0.5}]}, {"sampler": "random"}, {"seeds": 2}):
        lab.spec = spec_of({"trials": 4} | other)
        studies = len(lab.studies())
        assert lab.drive(2)
        assert len(lab.studies()) == studies + 1


def test_without_pruning_trials_that_end_no_generation_can_be_raised_too(tmp_path):
    lab = Lab(tmp_path / "raised", spec_of({"trials": 6, "prune": False}), bumpy)
    assert lab.drive(2)
    lab.spec = spec_of({"trials": 8, "prune": False})
    assert lab.drive(2)
    fresh = Lab(tmp_path / "fresh", lab.spec, bumpy)
    assert fresh.drive(2)
    assert lab.only().configurations == fresh.only().configurations
    assert lab.only().winner == fresh.only().winner


def test_fits_are_never_stopped_early_and_so_any_number_of_them_can_be_asked_for():
    raw = {"name": "t", "data": {"name": "adult", "total": 5000}, "methods": "ERM", "network": "xgboost"}
    tune = {"trials": 2, "parameters": "network.max_depth"}
    (search,) = searches(parse(raw | {"tune": tune})).values()
    assert (search.tune.trials, search.planned_epochs) == (2, 2)
    assert within(parse(raw | {"tune": tune | {"trials": 8}}), 3).tune.trials == 3
    with pytest.raises(SpecError, match=r"^tune: with prune, trials are compared in generations of 4: take 4$"):
        parse(raw | {"network": ["xgboost", "mlp"], "tune": tune})


def test_a_methods_own_epochs_are_those_that_its_trials_are_judged_after(tmp_path):
    methods = [{"name": "SAM-A", "training": {"epochs": 4}}]
    lab = Lab(tmp_path, spec_of({"trials": 4}, methods=methods), lambda trial, until: 30.0 + until)
    assert lab.drive()
    found = lab.only()
    assert sorted(c.epochs for c in found.configurations) == [1, 1, 2, 4]
    assert found.winner.value == 34.0


# What is asked for and is not there

OTHER = {"name": "u", "data": {"name": "fashion-mnist-mini", "imbalance_factor": 1, "head": 300}}
MISTAKES = {
    "unknown parameter": ({"tune": {"parameters": ["rhp"]}}, ["tune.parameters", "'rhp'", "'rho'"]),
    "unknown dotted": ({"tune": {"parameters": ["step.roh"]}}, ["tune.parameters", "'step.roh'", "'step.rho'"]),
    "of another method": ({"tune": {"parameters": ["rho", "tau"]}}, ["tune.parameters", "no method", "'tau'"]),
    "of no chosen method": ({"methods": ["ERM"], "tune": {"parameters": ["lambda"]}}, ["tune.parameters", "'lambda'"]),
    "fixed everywhere": (
        {"methods": [{"name": "SAM-A", "values": {"step.rho": 0.1}}], "tune": {"parameters": ["rho"]}},
        ["tune.parameters", "'rho'", "fix"],
    ),
    "no parameters": ({"tune": {"parameters": []}}, ["tune.parameters"]),
    "no range declared": ({"tune": {"parameters": ["momentum"]}}, ["tune.parameters", "momentum", "range"]),
    "upside down": (
        {"tune": {"parameters": [{"name": "rho", "low": 0.5, "high": 0.1}]}}, ["tune.parameters", "rho", "0.5", "0.1"]
    ),
    "half a range": ({"tune": {"parameters": [{"name": "rho", "low": 0.5}]}}, ["tune.parameters", "rho", "high"]),
    "logarithm from 0": (
        {"tune": {"parameters": [{"name": "rho", "low": 0, "high": 0.1, "log": True}]}},
        ["tune.parameters", "rho", "above 0"],
    ),
    "one choice": ({"tune": {"parameters": [{"name": "rho", "choices": [0.05]}]}}, ["tune.parameters", "rho", "two"]),
    "range and choices": (
        {"tune": {"parameters": [{"name": "rho", "low": 0.1, "high": 1, "choices": [1, 2]}]}},
        ["tune.parameters", "rho", "not both"],
    ),
    "range for all": ({"tune": {"parameters": [{"name": "all", "low": 0.1, "high": 1}]}}, ["tune.parameters", "all"]),
    "defaults outside": (
        {"tune": {"parameters": [{"name": "rho", "low": 0.1, "high": 1}]}}, ["tune.parameters", "step.rho", "0.05"]
    ),
    "defaults no choice": (
        {"tune": {"parameters": [{"name": "rho", "choices": [0.1, 1]}]}}, ["tune.parameters", "step.rho", "0.05"]
    ),
    "a range of words": (
        {"methods": ["Reweighting"], "tune": {"parameters": [{"name": "scheme", "low": 0, "high": 1}]}},
        ["tune.parameters", "weights.scheme", "choices"],
    ),
    "unknown metric": ({"tune": {"metric": "val/balanced_acuracy"}}, ["tune.metric", "'val/balanced_accuracy'"]),
    "of the test set": ({"tune": {"metric": "test/balanced_accuracy"}}, ["tune.metric", "test/", "val/"]),
    "no few": (OTHER | {"tune": {"metric": "val/few"}}, ["tune.metric", "val/few", "no class"]),
    "no trials": ({"tune": {"trials": 0}}, ["tune.trials", "0"]),
    "trials unsaid": ({"tune": {"trials": None}}, ["tune.trials"]),
    "no seeds": ({"tune": {"seeds": 0}}, ["tune.seeds", "0"]),
    "unknown sampler": ({"tune": {"sampler": "grid"}}, ["tune.sampler", "'grid'"]),
    "unknown key": ({"tune": {"trails": 3}}, ["tune", "'trails'", "'trials'"]),
    "unknown routine": ({"tune": {"training": {"epoch": 3}}}, ["tune.training", "'epoch'", "'epochs'"]),
    "no epochs": ({"tune": {"training": {"epochs": 0}}}, ["tune.training.epochs", "0"]),
    "no epochs of its own": (
        {"methods": [{"name": "SAM-A", "training": {"epochs": 0}}]}, ["methods.training.epochs", "0"]
    ),
    "unknown routine of its own": (
        {"methods": [{"name": "SAM-A", "training": {"lrr": 1}}]}, ["methods.training", "'lrr'", "'lr'"]
    ),
    "no images left": ({"tune": {"val_per_class": 600}}, ["fashion-mnist-mini"]),
    "not a mapping": ({"tune": 12}, ["tune"]),
}  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_that_names_the_field(changes, words, tmp_path, monkeypatch, capsys):
    raw = RAW | changes
    if isinstance(changes.get("tune", {}), dict):
        raw["tune"] = {"trials": 4, "parameters": "rho"} | changes.get("tune", {})
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps(raw))  # JSON is YAML
    with pytest.raises((SpecError, DataError)) as caught:
        searches(read(path))
    assert all(word in str(caught.value) for word in words), caught.value
    monkeypatch.setattr(sys, "argv", ["tailboard", "plan", str(path)])
    with pytest.raises(SystemExit) as ended:
        app.main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out, said.err) == (1, "", f"error: {caught.value}\n")
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("ranges", "count"),
    [
        ([(Range(choices=("a", "b", "c")), "a"), (Range(0, 4), 1)], 15), ([(Range(0.5, 2.0), 1.0)], 1500),
        ([(Range(0.9, 0.9001), 0.9)], 1), ([(Range(1e-4, 5e-3, log=True), 1e-3)], 4900), ([], 1),
    ],
)  # fmt: skip
def test_a_space_is_not_said_to_hold_more_than_it_does(ranges, count):
    found = at_least({str(i): Dimension(*each) for i, each in enumerate(ranges)})
    assert count - 2 <= found <= count
