"""How far a run is: the counts, the time left, how both look, and what other shells are told."""

import io
import json
import time
from collections import Counter

import pytest
from rich.console import Console

from tailboard.harness import text as text_module
from tailboard.harness.errors import StoreError
from tailboard.harness.monitoring import display, status_file, watch
from tailboard.harness.monitoring.progress import RunProgress
from tailboard.harness.monitoring.reporter import ProgressReporter
from tailboard.harness.monitoring.status_file import Progress, StatusFileWriter
from tailboard.harness.planning.fused_seeds import with_fused_seeds
from tailboard.harness.planning.plan import Plan
from tailboard.harness.planning.prepare import prepare
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.lease import only_driver
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training.cost import estimate_flops
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.configuration import Configuration
from tailboard.harness.tuning.results import RunStorage, SearchResult
from tailboard.harness.tuning.search import searches

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


def progress_of(spec, results=None, others=(), **words) -> RunProgress:
    progress = RunProgress(spec.shots, lambda trial: estimate_flops(trial, {}))
    found = searches(spec)
    progress.add(spec, results or {row: SearchResult(search, (), {}, False) for row, search in found.items()}, **words)
    progress.expect(others)
    return progress


def epochs_left(progress) -> dict[str, float]:
    """By method, in all."""
    found = Counter()
    for task in progress.tasks.values():
        found[task.method] += task.epochs
    return dict(found)


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


# The work that is left


def test_a_trial_is_worth_its_epochs_and_those_it_had_before():
    spec = parse(RAW)
    erm, other, *slow = plan(spec)
    progress = RunProgress(spec.shots)
    progress.look([other.key])
    progress.add(spec, {})
    assert epochs_left(progress) == {"ERM": 4, "SAM-A": 8}
    progress.start(erm)
    progress.epoch(erm, 1)  # it goes on from a checkpoint of one epoch
    assert epochs_left(progress)["ERM"] == 2
    progress.epoch(erm, 1)
    assert epochs_left(progress)["ERM"] == 2, "trained again: no nearer"
    progress.end(record_of(erm, "diverged", epochs=3))
    assert epochs_left(progress) == {"ERM": 0, "SAM-A": 8}, "its last epoch is not trained"
    progress.abandon(slow[0])
    assert epochs_left(progress)["SAM-A"] == 4
    assert (progress.running, progress.abandoned) == ({}, {slow[0].key})


def test_a_trial_of_one_epoch_has_a_speed_too():
    spec = parse(RAW | {"training": {"epochs": 1}, "methods": "ERM"})
    progress, (first, second) = progress_of(spec), plan(spec)
    for trial in (first, second):
        progress.start(trial)
    progress.epoch(first, 0)
    assert progress.seconds_left() is None
    progress.end(record_of(first, epochs=1, train_seconds=7.0))
    assert progress.seconds_left() == pytest.approx(7, rel=0.1)


def test_an_epoch_of_fused_seeds_is_one_of_each():
    spec = with_fused_seeds(parse(RAW | {"methods": "ERM", "resources": {"fuse_seeds": True}}))
    first, second = plan(spec)
    assert first.fused == second.fused == (first.seed, second.seed)
    progress = progress_of(spec)
    progress.start(first)
    progress.epoch(first, 0)
    assert epochs_left(progress) == {"ERM": 2 * 3}
    progress.end(record_of(first, epochs=4))
    progress.end(record_of(second, epochs=4))
    assert epochs_left(progress) == {"ERM": 0}


def test_a_fused_seed_that_ends_alone_leaves_the_others_work():
    spec = with_fused_seeds(parse(RAW | {"methods": "ERM", "seeds": 3, "resources": {"fuse_seeds": True}}))
    first, second, third = plan(spec)
    progress = progress_of(spec)
    progress.start(first)
    progress.epoch(first, 0)
    progress.end(record_of(first, "failed", epochs=1))
    assert epochs_left(progress) == {"ERM": 2 * 3}
    progress.start(second)
    for epoch in range(4):
        progress.epoch(second, epoch)
    assert epochs_left(progress) == {"ERM": 0}, "the first was trained again with them, and is not counted again"
    for trial in (second, third):
        progress.end(record_of(trial, epochs=4))
    assert epochs_left(progress) == {"ERM": 0}


def test_searches_of_one_row_share_the_trials_that_are_known():
    tune = {"parameters": ["lr"]}
    few, many = (parse(TUNED | {"methods": "ERM", "tune": tune | {"trials": n}}) for n in (4, 8))
    progress = RunProgress(few.shots)
    for spec in (few, many):
        (search,) = searches(spec).values()
        progress.add(spec, {row: SearchResult(search, (), {}, False) for row in searches(spec)}, report=False)
        values = {name: dimension.default for name, dimension in search.space.items()}
        proposed = [Configuration(n, values | {"training.lr": 0.01 * (1 + n)}) for n in range(1, 4)]
        progress.propose(search, [trial for one in proposed for trial in search.trials(one)])
        progress.end_search(search, None) if spec is few else None
    assert progress.finished == (0, 8), "four are known, four are not"


def test_searches_are_part_of_what_is_left():
    """M2m starts from ERM's network, of trials of its own, in the search and in the report."""
    spec = parse(TUNED)
    erm, m2m = searches(spec).values()
    others = Plan(spec).prerequisites
    assert len(others) == len(spec.seeds)
    progress, planned = progress_of(spec, others=others), erm.planned_epochs
    assert planned == m2m.planned_epochs == 2 * (4 + 2 + 2)
    assert epochs_left(progress) == {"ERM": planned + (2 + 2 + 1) * 4, "M2m": planned + 2 * 4}
    (trial,) = erm.default_trials()
    progress.start(trial)
    progress.epoch(trial, 0)
    progress.end(record_of(trial, epochs=3))
    assert epochs_left(progress)["ERM"] == planned - 3 + 20
    values = {name: dimension.default for name, dimension in erm.space.items()} | {"training.lr": 0.05}
    winner = Configuration(1, values)
    for _ in range(2):
        progress.end_search(erm, winner)
        assert epochs_left(progress)["ERM"] == 20, "told twice, as by a run that goes on"
    final = erm.reporting_trial(winner, 0)
    assert final.key not in {trial.key for trial in others}
    progress.end(record_of(final, epochs=4))
    assert epochs_left(progress)["ERM"] == 16
    progress.abandon(m2m.default_trials()[0])
    assert epochs_left(progress)["M2m"] == 0, "nor is what would report its values"


def test_what_an_earlier_session_trained_of_a_search_is_not_left():
    spec = parse(TUNED)
    results = {}
    for row, search in searches(spec).items():
        default = Configuration(0, {name: d.default for name, d in search.space.items()}, "complete", 50.0, epochs=4)
        results[row] = SearchResult(search, (default,), {}, exhausted=True)
    progress = progress_of(spec, results)
    assert epochs_left(progress) == {"ERM": 4 + 8, "M2m": 8}, "two that report the defaults, and M2m's own ERM"
    assert progress.finished == (0, 2 + 1 + 4)
    results = {row: SearchResult(result.search, result.configurations, {}, False) for row, result in results.items()}
    assert epochs_left(progress_of(spec, results))["ERM"] == 16 - 4 + 4 + 8


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
    progress = progress_of(spec, others=Plan(spec).prerequisites)
    assert progress.finished == (0, 8 + 8 + 1 + 2 + 2 + 2)
    lines = lambda: [(row["method"], row["planned"], row["tuning"]) for row in progress.facts()["methods"]]  # noqa: E731
    assert lines() == [("ERM", 2, 9), ("M2m", 2, 8), ("ERM, to start from", 2, 0)]
    values = {name: dimension.default for name, dimension in m2m.space.items()} | {"training.lr": 0.05}
    winner = Configuration(3, values)
    (trial,) = m2m.trials(winner)
    progress.propose(m2m, [trial])
    assert progress.tasks[trial.key].rows == ("M2m",)
    assert progress.finished[1] == 23, "one of the eight is known now"
    final = m2m.reporting_trial(winner, 0)
    assert final.key not in progress.tasks
    progress.end_search(m2m, winner)
    assert progress.tasks[final.key].rows == ("M2m",)
    assert lines()[1] == ("M2m", 2, 2), "the search has ended after so many"
    progress.end_search(erm, None)
    assert lines()[0] == ("ERM", 2, 2), "nothing reports it, and that is seen"
    assert progress_of(spec, report=False).finished[1] == 8 + 8 + 1
    defaults = {row["method"]: row["planned"] for row in progress_of(spec, defaults=True).facts()["methods"]}
    assert defaults == {"ERM": 2, "ERM, defaults": 2, "M2m": 2, "M2m, defaults": 2}


def test_each_trial_is_done_or_failed_or_neither():
    spec = parse(RAW)
    one, two, three, four = plan(spec)
    progress = progress_of(spec)
    progress.look([one.key, two.key, three.key, "of another plan"])
    records = {one.key: record_of(one, accuracy=30.0), two.key: record_of(two), three.key: record_of(three, "diverged")}
    progress.read(lambda key: records[key], 9)
    progress.start(four)
    facts = progress.facts()
    assert {name: facts[name] for name in ("planned", "done", "running", "failed")} == {
        "planned": 4, "done": 2, "running": 1, "failed": 1,
    }  # fmt: skip
    erm, sam = facts["methods"]
    assert erm["means"] == {"few": 40.0, "med": 40.0, "all": 40.0}
    assert (sam["done"], sam["running"], sam["failed"], sam["means"]) == (0, 1, 1, {})
    progress.abandon(four)
    assert (progress.facts()["failed"], progress.facts()["running"]) == (2, 0)
    progress.start(four)
    assert progress.facts()["failed"] == 1, "it is tried again"


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

    def begin(self) -> None: ...
    def epoch(self, *_) -> None: ...
    def finished(self, *_) -> None: ...


@pytest.mark.slow
def test_a_run_that_goes_on_shows_what_was_there_and_where_a_joined_clusters_dashboard_is(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    store, spec = filled(tmp_path), parse(RAW)
    *_, last = plan(spec)
    store.remove(f"records/{last.key}.json")
    screen = io.StringIO()
    work_ = prepare(RunRequest(spec), store, RunStorage(store), None, True)
    monkeypatch.setattr(store, "result", pytest.fail)  # they were read just now
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
    assert looks.snapshot()["planned"] == 16 + 1 + 4
    erm, _ = found.values()
    with open_storage(store) as opened:
        for one in create_study(opened, erm.name).generation(erm.space, 0, 4, "random", 1):
            for trial in erm.trials(one):
                store.write_record(record_of(trial, status="pruned", epochs=1))
    facts = looks.snapshot()
    assert (facts["planned"], facts["done"]) == (21, 4)
    assert [(row["tuned"], row["tuning"], row["means"]) for row in facts["methods"]] == [(4, 9, {}), (0, 8, {})]
