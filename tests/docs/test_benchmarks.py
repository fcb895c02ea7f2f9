"""docs/benchmarks.md says what the benchmarks do, and the script for a lent GPU runs where there is none."""

from __future__ import annotations

import json
import runpy
import time
from dataclasses import replace
from importlib import import_module
from itertools import islice
from pathlib import Path

import pytest
import torch

from simulated_gpu import simulated_gpu
from tailboard.harness.planning.calibration import estimates
from tailboard.harness.testing.network_checks import difference

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_the_page_is_that_of_the_benchmarks():
    made = runpy.run_path(str(BENCHMARKS / "documents" / "benchmarks_page.py"))
    page = (BENCHMARKS.parent / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert page == made["page"](), "python benchmarks/documents/benchmarks_page.py writes it anew"
    assert "benchmarks/training/official_loop.py" in page


def test_only_what_a_gpu_gave_is_on_the_page():
    gpu_table = runpy.run_path(str(BENCHMARKS / "documents" / "benchmarks_page.py"))["gpu_table"]
    found = {
        "machine": {"gpu": "H200", "cuda": "13.0", "packages": {"torch": "2.14.1"}},
        "sizes": {"network": "resnet32", "batch": 128},
        "measured": [
            {"name": "a", "value": 0.98123, "unit": "ratio", "said": "goal 0.97"},
            {"name": "b", "value": None, "unit": "", "said": "failed"},
        ],
    }
    text = gpu_table(json.dumps(found))
    assert "H200, torch 2.14.1, CUDA 13.0, resnet32, batches of 128" in text
    assert "| a | 0.981 ratio | goal 0.97 |" in text and "| b |" not in text


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS / "training"))
    monkeypatch.setattr(estimates, "MOMENTS", (0.95,))
    return runpy.run_path(str(BENCHMARKS / "training" / "gpu.py"))


def test_every_part_of_the_script_gives_a_number_or_says_why_not(gpu):
    small = replace(gpu["SMALL"], methods=("ERM", "SAM"), batch=8)
    gpu["PARTS"]["together"] = lambda *_: 1 / 0
    names = [name for name in gpu["PARTS"] if name != "official"]  # scores three thousand images, one by one
    rows = gpu["measured"](small, torch.device("cpu"), names, minutes=5)
    values = {row.name: row.value for row in rows}
    measured = {name: value for name, value in values.items() if value is not None}
    assert all(value > 0 for value in measured.values())
    assert set(measured) == {
        "a full trial's speed over the bare step's", "a full trial", "ERM's step", "SAM's step over ERM's",
        "the memory probe over a trial's peak", "2 seeds' time over that of one, fused",
        "2 seeds' time over that of one, one after the other",
    }  # fmt: skip
    reasons = {row.name: row.said for row in rows if row.value is None}
    assert {reasons[f"2 seeds' time over that of one, {how} each"] for how in ("a stream", "a CUDA graph")} == {
        "needs a GPU"
    }
    assert reasons["cuda_graph"] == reasons["tests"] == "needs a GPU" and "ZeroDivisionError" in reasons["together"]


def test_the_script_ends_in_its_minutes_and_keeps_what_it_has(gpu):
    def endless(sizes, device):
        yield gpu["Measured"]("a number", 1.0)
        time.sleep(60)

    gpu["PARTS"]["together"] = endless
    start = time.monotonic()
    rows = gpu["measured"](gpu["SMALL"], torch.device("cpu"), ["tests", "together", "memory"], minutes=0.5 / 60)
    assert time.monotonic() - start < 30
    assert [(row.name, row.value, row.said) for row in rows] == [
        ("tests", None, "needs a GPU"),
        ("a number", 1.0, ""),
        ("together", None, "cut short"),
        ("memory", None, "no time was left"),
    ]


@pytest.mark.slow
def test_the_script_keeps_to_the_device(gpu, monkeypatch):
    monkeypatch.setattr("seeds_in_turn.streams", lambda number, device: [None] * number)  # no simulated GPU has them
    small = replace(gpu["SMALL"], methods=("ERM", "SAM"), batch=8)
    with simulated_gpu() as device:
        device.waits.clear()
        rows = gpu["measured"](small, torch.device("cuda"), ["whole_trial", "method_cost", "fused"], minutes=5)
    assert all(row.value for row in rows) and len(rows) == 8, rows
    assert not {"loop.py:_batch", "seeds_in_turn.py:make", "seeds_in_turn.py:__call__"} & set(device.waits)


def test_what_a_cuda_graph_captures_never_waits(gpu):
    with simulated_gpu() as device:
        cuda = torch.device("cuda")
        step = import_module("seeds_in_turn").FixedStep(gpu["learner"](gpu["trial_of"](gpu["SMALL"], cuda), cuda, 16))
        device.waits.clear()
        for _ in range(2):
            step.made()
    assert not device.waits and "convolution" in device.in_bfloat16


def test_seeds_that_take_turns_train_as_each_does_alone(gpu):
    cpu = torch.device("cpu")
    trial = gpu["trial_of"](gpu["SMALL"], cpu)
    trial = trial.model_copy(update={"training": trial.training.model_copy(update={"precision": "float32"})})

    def two_epochs(way):
        loops = [gpu["learner"](trial.model_copy(update={"seed": seed}), cpu, 32) for seed in (0, 1)]
        return loops, list(islice(way(loops, cpu), 2))

    alone, _ = two_epochs(gpu["WAYS"]["one after the other"][0])
    losses = [[line["loss"] for line in loop.history] for loop in alone]
    for name, most in (("with_streams", 0), ("with_graphs", 1e-6)):
        loops, found = two_epochs(gpu[name])
        assert max(difference(one, other) for one, other in zip(alone, loops, strict=True)) <= most
        means = [[sum(epoch[seed]) / len(epoch[seed]) for epoch in found] for seed in (0, 1)]
        assert means[0] == pytest.approx(losses[0], rel=1e-6) and means[1] == pytest.approx(losses[1], rel=1e-6)
    assert difference(*alone) > 1e-3
