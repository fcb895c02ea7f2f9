"""The most memory of a trial, and how many share a device."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tailboard.harness.calibrate import calibrate
from tailboard.harness.memory import GIB, MARGIN, MOST, Fit, Peak
from tailboard.harness.needs import needs
from tailboard.harness.outline import memory_words
from tailboard.harness.spec import plan
from tailboard.harness.specfile import parse

CPU = torch.device("cpu")


def test_a_peak_is_seen_after_it_is_over_and_the_next_one_starts_anew():
    size = 400 * 2**20
    before = Peak(CPU).bytes()
    peak = Peak(CPU)
    held = torch.ones(size // 4)
    del held
    assert peak.bytes() > before + 0.9 * size
    assert Peak(CPU).bytes() < before + 0.5 * size


@given(total=st.integers(GIB, 200 * GIB), share=st.floats(0.001, 2))
def test_what_is_proposed_fits(total, share):
    fit = Fit(int(share * total), total)
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
    found = calibrate(spec, needs(plan(spec), {}))
    assert len(found) == 4, "once for each network, batch size and method"
    assert all(0.1 * GIB < estimate.memory < 20 * GIB for estimate in found)
    most = max(estimate.memory for estimate in found) * MARGIN / GIB
    assert f"resources: {{memory: {most:.1f}}}" in memory_words(spec, found)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_peak_is_the_device_s():
    device = torch.device("cuda")
    peak = Peak(device)
    held = torch.ones(2**28, device=device)
    del held
    assert peak.bytes() > 2**30
