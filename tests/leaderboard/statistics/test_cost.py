"""What a training costs, in device-hours and in trainings of ERM on the same machine."""

import json
from io import BytesIO

import jsonschema
import numpy as np
import pandas as pd
import pytest

from page_content import EVIDENCE, SUBJECT
from tailboard.harness.reporting.gather import gather
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan, prerequisite
from tailboard.harness.storage.record import Provenance, Record, TrialResult
from tailboard.harness.storage.store import Store
from tailboard.leaderboard.formats import records
from tailboard.leaderboard.html.board import board
from tailboard.leaderboard.html.data import content
from tailboard.leaderboard.results import COLUMNS, MACHINE
from tailboard.leaderboard.statistics.cost import training_costs
from tailboard.leaderboard.tables.cost import cost_tables
from tailboard.leaderboard.tables.grid import hours_text
from tailboard.methods.need import Need
from tidy_rows import COMPLETE

TRAINED = [  # method, seed, machine, seconds, status
    ("ERM", 0, "slow", 36.0, "complete"),
    ("ERM", 1, "slow", 40.0, "complete"),
    ("ERM", 2, "fast", 9.0, "complete"),
    ("ERM", 3, "fast", 1000.0, "failed"),
    ("SAM", 0, "slow", 76.0, "complete"),
    ("SAM", 1, "fast", 27.0, "complete"),
    ("SAM", 2, "unknown", 500.0, "complete"),
    ("elsewhere", 0, "unknown", 5.0, "complete"),
    ("broken", 0, "slow", 5.0, "diverged"),
]


def rows() -> pd.DataFrame:
    every = [
        {"key": f"{method}{seed}", "dataset": "d", "setting": "IF 10", "protocol": "p", "method": method, "seed": seed,
         "group": group, "classes": 2, "value": 50.0 if status == "complete" else float("nan"),
         **COMPLETE, "status": status, "device_seconds": seconds, MACHINE: machine}
        for method, seed, machine, seconds, status in TRAINED for group in ("few", "all")
    ]  # fmt: skip
    return pd.DataFrame(every)[[*COLUMNS, MACHINE]]


def by_method(found: pd.DataFrame) -> dict[str, tuple[float, float]]:
    return {cost.method: (cost.device_seconds, cost.erm) for cost in found.itertuples()}


def test_each_trial_is_measured_by_erm_on_its_own_machine():
    found = by_method(training_costs(rows(), {}))
    assert found["ERM"] == (pytest.approx(85 / 3), pytest.approx(1))
    assert found["SAM"] == (pytest.approx(603 / 3), pytest.approx((76 / 38 + 27 / 9) / 2))
    assert found["elsewhere"] == (5, pytest.approx(float("nan"), nan_ok=True))
    assert "broken" not in found


def test_the_networks_that_a_trial_starts_from_are_part_of_its_cost():
    found = by_method(training_costs(rows(), {"SAM0": 38.0, "SAM1": 9.0, "another": 1e9}))
    assert found["SAM"] == (pytest.approx(650 / 3), pytest.approx((114 / 38 + 36 / 9) / 2))


def test_where_no_machine_is_known_there_is_no_ratio_and_no_table():
    for known in (rows().drop(columns=MACHINE), rows().assign(**{MACHINE: ""})):
        assert training_costs(known, {})["erm"].isna().all()
        assert cost_tables(known, {}) == []


def test_of_nothing_finished_nothing_is_said():
    nothing = rows().query("status != 'complete'")
    assert training_costs(nothing, {}).empty
    assert cost_tables(nothing, {}) == []


def test_the_table_says_what_is_not_known():
    (table,) = cost_tables(rows(), {})
    assert table.spans == (("d, IF 10", ("Device-hours", "ERM trainings")),)
    assert table.body == (
        ("ERM", "0.0079", "1.00"), ("SAM", "0.056", "2.50"), ("elsewhere", "0.0014", "–"), ("broken", "–", "–"),
    )  # fmt: skip


def test_methods_stand_in_one_order_in_the_tables_of_all_networks():
    """A row that several networks share, as an ensemble's, comes before the others of the second."""
    both = pd.concat([rows(), rows().iloc[::-1].assign(protocol="q")])
    first, second = ([line[0] for line in table.body] for table in cost_tables(both, {}))
    assert first == second == ["ERM", "SAM", "elsewhere", "broken"]


def test_what_programs_read_holds_the_same_and_leaves_the_rest_as_it_was():
    """CSV and JSON have the means of each method, Parquet the ratio of each trial, behind all that was there before."""
    started = {"SAM0": 38.0, "SAM1": 9.0}
    wanted = by_method(training_costs(rows(), started)) | {"broken": (np.nan, np.nan)}
    for versus in (None, "ERM"):
        lines = [line.split(",") for line in records.csv(rows(), versus=versus, started=started).splitlines()]
        assert [",".join(line[:-2]) for line in lines] == records.csv(rows(), versus=versus).splitlines()
        assert lines[0][-2:] == records.COSTS
        for _, _, _, method, *_, seconds, ratio in lines[1:]:
            assert (float(seconds or "nan"), float(ratio or "nan")) == pytest.approx(wanted[method], nan_ok=True)
        text = records.json(rows(), versus=versus, started=started)
        entries = json.loads(text)
        jsonschema.Draft202012Validator(json.loads(records.SCHEMA.read_text())).validate(entries)
        told = [[np.nan if entry.pop(name) is None else 1 for name in records.COSTS] for entry in entries]
        assert entries == json.loads(records.json(rows(), versus=versus))
        assert np.isnan(told).any() and not np.isnan(told).all()
    endless = rows().replace({"device_seconds": {36.0: np.inf}})
    assert "Infinity" not in records.json(endless, started=started) and "inf" not in records.csv(
        endless, started=started
    )
    trials = pd.read_parquet(BytesIO(records.parquet(rows(), started=started)))
    ratios = trials.pop("erm_trainings")
    pd.testing.assert_frame_equal(trials, pd.read_parquet(BytesIO(records.parquet(rows()))))
    by_key = dict(zip(trials["key"], ratios, strict=True))
    expected = {"ERM0": 36 / 38, "ERM1": 40 / 38, "ERM2": 1, "SAM0": 3, "SAM1": 4}
    assert by_key == pytest.approx(dict.fromkeys(by_key, np.nan) | expected, nan_ok=True)


@pytest.mark.parametrize(
    ("hours", "text"), [(0.0079, "0.0079"), (9.96, "10"), (42.4, "42"), (99.4, "99"), (99.6, "100"), (1234.5, "1,234")]
)
def test_hours_are_written_without_an_exponent(hours, text):
    assert hours_text(hours) == text


def test_a_page_and_a_site_show_the_same():
    costs = training_costs(SUBJECT.rows, {key: told.start_seconds for key, told in EVIDENCE.items()})
    (better,) = costs.query("protocol == 'small, 20 epochs' and dataset == 'cifar10' and method == 'part'")["erm"]
    assert better != 1, "a seed of it is missing, and later seeds take longer"
    shown = content(SUBJECT)
    line = next(x for x in shown["lines"] if x["block"] == 0 and shown["methods"][x["method"]] == "part")
    assert line["cost"] == float(f"{better:.3g}")
    (standing,) = (one for one in board("a", SUBJECT).standings if one.method == "part")
    assert standing.cost == pytest.approx(better)


@pytest.mark.parametrize(
    ("environment", "machine"),
    [
        ({"device": "cuda", "gpu": "A10G", "processor": "EPYC", "threads": 4}, "A10G"),
        ({"device": "cpu", "processor": "EPYC", "threads": 2}, "EPYC, 2"),
        ({}, ""),
        ({"device": "cpu", "processor": {"a": ["stranger's"] * 1000}}, str({"a": ["stranger's"] * 1000})[:200]),
    ],
)
def test_a_machine_is_what_the_record_says(environment, machine):
    assert TrialResult(key="0" * 20, status="failed", environment=environment).machine == machine


def test_a_report_counts_the_judge_that_m2m_starts_from(tmp_path):
    """From the store on: each record's machine, through the tidy table, and what the network it starts from took."""
    raw = {"name": "s", "data": "cifar10", "methods": ["ERM", "M2m"], "network": "small", "seeds": 2}
    spec, store = parse(raw), Store(tmp_path)
    store.write_plan(spec)
    for trial in plan(spec):
        starts = [prerequisite(trial, Need("ERM", independent=True))] if trial.method.name == "M2m" else []
        for each, seconds in ((trial, 30.0 if starts else 20.0), *((start, 10.0 + trial.seed) for start in starts)):
            about = {"device": "cpu", "processor": "one", "threads": 1}
            store.write_record(
                Record(key=each.key, trial=each, status="complete", counts=(500,) * 10, train_seconds=seconds,
                       accuracy={"last_ema": (50.0,) * 10}, environment=about,
                       data=Provenance(verified=True, hashes={}, fingerprint="0" * 64))
            )  # fmt: skip
    report = gather([store])
    assert f",{40.5 / 20}\n" in report.rendered("csv") and f": {40.5 / 20}" in report.rendered("json")
    for form in ("csv", "json"):
        assert not any(name in report.without_costs(form) for name in records.COSTS)
    text = report.rendered("text")
    assert "cost of a training" in text
    (line,) = (line for line in text.split("cost of a training")[1].split("\n") if "M2m" in line)
    assert [word.strip() for word in line.split("|")[1:-1]] == ["M2m", f"{40.5 / 3600:.2g}", f"{40.5 / 20:.2f}"]
