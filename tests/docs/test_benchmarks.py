"""docs/benchmarks.md says what the benchmarks do, and the script for a lent GPU runs where there is none."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from simulated_gpu import simulated_gpu
from tailboard.harness.planning.calibration import estimates

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
        "the memory probe over a trial's peak", "2 fused seeds' time over that of one",
    }  # fmt: skip
    reasons = {row.name: row.said for row in rows if row.value is None}
    assert reasons["cuda_graph"] == reasons["tests"] == "needs a GPU" and "ZeroDivisionError" in reasons["together"]
    assert gpu["measured"](small, torch.device("cpu"), ["memory"], minutes=-1)[0].said == "no time was left"


@pytest.mark.slow
def test_the_script_keeps_to_the_device(gpu):
    small = replace(gpu["SMALL"], methods=("ERM", "SAM"), batch=8)
    with simulated_gpu() as device:
        device.waits.clear()
        rows = gpu["measured"](small, torch.device("cuda"), ["whole_trial", "method_cost"], minutes=5)
    assert all(row.value for row in rows) and len(rows) == 4
    assert "loop.py:_batch" not in device.waits
