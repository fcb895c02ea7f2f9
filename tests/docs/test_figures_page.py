"""The page of the mini figures says what its summary says, with the pictures that the summary is of."""

import hashlib
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from tailboard.harness.spec.parser import shipped

FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "documents" / "paper_figures.py"
described = importlib.util.spec_from_file_location("paper_figures", FILE)
assert described and described.loader
figures = importlib.util.module_from_spec(described)
sys.path.insert(0, str(FILE.parent))  # what it shares with the script beside it
described.loader.exec_module(figures)
sys.path.remove(str(FILE.parent))

SUMMARY = json.loads((figures.RESULTS / "figures" / "summary.json").read_text(encoding="utf-8"))


def test_the_page_is_that_of_its_summary():
    assert figures.page(SUMMARY) == (figures.RESULTS / "figures.md").read_text(encoding="utf-8")


def test_every_mini_form_has_run():
    minis = {name for name in shipped() if name.startswith("fig") and name.endswith("-mini")}
    assert SUMMARY["studies"].keys() == minis and SUMMARY["not run"] == []


@pytest.mark.parametrize("name", SUMMARY["studies"])
def test_a_picture_is_the_one_that_was_drawn_and_small_and_a_bundle_is_named(name):
    picture = (figures.RESULTS / "figures" / f"{name}.svg").read_bytes()
    assert hashlib.sha256(picture).hexdigest() == SUMMARY["studies"][name]["picture"]
    assert len(picture) < figures.LARGEST
    assert re.fullmatch("[0-9a-f]{64}", SUMMARY["studies"][name]["bundle"])


def test_another_effect_is_another_page():
    changed = json.loads(json.dumps(SUMMARY))
    changed["studies"]["fig06-mini"]["claims"][0]["effect"] += 1
    assert figures.page(changed) != figures.page(SUMMARY)
