"""The numbers of the README and of docs/results are those of the stored summaries; a summary is a store's report."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from tailboard.harness.reporting.gather import gather
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Provenance, Record
from tailboard.harness.storage.store import Store

FILE = Path(__file__).resolve().parents[1] / "benchmarks" / "documents" / "published_numbers.py"
described = importlib.util.spec_from_file_location("published_numbers", FILE)
assert described and described.loader
published = importlib.util.module_from_spec(described)
sys.modules["published_numbers"] = published  # its dataclass looks there
described.loader.exec_module(published)

DOCUMENTS = {document.name: document.read_text(encoding="utf-8") for document in published.documents()}
SUMMARIES = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in published.RESULTS.glob("*.json")}


@pytest.mark.slow
@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_block_is_what_its_summary_gives(name):
    assert published.rendered(DOCUMENTS[name]) == DOCUMENTS[name]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_has_no_summary_says_of_which_protocol_it_is(name):
    known = SUMMARIES.keys() | {file.stem for file in published.BENCHMARKS.glob("*.json")}
    without = {block for block, *_ in published.blocks(DOCUMENTS[name])} - known
    assert not without or "**Protocol 1.**" in DOCUMENTS[name], without


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_mean_stands_outside_a_block(name):
    """But for the benchmarks, which name their command in the line."""
    outside = published.BLOCK.sub("", DOCUMENTS[name])
    assert [line for line in outside.split("\n") if re.search(r"\d ± \d", line) and "benchmarks/" not in line] == []


@pytest.mark.parametrize("name", SUMMARIES)
def test_a_summary_names_its_bundle_and_is_small(name):
    assert re.fullmatch("[0-9a-f]{64}", SUMMARIES[name]["bundle"]["sha256"])
    assert (published.RESULTS / f"{name}.json").stat().st_size < 400_000


def test_another_number_is_another_block():
    raw = json.loads(json.dumps(SUMMARIES["quickstart"]))
    before = published.table(published.Numbers(raw), "")
    raw["rows"]["value"][0] += 5
    assert published.table(published.Numbers(raw), "") != before


def test_a_summary_gives_the_report_of_its_store(tmp_path, monkeypatch):
    store = Store(tmp_path)
    store.write_plan(parse({"name": "s", "data": "cifar10", "methods": ["ERM", "Focal Loss"], "seeds": 3}))
    (spec,) = store.plans()
    about = {"packages": {"torch": "2"}, "commit": "abc", "processor": "one"}
    for i, trial in enumerate(plan(spec)[:-1]):
        averaged = tuple(50.0 + i + c for c in range(10))
        accuracy = {"last_ema": averaged, "last": tuple(each + 0.1 * (i + 1) for each in averaged)}
        store.write_arrays(trial.key, {"history_loss": np.linspace(2, 1, 300)})
        store.write_record(
            Record(key=trial.key, trial=trial, status="complete", counts=(500,) * 10, accuracy=accuracy,
                   data=Provenance(verified=True, hashes={}, fingerprint="0" * 64),
                   notes={"mixer.accepted": 0.5, "half_lives": 12.0},
                   environment=about, started=f"2026-01-01T00:0{i}:00+00:00", finished=f"2026-01-01T00:0{i}:30+00:00")
        )  # fmt: skip
    monkeypatch.setattr(published, "bundle_of", lambda store: {"sha256": "0" * 64, "bytes": 1000})
    numbers = published.Numbers(json.loads(json.dumps(published.summary_of(store), allow_nan=False)))
    whole = gather([store])
    assert published.report(numbers, "") == whole.rendered("md").strip()
    assert published.table(numbers, "").split("\n\n")[0] in whole.rendered("md")
    assert published.versus(numbers, "ERM") in whole.rendered("md", versus="ERM")
    assert published.took(numbers, "") == "4 min 30 s"
    assert "| ERM | 55.5 ± 0.6 | 55.7 ± 0.6 | +0.2 ± 0.1 | 12.0 |" in published.averaging(numbers, "")
    assert "| ERM | 1.502 | 1.251 | 1.127 | 1.063 | 1.000 |" in published.losses(numbers, "")
