"""How many trials share a device best. No GPU is here: the CPU stands in for one, or the measuring is stood in for."""

import pytest
import torch

from tailboard.harness.planning.calibration import sharing, summary
from tailboard.harness.planning.calibration.estimates import GIB, Estimate
from tailboard.harness.planning.calibration.sharing import Throughput, best, measured_together, mps_runs
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan

CPU = torch.device("cpu")
SPEC = parse(
    {
        "name": "t",
        "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 40},
        "methods": ["ERM", "SAM-A"],
        "network": "small",
        "training": {"epochs": 2, "batch_size": 32},
        "resources": {"gpu": 0.5},
        "seeds": 2,
    }
)
ERM, SAM = (next(trial for trial in plan(SPEC) if trial.method.name == name) for name in ("ERM", "SAM-A"))


def steps_of(rates, asked=None):
    """In place of the measuring: these steps a second by the number of trials; it ends early at any other."""

    def measure(together, words):
        if asked is not None:
            asked.append((together, words[0]))
        return rates.get(together)

    return measure


@pytest.mark.parametrize(
    ("most", "rates", "expected"),
    [
        (30, {1: 10.0, 2: 17.0, 4: 15.0}, [1, 2, 4]),
        (3, {1: 10.0, 2: 17.0, 4: 15.0}, [1, 2]),
        (0, {1: 10.0}, []),
        (30, {1: 10.0, 4: 15.0}, [1]),  # two ran out of memory: four are not tried
    ],
)
def test_as_many_are_tried_as_memory_holds(monkeypatch, most, rates, expected):
    monkeypatch.setattr(sharing, "_steps_together", steps_of(rates))
    assert measured_together(ERM, CPU, {}, most) == [Throughput(number, rates[number]) for number in expected]


def test_the_most_steps_a_second_are_best_and_of_equals_the_fewest_trials():
    assert best([Throughput(1, 10.0), Throughput(2, 17.0), Throughput(4, 15.0)]).trials == 2
    assert best([Throughput(1, 10.0), Throughput(2, 10.0)]).trials == 1


def test_a_plan_proposes_the_fraction_and_measures_what_takes_longest(monkeypatch):
    asked = []
    monkeypatch.setattr(sharing, "_steps_together", steps_of({1: 10.0, 2: 17.25, 4: 15.0}, asked))
    monkeypatch.setattr(sharing.torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(summary, "total", lambda device: 40 * GIB)
    needed = resolve_dependencies(plan(SPEC), {})
    estimates = [Estimate(ERM, 0.1, 10.0, GIB), Estimate(SAM, 0.2, 20.0, GIB)]
    words = summary._sharing(SPEC, estimates, needed)
    assert [number for number, _ in asked] == [1, 2, 4]
    assert {trial.method.name for _, trial in asked} == {"SAM-A"}
    assert "SAM-A on small, all trials on the GPU together: 10.0 with 1, 17.2 with 2, 15.0 with 4" in words
    assert "resources: {gpu: 0.5} trains most in an hour" in words
    assert "docs/cluster.md" in words
    large = [Estimate(ERM, 0.1, 10.0, GIB), Estimate(SAM, 0.2, 20.0, 30 * GIB)]
    assert summary._sharing(SPEC, large, needed) == "", "only one of them fits"
    on_cpus = SPEC.model_copy(update={"resources": SPEC.resources.model_copy(update={"gpu": 0})})
    assert summary._sharing(on_cpus, estimates, needed) == ""


def test_mps_is_seen_where_its_pipe_is(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", str(tmp_path))
    assert not mps_runs()
    (tmp_path / "control").touch()
    assert mps_runs()


@pytest.mark.slow
def test_two_processes_train_at_one_time(monkeypatch):
    monkeypatch.setattr(sharing, "TOGETHER", (2,))
    (found,) = measured_together(SAM, CPU, {}, 30, seconds=0.2)
    assert found.trials == 2
    assert found.steps > 1


@pytest.mark.slow
def test_a_training_that_ends_early_gives_no_number(monkeypatch):
    """A plugin that asks for more memory than there is."""
    monkeypatch.setattr(sharing, "TOGETHER", (1,))
    hungry = """
import torch
from dataclasses import dataclass
from tailboard.methods.recipe import Part, Recipe, register

@dataclass(frozen=True)
class Hungry(Part):
    def build(self, scene):
        raise torch.OutOfMemoryError("CUDA out of memory")

register("Hungry", Recipe(loss=Hungry()))
"""
    method = SAM.method.model_copy(update={"name": "Hungry", "plugin": "0" * 64})
    trial = SAM.model_copy(update={"method": method})
    assert measured_together(trial, CPU, {"0" * 64: hungry}, 30, seconds=0.2) == []
