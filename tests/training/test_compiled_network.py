"""``training: {compile: true}``: PyTorch compiles the network for training; all else is as it was."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch

from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.testing.dry_run import dry_run
from tailboard.harness.testing.network_checks import difference, trained
from tailboard.methods.registry import recipe

RAW = {"name": "t", "data": {"name": "cifar10", "imbalance_factor": 10}, "methods": "ERM", "seeds": 1}


def test_the_word_is_one_of_the_key_where_it_stands():
    trials = {
        word: plan(parse(RAW | {"training": {"epochs": 2} | ({} if word is None else {"compile": word})}))[0]
        for word in (None, False, True)
    }
    assert trials[None].key == trials[False].key != trials[True].key
    assert '"compile"' not in trials[None].canonical and '"compile":true' in trials[True].canonical


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiles C++")
def test_a_compiled_network_learns_the_same_and_goes_on_bit_for_bit(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    words = {"epochs": 2, "augment": "none", "batch_size": 12}

    def run(**more):
        return dry_run(recipe("ERM"), counts=(16, 8), **words, **more)

    eager, whole, second = trained(run()), run(compile=True), run(compile=True)
    next(whole.epochs())
    saved = copy.deepcopy(whole.state())
    second.restore(saved)
    trained(whole)
    trained(second)
    assert difference(whole, second) == 0 < difference(whole, eager)
    for line, other in zip(whole.history, eager.history, strict=True):
        assert line["loss"] == pytest.approx(other["loss"], rel=1e-4)
    images = whole.material.x
    assert torch.equal(whole.logits(images), second.logits(images))
    assert set(whole.state()["trained"]) == set(eager.state()["trained"]), "a checkpoint has the same names"
    assert any(tmp_path.rglob("*.so")), "and the next trial need not compile"


def test_a_machine_without_a_compiler_is_no_fault_of_the_method(monkeypatch):
    """So the trial is tried again, perhaps on another machine, and has no record of a failure."""
    monkeypatch.setenv("CXX", "/nowhere/c++")
    with pytest.raises(OSError, match=r"needs a C[+][+] compiler, and /nowhere/c[+][+] is not on this machine"):
        dry_run(recipe("ERM"), counts=(16, 8), compile=True)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a compiler to be stood in for")
def test_nor_is_a_compiler_that_cannot_compile(monkeypatch, tmp_path):
    """As without Python's headers."""
    from torch._inductor import config as inductor  # imports the compiler

    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho 'Python.h: No such file or directory' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(inductor.cpp, "cxx", (None, str(broken)))  # made of CXX where it is imported
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(OSError, match=r"PyTorch cannot compile the network on this machine: .*[Cc]ompil"):
        trained(dry_run(recipe("ERM"), counts=(16, 8), compile=True))
