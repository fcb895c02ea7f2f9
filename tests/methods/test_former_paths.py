"""Plugins name modules of ``tailboard.methods``: what once stood at its top is still imported from there."""

import subprocess
import sys
from importlib import import_module

import pytest

from tailboard.methods import FORMER_PATHS

LOSSES = ("LDAM", "Cosine", "CosineHead", "Focal", "LossFunction", "cross_entropy")  # of the file losses.py
AT_THE_TOP = ("components", "losses", "names", "need", "part", "plugin", "range", "recipe", "registry", "table5")


@pytest.mark.parametrize("name", sorted(FORMER_PATHS))
def test_a_former_path_is_the_module_that_moved(name):
    assert import_module(f"tailboard.methods.{name}") is import_module(f"tailboard.methods.{FORMER_PATHS[name]}")


@pytest.mark.slow
def test_every_path_of_the_time_before_the_rooms_is_imported_by_a_process_that_begins_with_it():
    paths = [f"tailboard.methods.{name}" for name in (*FORMER_PATHS, *AT_THE_TOP, "text_file")]
    assert len(paths) == 20
    code = f"import {', '.join(paths)}; from tailboard.methods.losses import {', '.join(LOSSES)}"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("word", ["losses.margins Cosine", "stages.joint_ssl VICReg"])
def test_a_network_is_found_where_it_stood(word):
    module, name = word.split()
    assert getattr(import_module(f"tailboard.methods.{module}"), name).__name__ == name


def test_another_name_is_still_not_there():
    with pytest.raises(ModuleNotFoundError, match=r"tailboard\.methods\.balanced"):
        import_module("tailboard.methods.balanced")
