"""The most memory of a trial, and how many share a device."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from small_spec import SMALL
from tailboard.harness.planning.calibration import summary
from tailboard.harness.planning.calibration.estimates import (
    GIB,
    MARGIN,
    MOST,
    Estimate,
    MemoryFit,
    MemoryProbe,
    calibrate,
)
from tailboard.harness.planning.calibration.summary import memory_words
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan

CPU = torch.device("cpu")


PEAKS = """
import torch
from tailboard.harness.planning.calibration.estimates import MemoryProbe

cpu, size = torch.device("cpu"), 400 * 2**20
before = MemoryProbe(cpu).bytes()
peak = MemoryProbe(cpu)
torch.ones(size // 4)
print(before, peak.bytes(), MemoryProbe(cpu).bytes())
"""


@pytest.mark.slow
def test_a_peak_is_seen_after_it_is_over_and_the_next_one_starts_anew():
    """In a process of its own: one that has freed much would take the tensor out of that."""
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True)
    before, peak, after = map(int, done.stdout.split())
    assert peak > before + 0.9 * 400 * 2**20
    assert after < before + 0.5 * 400 * 2**20


@given(total=st.integers(GIB, 200 * GIB), share=st.floats(0.001, 2))
def test_what_is_proposed_fits(total, share):
    fit = MemoryFit(int(share * total), total)
    assert fit.trials * fit.peak * MARGIN <= total
    assert fit.trials == MOST or (fit.trials + 1) * fit.peak * MARGIN > total
    assert int(1 / fit.fraction + 1e-9) == max(1, fit.trials), "what Ray will place"


@pytest.mark.slow
def test_a_plan_says_what_to_ask_for():
    spec = parse(
        {
            "name": "t",
            "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 40},
            "methods": ["ERM", "SAM-A"],
            "network": "small",
            "training": {"epochs": 1, "batch_size": [32, 256]},
            "seeds": 2,
        }
    )
    found = calibrate(spec, resolve_dependencies(plan(spec), {}))
    assert len(found) == 4, "once for each network, batch size and method"
    assert all(0.1 * GIB < estimate.memory < 20 * GIB for estimate in found)
    most = max(estimate.memory for estimate in found) * MARGIN / GIB
    assert f"resources: {{memory: {most:.1f}}}" in memory_words(spec, found)


def test_a_worker_that_trains_seeds_as_one_needs_as_much_more(monkeypatch):
    monkeypatch.setattr(summary, "total", lambda device: 80 * GIB)
    spec = parse(SMALL | {"seeds": 5, "resources": {"gpu": 1, "fuse_seeds": True}})
    needed = RunRequest.of(spec).plan.dependencies
    alone = Estimate(needed.trials[0], 0.1, 10.0, 2 * GIB)
    words = memory_words(spec, [alone])
    assert words.startswith("ERM on small, 5 seeds as one, needs 10.0 GiB of this GPU's 80.0: resources: {gpu: 0.1666}")
    assert summary._sharing(spec, [alone], needed) == "", "of such workers it was not measured"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_peak_is_the_device_s():
    device = torch.device("cuda")
    peak = MemoryProbe(device)
    held = torch.ones(2**28, device=device)
    del held
    assert peak.bytes() > 2**30
