"""The search for a method's values: the same for every number of workers and every kill, and blind to the test set.

No trial is trained in the first part: a stand-in writes into a real store what a trial would have left, with an
accuracy that is a function of its values.
"""

from __future__ import annotations

import math
import random
import threading
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_lab import RAW, Lab, bumpy, spec_of
from tailboard.harness.monitoring.status import status_facts
from tailboard.harness.planning.reported import reported_trials
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.scheduling.completion import CompletionHandler, Result, RetryPolicy
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Trial, plan
from tailboard.harness.storage import paths
from tailboard.harness.storage.files import Files
from tailboard.harness.storage.paths import STUDIES
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.tuning.configuration import best
from tailboard.harness.tuning.optuna_study import create_study, open_storage
from tailboard.harness.tuning.results import search_results
from tailboard.harness.tuning.search import searches
from tailboard.harness.tuning.successive_halving import outcomes


def everything(lab: Lab) -> tuple[Any, ...]:
    return lab.studies(), lab.reported(), sorted(lab.store.finished())


TOGETHER = {
    "many methods": spec_of({"trials": 12}, methods=["SAM-A", "M2m", "Focal Loss", "ERM"]),
    "lr too, so that a generator is itself tuned": spec_of(
        {"trials": 8, "parameters": ["all", "lr"]}, methods=["ERM", "M2m", "Focal Loss"]
    ),
    "two seeds, no pruning, generations of three": spec_of(
        {"trials": 10, "seeds": 2, "prune": False, "generation": 3}, methods=["M2m", "SAM-A"]
    ),
    "two settings": spec_of({"trials": 8, "sampler": "random"}, data=[RAW["data"], RAW["data"] | {"head": 80}]),
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Callable[[str], tuple[Any, ...]]:
    @lru_cache
    def one(name: str) -> tuple[Any, ...]:
        lab = Lab(tmp_path_factory.mktemp("undisturbed"), TOGETHER[name], bumpy)
        assert lab.drive()
        states = {trial[2] for trials in lab.studies().values() for trial in trials}
        assert "RUNNING" not in states
        assert {"COMPLETE", "PRUNED" if TOGETHER[name].tune.prune else "FAIL"} <= states
        assert max(lab.trained.values()) == 1
        assert len(lab.reported()) == len(plan(lab.spec))
        return everything(lab)

    return one


@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.parametrize("workers", (1, 2, 8, 64))
def test_neither_the_number_of_workers_nor_the_order_in_which_trials_end_changes_anything(
    undisturbed, tmp_path, name, workers
):
    lab = Lab(tmp_path, TOGETHER[name], bumpy)
    assert lab.drive(workers, random.Random(workers))  # noqa: S311
    assert lab.most > 1 or workers == 1
    assert everything(lab) == undisturbed(name)
    assert max(lab.trained.values()) == 1


@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.parametrize("seed", range(3))
def test_a_search_that_is_killed_at_any_moment_goes_on_and_repeats_and_forgets_nothing(
    undisturbed, tmp_path, name, seed
):
    """Killed between any two jobs, between a job's end and the agenda's hearing of it, and between any two things that
    Optuna's storage is told."""
    rng = random.Random(seed)  # noqa: S311
    lab, kills = Lab(tmp_path, TOGETHER[name], bumpy), 0
    while kills < 25:
        lab.memory.left = rng.randrange(40)
        if lab.drive(rng.choice((1, 2, 8)), rng, kill=0.02):
            break
        kills += 1
    lab.memory.left = math.inf
    assert lab.drive(2, rng) and kills > 2
    assert everything(lab) == undisturbed(name), f"{kills} kills"
    assert max(lab.trained.values()) == 1
    before = dict(lab.trained)
    assert lab.drive() and lab.trained == before, "the same command again finds nothing to do"


@pytest.mark.parametrize("name", ["many methods", "lr too, so that a generator is itself tuned"])
def test_a_driver_reads_each_record_once_also_one_that_goes_on(tmp_path, monkeypatch, name):
    reads: Counter[str] = Counter()

    def counting(store: Store, name: str) -> bytes:
        data = Files.read(store, name)
        reads[name] += name.startswith(("records/", "rungs/"))
        return data

    monkeypatch.setattr(Store, "read", counting, raising=False)
    lab = Lab(tmp_path, TOGETHER[name], bumpy)
    lab.memory.left = 60
    assert not lab.drive(8)
    begun, _ = set(reads.elements()), reads.clear()
    lab.memory.left = math.inf
    assert lab.drive(8)
    assert len(begun) > 8 and begun & reads.keys() and set(reads.values()) == {1}
    files = {f"{folder}/{path.name}" for folder in ("records", "rungs") for path in (tmp_path / folder).iterdir()}
    unread = files - begun - reads.keys()
    assert {lab.store.result(name[8:28]).status for name in unread} == {"pruned"}, "copies of rungs that were read"


def test_a_job_that_hung_after_its_last_word_is_done(tmp_path):
    lab = Lab(tmp_path, spec_of(), bumpy)
    agenda = JobQueue(lab.store)
    fill_queue(agenda, RunRequest(lab.spec), lab.memory, lab)
    handler = CompletionHandler(agenda, RetryPolicy(lab.spec.resources), lab, Result(), threading.Event())
    first, second = agenda.pop(), agenda.pop()
    lab.train(first)
    for job in (first, second):
        handler.on_timeout(job, "TimeLimit: no epoch ended within 10 s", 70.0)
    assert lab.store.finished() == {second.trial.key} and lab.store.rung(first.trial.key, first.target_epoch)


def test_the_same_in_the_file_that_optuna_keeps(undisturbed, tmp_path):
    name = "two settings"
    lab, rng = Lab(tmp_path, TOGETHER[name], bumpy), random.Random(5)  # noqa: S311
    for kill in (0.1, 0.1, 0.0):
        with open_storage(lab.store) as opened:
            lab.memory = opened
            whole = lab.drive(2, rng, kill)
            found, winners = everything(lab), [one.winner for one in lab.tuned()]
    assert whole and found == undisturbed(name)
    assert [one.winner for one in search_results(lab.spec, lab.store).values()] == winners


# What counts


def by_number(lab: Lab, worth: Callable[[int, int], float | str]) -> None:
    """Let the configuration with each number come to ``worth(number, epochs)``; the report's trials to 50."""
    numbers: dict[str, int] = {}

    def score(trial: Trial, until: int) -> float | str:
        if trial.stage == "report" or trial.method.name == "ERM":
            return 50.0
        for one in lab.tuned():
            numbers.update({t.key: c.number for c in one.configurations for t in one.search.trials(c)})
        return worth(numbers[trial.key], until)

    lab.score = score


def searched(folder: Path, worth: Callable[[int, int], float | str], **tune: Any) -> Lab:
    lab = Lab(folder, spec_of(tune), bumpy)
    by_number(lab, worth)
    assert lab.drive(2)
    return lab


def test_a_stopped_configuration_never_wins_however_high_its_value(tmp_path):
    """1 is best after a quarter and falls; of 0, which ends, less is left than what 2 and 3 had when they stopped."""
    values = {0: {2: 80, 4: 79, 8: 30}, 1: {2: 90, 4: 70, 8: 99}, 2: {2: 60, 4: 0, 8: 99}, 3: {2: 59, 4: 0, 8: 99}}
    lab = searched(tmp_path, lambda number, until: values[number][until], trials=4)
    found = lab.only().configurations
    assert [(c.state, c.value, c.epochs) for c in found] == [
        ("complete", 30, 8), ("pruned", 70, 4), ("pruned", 60, 2), ("pruned", 59, 2)
    ]  # fmt: skip
    assert lab.only().winner == found[0] == best(found)
    (trials,) = lab.studies().values()
    assert [t[4] for t in trials] == [{2: 80, 4: 79, 8: 30}, {2: 90, 4: 70}, {2: 60}, {2: 59}]
    stopped = [lab.store.record(key) for c in found[1:] for key in c.keys]
    assert {r.status for r in stopped} == {"pruned"} and {r.key for r in stopped} <= set(lab.ended)


def test_a_diverged_configuration_is_told_as_failed_and_never_as_a_number(tmp_path):
    lab = searched(tmp_path, lambda number, until: "diverged" if number == 0 else 10.0 + number, trials=4, prune=False)
    (trials,) = lab.studies().values()
    assert [t[2] for t in trials] == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert trials[0][3] is None and trials[0][4] == {}
    found = lab.only()
    assert found.configurations[0].value is None and found.configurations[0].reason == "diverged: it broke"
    assert found.winner == found.configurations[3] and found.unfinished_reason == ""


def test_one_that_breaks_late_leaves_its_place_to_nobody_and_its_early_value_with_no_number(tmp_path):
    lab = searched(
        tmp_path, lambda number, until: "failed" if number == 1 and until == 8 else 10.0 + (number == 1), trials=4
    )
    found = lab.only()
    assert [c.state for c in found.configurations] == ["pruned", "failed", "pruned", "pruned"]
    assert found.configurations[1].value is None
    assert found.winner is None and "none of 4 trials finished" in found.unfinished_reason


def test_a_method_whose_every_trial_failed_has_no_values_and_says_why(tmp_path):
    lab = searched(tmp_path, lambda number, until: "diverged", trials=8)
    found = lab.only()
    assert found.finished and found.winner is None
    assert "none of 8 trials finished" in found.unfinished_reason and "diverged: it broke" in found.unfinished_reason
    (row,) = {one.row.method.name for one in reported_trials(lab.spec, {found.search.experiment.canonical: found})}
    assert row == "SAM-A" and not lab.reported()
    shown = reported_trials(lab.spec, {found.search.experiment.canonical: found})
    assert all(one.failed and one.why == found.unfinished_reason for one in shown)


def test_a_trial_that_was_stopped_early_is_no_finished_one_at_its_last_epoch(tmp_path):
    lab = searched(tmp_path, lambda number, until: 40.0 + number, trials=2, prune=False)
    found = lab.only()
    first, last = outcomes(found.search, found.configurations, lab.store)
    assert first and last and last[0] == found.winner
    record = lab.store.record(found.winner.keys[0])
    stopped = record.model_copy(update={"status": "pruned", "epochs": 1})
    lab.store.write(paths.record(record.key), stopped.model_dump_json().encode())
    assert outcomes(found.search, found.configurations, lab.store)[1] is None


def test_a_search_that_is_under_way_says_so(tmp_path):
    lab = Lab(tmp_path, spec_of(), bumpy)
    create_study(lab.memory, next(iter(searches(lab.spec).values())).name)
    found = lab.only()
    assert not found.finished and found.unfinished_reason == "tuning is not finished: 0 of 8 trials"
    shown = reported_trials(lab.spec, {found.search.experiment.canonical: found})
    assert all(one.why and not one.failed for one in shown)


@pytest.mark.parametrize("seed", range(3))
def test_of_equals_the_earliest_wins(tmp_path, seed):
    lab = Lab(tmp_path, spec_of({"trials": 8, "prune": False}), bumpy)
    by_number(lab, lambda number, until: 60.0 if number in (2, 5, 6) else 40.0)
    assert lab.drive(8, random.Random(seed))  # noqa: S311
    assert lab.only().winner.number == 2
    pruned = Lab(tmp_path / "pruned", spec_of({"trials": 4}), lambda trial, until: 50.0)
    assert pruned.drive(8, random.Random(seed))  # noqa: S311
    assert [c.state for c in pruned.only().configurations] == ["complete", "pruned", "pruned", "pruned"]


def test_the_value_of_several_seeds_is_their_mean(tmp_path):
    lab = Lab(tmp_path, spec_of({"trials": 4, "seeds": 3}), lambda trial, until: 30.0 + trial.seed % 1000 + until)
    assert lab.drive(4)
    found = lab.only()
    assert found.winner.value == pytest.approx(39.0) and found.winner.epochs == 3 * 8
    assert len(set(found.winner.keys)) == 3 and found.winner.seconds == pytest.approx(24.0)
    one_bad = Lab(
        tmp_path / "b", spec_of({"trials": 4, "seeds": 3}), lambda t, u: "diverged" if t.seed == 1001 else 50.0
    )
    assert one_bad.drive(4)
    assert {c.state for c in one_bad.only().configurations} == {"failed"}


def test_the_metric_is_the_one_that_is_asked_for(tmp_path):
    worst = Lab(tmp_path / "w", spec_of({"trials": 4, "metric": "val/worst_class"}), lambda trial, until: 50.0)
    few = Lab(tmp_path / "f", spec_of({"trials": 4, "metric": "val/few"}), lambda trial, until: 50.0)
    for lab in (worst, few):
        assert lab.drive()
    accuracy = few.store.record(few.only().winner.keys[0]).accuracy["last_ema"]
    counts = few.store.record(few.only().winner.keys[0]).counts
    assert few.only().winner.value == pytest.approx(
        np.mean([a for a, n in zip(accuracy, counts, strict=True) if n < 20])
    )
    assert worst.only().winner.value == min(accuracy)


def test_without_the_network_that_it_starts_from_a_method_is_not_trained(tmp_path):
    spec = spec_of({"trials": 8}, methods=["M2m", "Focal Loss"])
    lab = Lab(tmp_path, spec, lambda trial, until: "diverged" if trial.method.name == "ERM" else 50.0)
    assert lab.drive(2)
    m2m, focal = lab.tuned()
    assert [c.state for c in m2m.configurations] == ["failed"] * 8 and m2m.winner is None
    assert all("starts from" in c.reason and not c.epochs for c in m2m.configurations)
    assert focal.winner is not None
    keys = {t.key for c in m2m.configurations for t in m2m.search.trials(c)}
    assert not any(job.split("-")[0] in keys for job in lab.trained)


@pytest.mark.parametrize("seed", range(2))
def test_what_the_infrastructure_breaks_costs_no_budget_and_is_tried_again(undisturbed, tmp_path, seed):
    name = "many methods"
    rng, lab = random.Random(seed), Lab(tmp_path, TOGETHER[name], bumpy)  # noqa: S311
    whole = lab.drive(2, rng, lost=lambda job: rng.random() < 0.05)
    assert whole and "RUNNING" in {t[2] for trials in lab.studies().values() for t in trials}
    assert not any(
        one.failed for one in reported_trials(lab.spec, {t.search.experiment.canonical: t for t in lab.tuned()})
    )
    assert lab.drive(2, rng)
    assert everything(lab) == undisturbed(name)
    assert max(lab.trained.values()) == 1


def test_a_lost_job_ends_the_flows_that_wait_for_it_and_no_other(tmp_path):
    lab = Lab(tmp_path, TOGETHER["many methods"], bumpy)
    assert lab.drive(8, lost=lambda job: job.keep_weights)
    states = {one.search.experiment.entrant.name: {c.state for c in one.configurations} for one in lab.tuned()}
    assert states.pop("M2m") == set()
    assert all("running" not in found for found in states.values())


def test_a_job_that_left_nothing_is_not_taken_for_done(tmp_path):
    lab = Lab(tmp_path, spec_of(), bumpy)
    agenda = JobQueue(lab.store)
    fill_queue(agenda, RunRequest(lab.spec), lab.memory, lab)
    handler = CompletionHandler(agenda, RetryPolicy(lab.spec.resources), lab, Result(), threading.Event())
    job = agenda.pop()
    handler.on_success(job)
    assert "share that folder" in lab.broken_trials[job.trial.key]


def test_a_stopped_trial_is_not_taken_for_a_finished_one_by_another_search(tmp_path):
    """The defaults are in every search of a method: stopped early in one, they are trained to the end for the other."""
    values = {0: {2: 10, 4: 0, 8: 88}}
    lab = searched(tmp_path, lambda number, until: values.get(number, {}).get(until, 40.0), trials=4)
    assert lab.only().configurations[0].state == "pruned"
    lab.spec = spec_of({"trials": 4, "prune": False})
    assert lab.drive(2)
    first = lab.only().configurations[0]
    assert (first.state, first.value, first.epochs) == ("complete", 88, 8)
    assert lab.only().winner == first


def test_a_finished_trial_is_judged_at_the_same_epochs_as_the_others(tmp_path):
    """The other way round: trained to the end before, it is no better after a quarter for that."""
    values = {0: {2: 10, 4: 0, 8: 88}}
    worth = lambda number, until: values.get(number, {}).get(until, 40.0)  # noqa: E731
    lab = searched(tmp_path / "a", worth, trials=4, prune=False)
    assert lab.only().winner.number == 0
    lab.spec = spec_of({"trials": 4})
    assert lab.drive(2)
    fresh = searched(tmp_path / "b", worth, trials=4)
    assert lab.only().configurations == fresh.only().configurations


@pytest.mark.slow
def test_studies_that_were_deleted_are_made_again_from_the_records(kept, tmp_path):
    lab = kept(tmp_path, spec_of())
    before = reported_trials(lab.spec, search_results(lab.spec, lab.store))
    (tmp_path / STUDIES).unlink()
    assert {one.why for one in reported_trials(lab.spec, search_results(lab.spec, lab.store))} == {
        "tuning: the store has no studies.db; the same run makes it again from the records there are"
    }
    trained = lab.trained.copy()
    with open_storage(lab.store) as lab.memory:
        assert lab.drive()
    assert reported_trials(lab.spec, search_results(lab.spec, lab.store)) == before
    assert lab.trained == trained, "nothing was trained for it"


def test_status_tells_of_trials_that_no_row_reports(kept, tmp_path):
    """Of a tuning trial that the infrastructure broke, and of one that others start from and its method broke."""
    lab = kept(tmp_path, spec_of())
    before = status_facts(lab.store)
    assert (before["troubles"], before["again"]) == ([], 0)
    lost = next(key for key in sorted(lab.store.finished()) if lab.store.record(key).trial.stage == "tune")
    lab.store.remove(f"records/{lost}.json")
    lab.store.write_broken(lost, "a worker died")
    other = plan(parse(RAW | {"methods": "ERM", "seeds": [77]}))[0]
    lab.store.write_record(Record(key=other.key, trial=other, status="failed", reason="ValueError: no"))
    facts = status_facts(lab.store)
    told = {trouble["key"]: (trouble["state"], trouble["reason"]) for trouble in facts["troubles"]}
    assert told == {lost: ("missing", "a worker died"), other.key: ("failed", "ValueError: no")}
    assert facts["again"] == 1
