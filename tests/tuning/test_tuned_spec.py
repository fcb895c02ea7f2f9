"""A spec with the values that a search found."""

from __future__ import annotations

import json
import random

import pytest

from search_lab import RAW, bumpy, spec_of
from tailboard.harness.errors import SpecError
from tailboard.harness.planning import tuned_spec
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.planning.reported import reported_trials
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.spec.parser import parse, read, shipped
from tailboard.harness.spec.schema import plan
from tailboard.harness.tuning.configuration import Configuration
from tailboard.harness.tuning.results import SearchResult, search_results

# A spec with the values that were found

PLUGIN = """
from dataclasses import dataclass
from tailboard.methods.recipe import Part, Range, Recipe, hyper, register
from torch.nn.functional import cross_entropy

@dataclass(frozen=True)
class Scaled(Part):
    scale: float = hyper(1.0, "none", Range(0.5, 2.0))
    form: str = hyper("no", "none", Range(choices=("no", "1e3", "null")))
    def build(self, scene):
        return lambda logits, y, epsilon: cross_entropy(logits, y, reduction="none") * self.scale

register("Scaled", Recipe(loss=Scaled()))
"""


def found_in(spec, store):
    return tuned_spec.TunedSpec(spec, search_results(spec, store))


@pytest.mark.slow
def test_the_written_specs_trials_are_those_that_run_trains(kept, tmp_path):
    """With a rate that was found, a network that another starts from, a plugin, values that YAML would take for other
    things, and two settings."""
    (tmp_path / "scaled.py").write_text(PLUGIN)
    methods = [
        "ERM",
        "M2m",
        {"name": "SAM-A", "values": {"step.power": 0.5}},
        {"name": "Scaled", "plugin": "scaled.py"},
    ]
    raw = RAW | {
        "methods": methods, "seeds": [3, 5], "network": ["small", "resnet20"], "shots": {"few": 15},
        "tune": {"trials": 4, "parameters": ["all", "lr"]},
    }  # fmt: skip
    (tmp_path / "t.yaml").write_text(json.dumps(raw))
    spec = read(tmp_path / "t.yaml")
    lab = kept(tmp_path / "store", spec, workers=2)
    (tmp_path / "out").mkdir()
    written = tuned_spec.save(found_in(spec, lab.store), tmp_path / "out" / "found.yaml")
    assert [path.name for path in written] == ["found-1.yaml", "found-2.yaml"]
    found = [read(path) for path in written]
    keys = {trial.key for one in found for trial in plan(one)}
    expected = {one.trial.key for one in reported_trials(spec, search_results(spec, lab.store))}
    assert keys == expected and len(keys) == 2 * 4 * 2
    assert keys - {trial.key for trial in plan(spec)}, "something was found"
    for one in found:
        all_of_it = resolve_dependencies(plan(one), one.plugins)
        assert not all_of_it.missing(lab.store), "a run would train something"
        assert (one.tune, one.shots, one.seeds) == (None, spec.shots, spec.seeds)


def test_what_is_written_is_a_function_of_what_was_found(kept, tmp_path):
    spec, texts = spec_of({"trials": 4}, methods=["SAM-A", "M2m", "ERM"]), []
    for workers in (1, 8):
        folder = tmp_path / str(workers)
        lab = kept(folder / "store", spec, workers=workers, rng=random.Random(workers))  # noqa: S311
        for _ in range(2):  # the second time over itself
            (path,) = tuned_spec.save(found_in(spec, lab.store), folder / "found.yaml")
            texts.append(path.read_text())
    assert len(texts) == 4 and len(set(texts)) == 1


def test_another_file_is_not_written_over(kept, tmp_path):
    lab = kept(tmp_path / "store", spec_of({"trials": 4}))
    goal = tmp_path / "found.yaml"
    goal.write_text("mine")
    with pytest.raises(SpecError, match="is there and holds something else"):
        tuned_spec.save(found_in(lab.spec, lab.store), goal)
    assert goal.read_text() == "mine" and sorted(p.name for p in tmp_path.iterdir()) == ["found.yaml", "store"]


def test_a_name_that_no_spec_can_have_is_no_reason_to_lose_the_values(kept, tmp_path):
    lab = kept(tmp_path / "store", spec_of({"trials": 4}))
    (path,) = tuned_spec.save(found_in(lab.spec, lab.store), tmp_path / "_what was found (1).yaml")
    assert {t.key for t in plan(read(path))} == {
        one.trial.key for one in reported_trials(lab.spec, search_results(lab.spec, lab.store))
    }


def test_a_method_without_values_is_left_out_and_said_to_be(kept, tmp_path):
    broken = lambda trial, until: "diverged" if trial.method.name == "SAM-A" else bumpy(trial, until)  # noqa: E731
    lab = kept(tmp_path / "store", spec_of({"trials": 4}, methods=["SAM-A", "Focal Loss", "ERM"]), broken)
    outcome = found_in(lab.spec, lab.store)
    assert outcome.failed and not outcome.unfinished
    (path,) = tuned_spec.save(outcome, tmp_path / "found.yaml")
    assert {method.name for method in read(path).methods} == {"Focal Loss", "ERM"}
    assert "left out" in path.read_text() and "none of 4 trials finished" in path.read_text()
    assert "none of 4 trials finished" in outcome.table


def test_where_nothing_was_found_nothing_is_written(kept, tmp_path):
    lab = kept(tmp_path / "store", spec_of({"trials": 4}), lambda trial, until: "diverged")
    assert tuned_spec.save(found_in(lab.spec, lab.store), tmp_path / "found.yaml") == []
    assert not (tmp_path / "found.yaml").exists()


# Every tuned spec is read again, whatever was found

SEVERAL = {
    "name": "several",
    "data": {"name": "simulated-table", "profile": "natural", "total": [10_000, 60_000]},
    "methods": [
        "ERM", {"name": "Reweighting", "values": {"weights.scheme": ["inverse", "square_root"]}},
        {"name": "Resampling", "training": {"lr": 0.02}}, "SMOTEENN", "RUSBoost", "Threshold + EasyEnsemble",
    ],
    "network": ["mlp", {"name": "xgboost", "values": {"max_depth": [4, 6]}}, "svm"],
    "seeds": [2, 3],
    "tune": {"trials": 4, "parameters": ["all", "weight_decay"]},
}  # fmt: skip


def drawn(search, rng) -> Configuration:
    """A value from the range of each dimension, as a search might have found it."""

    def value(dimension):
        ends = dimension.range
        if ends.choices:
            return rng.choice(ends.choices)
        found = rng.uniform(ends.low, ends.high)
        return round(found) if isinstance(dimension.default, int) else found

    return Configuration(0, {n: value(search.space[n]) for n in search.space}, "complete", 70.0)


@pytest.mark.parametrize("name", [*(n for n, path in shipped().items() if "\ntune:" in path.read_text()), "several"])
def test_a_tuned_spec_plans_what_run_would_report(name, tmp_path):
    """With searches that came to made-up values: of a method, of its routine, of its network; ensembles, which have a
    network of their own; rows that are not tried."""
    rng, asked = random.Random(name), RunRequest.of(parse(SEVERAL) if name == "several" else read(name))  # noqa: S311
    results = {
        row: SearchResult(search, (drawn(search, rng),), {}, exhausted=True)
        for row, search in asked.plan.searches.items()
    }
    tuned = tuned_spec.TunedSpec(asked.spec, results)
    written = [RunRequest.of(read(path)) for path in tuned_spec.save(tuned, tmp_path / "found.yaml")]
    keys = [trial.key for one in written for trial in one.plan.trials]
    expected = {one.trial.key for one in reported_trials(asked.spec, results) if not one.not_tried}
    assert set(keys) == expected and len(keys) == len(expected)
    assert not any(one.plan.not_tried for one in written)
    of_networks = [name for result in results.values() for name in result.search.space if name.startswith("network.")]
    assert bool(of_networks) == (name != "tuned-mini"), "values of networks are what was lost"
