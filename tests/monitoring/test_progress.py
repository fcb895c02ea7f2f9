"""How far a run is: the counts, the time left, how both look, and what other shells are told."""

import io
import json
import time

import pytest
from rich.console import Console

from tailboard.harness import text as text_module
from tailboard.harness.errors import StoreError
from tailboard.harness.monitoring import display, status_file, watch
from tailboard.harness.monitoring.eta import Forecast, Pace
from tailboard.harness.monitoring.record_reader import Readings
from tailboard.harness.monitoring.reporter import ProgressReporter
from tailboard.harness.monitoring.run_state import Ended, Outlook, Scoreboard
from tailboard.harness.monitoring.status_file import Progress, StatusFileWriter
from tailboard.harness.planning.prepare import RunRequest, prepare
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.lease import only_driver
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training.cost import estimate_flops
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.configuration import Configuration
from tailboard.harness.tuning.results import RunStorage
from tailboard.harness.tuning.search import planned_epochs, searches

RAW = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", "SAM-A"],
    "network": "small",
    "training": {"epochs": 4},
    "seeds": 2,
}
TUNED = RAW | {"methods": ["ERM", "M2m"], "tune": {"trials": 8, "parameters": ["all", "lr"]}}
COUNTS = (60, 46, 35, 27, 21, 16, 12, 10, 7, 6)
NASTY = "\x1b]0;owned\x07\x1b[2J [red]x[/red]"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pace(clock) -> Pace:
    return Pace(clock)


def outlook_of(spec, **words) -> Outlook:
    outlook = Outlook()
    outlook.add(spec, searches(spec), **words)
    return outlook


def rendered(facts, **options) -> str:
    console = Console(file=io.StringIO(), width=100, **options)
    console.print(display.render(facts))
    return console.file.getvalue()


def record_of(trial, status="complete", accuracy=50.0, **about) -> Record:
    found = {"last_ema": (accuracy,) * 10} if status in ("complete", "pruned") else {}
    return Record(key=trial.key, trial=trial, status=status, counts=COUNTS, accuracy=found, **about)


def filled(folder, raw=RAW) -> Store:
    store, spec = Store(folder), parse(raw)
    store.write_plan(spec)
    for trial in plan(spec):
        store.write_record(record_of(trial))
    return store


# The time left


def test_nothing_is_said_before_each_place_has_told_of_an_epoch(pace, clock):
    pace.expect("a", 100)
    assert pace.seconds_left() is None
    pace.training(1)
    pace.training(2)
    clock.now += 10
    assert pace.seconds_left() is None
    pace.did("a", 5)
    assert pace.seconds_left() is None, "what the other has done is not known yet"
    pace.did("a", 5)
    assert pace.seconds_left() == pytest.approx(90)


def test_the_time_left_goes_by_work_and_not_by_trials(pace, clock):
    for name, amount in {"short": 10, "long": 990}.items():
        pace.expect(name, amount)
    pace.training(1)
    clock.now += 1
    pace.did("short", 10)
    pace.close("short")
    assert pace.seconds_left() == pytest.approx(99), "one of two trials is done, but a hundredth of the work"
    clock.now += 1
    assert pace.seconds_left() == pytest.approx(198), "nothing has come in since: it is slower than it seemed"


def test_what_an_earlier_session_did_is_not_left_and_does_not_make_this_one_fast(pace, clock):
    pace.expect("a", 100)
    pace.training(1)
    pace.skip("a", 50)
    clock.now += 10
    pace.did("a", 10)
    assert pace.seconds_left() == pytest.approx(40)
    pace.skip("a", 1000)
    assert pace.seconds_left() == 0
    pace.did("of no account", 10)
    assert pace.seconds_left() == 0


def test_a_trial_is_worth_its_epochs_and_those_it_had_before(pace, clock):
    spec = parse(RAW)
    erm, other, *slow = plan(spec)
    assert estimate_flops(slow[0], {}) == 2 * estimate_flops(erm, {}), "two passes a step"
    forecast = Forecast(pace, outlook_of(spec))
    forecast.add(spec, {}, [], {other.key}, report=True, defaults=False)
    forecast.started(erm)
    clock.now += 8
    forecast.epoch(erm, 2)  # it goes on from a checkpoint of two epochs
    assert forecast.seconds_left() == pytest.approx(8 * (1 + 4 * 2 + 4 * 2))
    forecast.epoch(erm, 2)
    assert forecast.seconds_left() == pytest.approx(8 * (1 + 4 * 2 + 4 * 2)), "trained again: no nearer"
    forecast.finished(erm, 3)
    assert forecast.seconds_left() == pytest.approx(8 * 16), "it diverged: its last epoch is not trained"
    forecast.broken(slow[0])
    assert forecast.seconds_left() == pytest.approx(8 * 8)


def test_searches_are_part_of_what_is_left(pace, clock):
    """In epochs of ERM's search; M2m costs more, and starts from ERM's network in the search and in the report."""
    spec = parse(TUNED)
    found = searches(spec)
    erm, m2m = found.values()
    others = [trial for trial in plan(spec) if trial.method.name == "ERM"]
    outlook = outlook_of(spec, others=others)
    forecast = Forecast(pace, outlook)
    forecast.add(spec, found, others, (), report=True, defaults=False)
    trial = erm.default_trials()[0]
    each, report = estimate_flops(trial, {}) / 4, estimate_flops(others[0], {})
    cost = estimate_flops(m2m.default_trials()[0], {}) / estimate_flops(trial, {})
    assert cost > 1
    forecast.started(trial)
    clock.now += 1
    forecast.epoch(trial, 0)
    left = (planned_epochs(erm) - 1 + cost * planned_epochs(m2m)) * each + (2 + 2 + 2 * cost) * report
    assert forecast.seconds_left() == pytest.approx(left / each)

    forecast.finished(trial, 3)  # an earlier session had trained the rest
    assert forecast.seconds_left() == pytest.approx(left / each - 2)
    row = others[0]
    final = erm.reporting_trial(
        Configuration(1, {"training.lr": 0.05} | {n: d.default for n, d in erm.space.items() if n != "training.lr"}), 0
    )
    assert final.key != row.key
    forecast.found(row, final, done=False)
    outlook.found(row, final)
    left -= (planned_epochs(erm) - 1) * each
    assert forecast.seconds_left() == pytest.approx(left / each), "the search is over, and its trial is still to come"
    forecast.found(row, final, done=False)
    assert forecast.seconds_left() == pytest.approx(left / each), "to be told twice changes nothing"
    forecast.finished(final, 4)
    assert forecast.seconds_left() == pytest.approx((left - report) / each)
    forecast.broken(m2m.default_trials()[0])
    left -= report + cost * (planned_epochs(m2m) * each + 2 * report)
    assert forecast.seconds_left() == pytest.approx(left / each), "nor is what would report its values"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min"), (3540, "59 min"), (3599, "1 h"), (7500, "2 h 5 min"), (86400, "1 d"),
     (100 * 3600, "4 d 4 h")],
)  # fmt: skip
def test_a_duration_has_two_units_at_most(seconds, words):
    assert text_module.duration(seconds) == words


# The rows


def test_a_plan_that_is_tuned_counts_its_searches_and_what_others_start_from():
    spec = parse(TUNED)
    erm, m2m = searches(spec).values()
    others = [trial for trial in plan(spec) if trial.method.name == "ERM"]
    outlook = outlook_of(spec, others=others)
    assert m2m.prerequisites()[0].key == erm.default_trials()[0].key, "ERM's own search judges it: it counts once"
    assert outlook.total == 8 + 8 + 2 + 2 + 2
    assert [(r.label, r.planned, r.budget) for r in outlook.rows.values()] == [
        ("ERM", 2, 8), ("M2m", 2, 8), ("ERM, to start from", 2, 0),
    ]  # fmt: skip
    values = {name: dimension.default for name, dimension in m2m.space.items()} | {"training.lr": 0.05}
    (trial,) = m2m.trials(Configuration(3, values))
    assert [row.label for row in outlook.place(trial)] == ["M2m"]
    assert outlook.place(trial.model_copy(update={"seed": 5})) == []
    final = m2m.reporting_trial(Configuration(3, values), 0)
    assert outlook.place(final) == []
    outlook.found(m2m.experiment.trial(0), final)
    assert [row.label for row in outlook.place(final)] == ["M2m"]
    assert outlook.rows["M2m"].budget == 1, "the search has ended after so many"
    assert outlook_of(spec, others=others, report=False).total == 16
    assert outlook_of(spec, others=others, defaults=True).rows["ERM, defaults"].planned == 2


def test_each_trial_is_done_or_failed_or_neither():
    spec = parse(RAW)
    one, two, three, four = plan(spec)
    board = Scoreboard(outlook_of(spec))
    board.ended = {
        one.key: Ended("complete", {"few": 10.0, "all": 30.0}),
        two.key: Ended("complete", {"few": 20.0, "all": 50.0}),
        three.key: Ended("diverged"),
        "of another plan": Ended("failed"),
    }
    board.running = {four.key: ["SAM-A"]}
    facts = board.facts()
    assert {name: facts[name] for name in ("planned", "done", "running", "failed")} == {
        "planned": 4, "done": 2, "running": 1, "failed": 1,
    }  # fmt: skip
    erm, sam = facts["methods"]
    assert erm["means"] == {"few": 15.0, "all": 40.0}
    assert (sam["done"], sam["running"], sam["failed"], sam["means"]) == (0, 1, 1, {})
    board.running, board.broken = {}, {four.key, three.key}
    assert (board.facts()["failed"], board.facts()["running"]) == (2, 0)


# How it looks


def facts_of(**changes):
    row = {"method": "ERM", "planned": 5, "done": 3, "running": 2, "failed": 0, "tuning": 0, "tuned": 0, "means": {}}
    other = row | {"method": NASTY, "failed": 1, "means": {"few": 12.34, "all": 56.78}}
    return {"planned": 10, "done": 6, "running": 4, "failed": 1, "methods": [row, other]} | changes


def test_the_picture_has_the_totals_each_methods_row_and_where_to_look():
    text = rendered(facts_of(elapsed=60, left=125, dashboard="http://h:8265", mlflow="http://me:5000"))
    assert "6 done, 4 running, 1 failed of 10 trials" in text
    assert "1 min elapsed, about 2 min left" in text
    assert "Ray's dashboard: http://h:8265\n" in text.replace(" \n", "\n").replace("  ", "")
    assert "MLflow: http://me:5000" in text
    row = next(line for line in text.splitlines() if "[red]x[/red]" in line)
    assert [cell.strip() for cell in row.split("│")[2:-1]] == ["3/5", "2", "1", "12.3", "", "", "56.8"]
    assert "tuning" not in text
    tuned = facts_of()
    tuned["methods"][0] |= {"tuning": 8, "tuned": 3}
    assert "3/8" in rendered(tuned)
    plain = rendered(facts_of())
    assert not any(word in plain for word in ("elapsed", "left", "MLflow", "dashboard")), (
        "of what is not known, nothing"
    )


def test_control_characters_of_a_name_do_no_harm():
    facts = facts_of(mlflow="http://h/\x1b[2J", note="\x1b[2J")
    text = rendered(facts) + "".join(display.changes([facts], as_json=True))
    text += "".join(display.changes([facts], as_json=False))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_no_color_is_honoured(monkeypatch):
    red = "\x1b[31m"
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert red in rendered(facts_of(), force_terminal=True, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert red not in rendered(facts_of(), force_terminal=True, color_system="standard")


def test_elsewhere_a_line_comes_where_something_has_changed():
    looks = [facts_of(left=9.0, at=1), facts_of(left=8.0, at=2), facts_of(done=7, left=7.0, at=3)]
    assert list(display.changes(looks, as_json=False)) == [
        "6 done, 4 running, 1 failed of 10 trials; about 9 s left",
        "7 done, 4 running, 1 failed of 10 trials; about 7 s left",
    ]
    assert [json.loads(line)["at"] for line in display.changes(looks, as_json=True)] == [1, 3]


class Mute:
    """In place of MLflow's thread."""

    def epoch(self, *_) -> None: ...
    def finished(self, *_) -> None: ...


def test_a_run_that_goes_on_shows_what_was_there_and_where_a_joined_clusters_dashboard_is(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    store, spec = filled(tmp_path), parse(RAW)
    *_, last = plan(spec)
    store.remove(f"records/{last.key}.json")
    screen = io.StringIO()
    work_ = prepare(RunRequest(spec), store, RunStorage(store), None, True)
    with (
        only_driver(store),
        ProgressReporter(Console(file=screen, force_terminal=True, width=120), work_, Mute()) as shown,
    ):
        shown.on_cluster("me:secret@10.0.0.1:8265")
        shown.on_trial_start(last)
        shown.on_epoch(last, {"epoch": 1})
        wait(lambda: (seen := status_file.read(store)) and seen.dashboard and seen.running)
        seen = status_file.read(store)
    assert (seen.dashboard, seen.planned, seen.running[0].epoch) == ("http://***@10.0.0.1:8265", 4, 2)
    assert seen.running[0].rows == ("SAM-A",)
    text = screen.getvalue()
    assert "3 done, 1 running, 0 failed of 4 trials" in text
    assert "Ray's dashboard: http://***@10.0.0.1:8265" in text
    assert "MLflow: http://***@127.0.0.1:9" in text
    assert "50.0" in text, "the means of what an earlier session finished"
    assert "secret" not in text + str(seen)
    assert not store.has(status_file.FILE)


# What other shells see


def told(**changes) -> dict:
    return {"spec": "t", "report": True, "defaults": False, "planned": 4} | changes


def wait(happens) -> None:
    end = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end, "it did not happen within 20 s"
        time.sleep(0.01)


def test_a_driver_tells_of_its_run_and_takes_it_back(tmp_path):
    store = filled(tmp_path)
    with only_driver(store):
        lit = StatusFileWriter(store, lambda: told(left=5.0))
        wait(lambda: store.has(status_file.FILE))
        progress, driven, note = watch.progress(store)
        assert (progress.left, driven, note) == (5.0, True, "")
        lit.end()
        assert not store.has(status_file.FILE)
        assert watch.progress(store) == (None, True, "a run has begun, and tells nothing yet")
    assert watch.progress(store) == (None, False, "no run is at it")


@pytest.mark.parametrize("error", [StoreError("away"), OSError("full"), RuntimeError("of a library")])
def test_a_store_that_takes_no_progress_stops_no_run(tmp_path, monkeypatch, error):
    asked = []

    def refuses(*args) -> None:
        asked.append(args)
        raise error

    store = Store(tmp_path)
    monkeypatch.setattr(store, "write", refuses)
    monkeypatch.setattr(store, "remove", refuses)
    lit = StatusFileWriter(store, told)
    wait(lambda: asked)
    lit.end()
    assert [args[0] for args in asked] == [status_file.FILE, status_file.FILE]


def test_what_a_killed_driver_left_behind_is_known_for_what_it_is(tmp_path):
    store = filled(tmp_path)
    dead = Progress(at=time.time() - 600, began=0, host="h", pid=1, **told())
    store.write(status_file.FILE, dead.model_dump_json().encode())
    progress, driven, note = watch.progress(store)
    assert (progress, driven) == (None, False)
    assert "the run was killed (its last word is 10 min old)" in note
    with only_driver(store):
        assert watch.progress(store)[:2] == (None, True), "another driver is at it; the words are the dead one's"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"at": 1}', b"[" * 100_000, b"\xff"])
def test_damaged_progress_is_no_progress(tmp_path, data):
    store = filled(tmp_path)
    store.write(status_file.FILE, data)
    assert watch.progress(store)[:2] == (None, False)


def test_finished_records_are_read_once(tmp_path, monkeypatch):
    store, reads = filled(tmp_path), []
    monkeypatch.setattr(store, "result", lambda key: reads.append(key) or Store.result(store, key))
    looks = watch.StoreMonitor(store)
    assert looks.snapshot()["done"] == 4
    assert looks.snapshot()["done"] == 4
    assert sorted(reads) == sorted(store.finished())
    key = reads[0]
    store.remove(f"records/{key}.json")
    assert looks.snapshot()["done"] == 3
    again = record_of(next(t for t in plan(parse(RAW)) if t.key == key), status="failed")
    Store(store.url).write_record(again)
    facts = looks.snapshot()
    assert (facts["done"], facts["failed"]) == (3, 1)
    assert reads[4:] == [key], "one that was made again is read again"
    store.write(f"records/{reads[1]}.json", b"{")
    assert watch.StoreMonitor(store).snapshot()["done"] == 2, "a damaged one is not finished"


def test_records_far_away_are_read_a_few_at_a_time(tmp_path):
    store = filled(tmp_path)
    readings = Readings(store.result, sorted(store.finished()))
    assert [len(readings.read(0)) for _ in range(5)] == [1, 1, 1, 1, 0]
    looks = watch.StoreMonitor(store)
    facts = looks.snapshot(0)
    assert (facts["done"], sum(bool(row["means"]) for row in facts["methods"])) == (4, 1), "counted, if not yet read"
    assert all(row["means"]["all"] == 50 for row in looks.snapshot(9)["methods"])


def test_a_search_is_seen_too(tmp_path):
    """Its trials are found by what Optuna's storage holds, and no method's code is run."""
    from tailboard.harness.tuning.optuna_study import create_study, open_storage

    spec = parse(TUNED)
    found, store = searches(spec), Store(tmp_path)
    save_searches(spec, found, store)
    store.write_plan(spec)
    looks = watch.StoreMonitor(store)
    assert looks.snapshot()["planned"] == 16 + 4
    erm, _ = found.values()
    with open_storage(store) as opened:
        for one in create_study(opened, erm.name).generation(erm.space, 0, 4, "random", 1):
            for trial in erm.trials(one):
                store.write_record(record_of(trial, status="pruned", epochs=1))
    facts = looks.snapshot()
    assert (facts["planned"], facts["done"]) == (20, 4)
    assert [(row["tuned"], row["tuning"], row["means"]) for row in facts["methods"]] == [(4, 8, {}), (0, 8, {})]
