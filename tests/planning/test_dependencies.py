"""Trials that start from another's network: what the plan adds, in which order they run, and that each trains once."""

from __future__ import annotations

import threading
from unittest.mock import MagicMock

import pytest
import torch
from ray.tune.search import Searcher

from tailboard.harness.errors import StoreError
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.planning.reported import judges
from tailboard.harness.registry.datasets import split_of
from tailboard.harness.scheduling.completion import RetryPolicy
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.ray_trials import _JobSearcher
from tailboard.harness.scheduling.run import reporting_flow
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Resources, plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job, record_of
from tailboard.harness.training.learners.image_learner import image_learner, pretrained
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.methods.need import Need
from tailboard.methods.recipe import Recipe
from tailboard.methods.registry import registry

RAW = {
    "name": "needs",
    "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 40},
    "network": "small",
    "training": {"epochs": 2, "batch_size": 32},
    "seeds": 2,
}


def planned(*methods):
    trials = plan(parse(RAW | {"methods": list(methods)}))
    return trials, resolve_dependencies(trials, {})


SAME = {"name": "M2m", "values": {"mixer.judge": "same"}}
SUM = {"name": "Joint-SSL + SAM-A + M2m", "values": {"mixer.judge": "same"}}


def test_a_row_of_the_plan_serves_every_trial_that_starts_from_it():
    trials, needed = planned(SAME, "ERM", SUM)
    assert {t.key for t in needed.trials} == {t.key for t in trials}
    erm = {t.seed: t.key for t in trials if t.method.name == "ERM"}
    starting = [t for t in trials if t.method.name != "ERM"]
    assert needed.of == {t.key: (erm[t.seed],) for t in starting}
    assert needed.prerequisite_keys == set(erm.values())


def test_what_the_plan_does_not_list_is_added_with_the_same_seed_and_data():
    trials, needed = planned("M2m")
    added = [t for t in needed.trials if t not in trials]
    assert [(t.method.name, t.independent) for t in added] == [("ERM", True), ("ERM", True)]
    assert [t.model_copy(update={"method": trials[0].method, "independent": None}) for t in added] == trials
    places = {t.key: i for i, t in enumerate(needed.trials)}
    assert all(places[one] < places[key] for key, others in needed.of.items() for one in others)


def test_an_independent_network_has_the_seed_s_images_and_draws_of_its_own():
    trials, needed = planned("M2m", "ERM")
    judge, erm = (next(t for t in needed.trials if t.independent is word and t.seed == 0 and t.method.name == "ERM")
                  for word in (True, None))  # fmt: skip
    assert needed.of[trials[0].key] == (judge.key,) != (erm.key,)
    splits = [split_of(trial, None, True)[0] for trial in (judge, erm)]
    assert splits[0].fingerprint == splits[1].fingerprint
    runs = [
        image_learner(trial, split.train, split.counts, Recipe(), torch.device("cpu"), Store(""))
        for trial, split in zip((judge, erm), splits, strict=True)
    ]
    assert not any(torch.equal(*both) for both in zip(*(run.model.features.parameters() for run in runs), strict=True)
                   if both[0].ndim == 4)  # fmt: skip
    assert not torch.equal(*(run.sampler(run.labels, 0) for run in runs))


def test_under_the_first_protocol_no_network_was_independent():
    trial = plan(parse(RAW | {"methods": "M2m"}).model_copy(update={"protocol": 1}))[0]
    (start,) = (t for t in resolve_dependencies([trial], {}).trials if t is not trial)
    assert (trial.protocol, start.protocol, start.independent) == (1, 1, None)


def agenda_of(store, trials):
    """An agenda with the report's flow of each trial, and what it says that cannot be run."""
    agenda, broken = JobQueue(store), []
    for trial in trials:
        agenda.add(reporting_flow([trial], False, {}, lambda trial, reason: broken.append(trial.key)))
    return agenda, broken


def finish(store, trial):
    """What a trial leaves whose network others start from."""
    accuracy = {"last_ema": (50.0, 50.0)}
    store.write_record(Record(key=trial.key, trial=trial, status="complete", counts=(9, 1), accuracy=accuracy))
    store.write_weights(trial.key, {})


def test_a_trial_is_handed_out_once_what_it_needs_is_done(tmp_path):
    trials, _ = planned(SAME, "ERM")
    m2m, erm = trials[:2], trials[2:]
    store = Store(tmp_path)
    agenda, broken = agenda_of(store, trials)
    first, second = agenda.pop(), agenda.pop()
    assert [first.trial, second.trial] == erm and first.keep_weights and second.keep_weights
    assert agenda.pop() is None
    finish(store, erm[1])
    agenda.complete(second, record_of(second, store))
    third = agenda.pop()
    assert third.trial == m2m[1] and agenda.pop() is None
    agenda.fail(first)
    assert broken == [m2m[0].key]
    finish(store, m2m[1])
    agenda.complete(third, record_of(third, store))
    assert agenda.pop() is None and not len(agenda)


def test_a_trial_whose_generator_failed_is_not_handed_out(tmp_path):
    trials, needed = planned("M2m")
    store = Store(tmp_path)
    erm, other = (t for t in needed.trials if t not in trials)
    agenda, broken = agenda_of(store, trials)
    job = agenda.pop()
    store.write_record(Record(key=erm.key, trial=erm, status="diverged", reason="nan"))
    agenda.complete(job, record_of(job, store))
    assert broken == [trials[0].key] and agenda.pop().trial == other and agenda.pop() is None


def test_a_draining_queue_hands_out_nothing(tmp_path):
    trials, _ = planned("ERM")
    stopping = threading.Event()
    queue = _JobSearcher(agenda_of(Store(tmp_path), trials)[0], RetryPolicy(Resources()), stopping, MagicMock())
    assert queue.suggest("1")["job"].trial == trials[0]
    stopping.set()
    assert queue.suggest("2") == Searcher.FINISHED


@pytest.mark.slow
def test_the_network_that_is_handed_on_is_the_one_that_was_scored(tmp_path):
    trials, needed = planned("M2m")
    erm, m2m = needed.trials[0], trials[0]
    setting = TrialContext(store=str(tmp_path))
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="weights are missing"):
        run_trial(Job.of(m2m), setting)
    assert run_trial(Job.of(erm, keep_weights=True), setting).status == "complete" and store.has_weights(erm.key)

    class Scene:
        device, classes = torch.device("cpu"), 10

    judge = pretrained(m2m, Need("ERM", independent=True), Scene, 1, store)
    from tailboard.harness.registry.datasets import dataset, split_of

    split, _ = split_of(erm, None, True)
    about = dataset("fashion-mnist-mini")
    x = (torch.tensor(split.test.x).float() / 255 - about.mean[0]) / about.std[0]
    with torch.no_grad():
        logits = judge(x.contiguous(memory_format=torch.channels_last))
    logits -= logits.amax(dim=1, keepdim=True)  # as they are stored
    stored = torch.tensor(store.arrays(erm.key)["last_ema"]).float()
    torch.testing.assert_close(logits, stored, rtol=2e-3, atol=2e-3)
    assert not judge.training and not any(p.requires_grad for p in judge.parameters())
    assert run_trial(Job.of(m2m), setting).status == "complete"


@pytest.mark.slow
def test_lost_weights_are_trained_again_only_where_someone_waits_for_them(tmp_path):
    trials, needed = planned("M2m")
    setting, store = TrialContext(store=str(tmp_path)), Store(tmp_path)
    for trial in needed.trials:
        run_trial(Job.of(trial, trial.key in needed.prerequisite_keys), setting)
    assert not needed.missing(store)
    erm, m2m = needed.trials[0], trials[0]
    store.remove_weights(erm.key)
    assert not needed.missing(store)
    store.remove(f"records/{m2m.key}.json")
    assert {trial.key for trial in needed.missing(store)} == {erm.key, m2m.key}


@pytest.mark.slow
def test_a_run_trains_each_generator_once_and_a_second_run_nothing(tmp_path, launcher, shared_ray, shared_mlflow):
    methods = ["M2m", {"name": "Joint-SSL + SAM-A + M2m", "values": {"extra.width": 16}}]
    job = launcher(tmp_path, RAW | {"methods": methods, "seeds": 1}, **shared_ray, **shared_mlflow)
    assert job.run_one_at_a_time().returncode == 0
    records = job.records()
    assert sorted(r["trial"]["method"]["name"] for r in records.values()) == ["ERM", "Joint-SSL + SAM-A + M2m", "M2m"]
    erm = next(r for r in records.values() if r["trial"]["method"]["name"] == "ERM")
    assert erm["attempts"] == 1 and all(r["started"] >= erm["finished"] for r in records.values() if r is not erm)
    before = job.bytes_of("records")
    assert job.run_one_at_a_time().returncode == 0 and job.bytes_of("records") == before


@pytest.mark.parametrize("name", [name for name, entry in registry().items() if entry.recipe.needs()])
def test_no_row_starts_from_an_independent_network_that_costs_and_bundles_do_not_know(name):
    trials = plan(parse({"name": "s", "data": "fashion-mnist-mini", "methods": [name], "seeds": 2}))
    needed = [trial.key for trial in resolve_dependencies(trials, {}).trials if trial.independent]
    assert set(needed) <= {judge.key for judge in judges(trials)}
    assert judges([trial.model_copy(update={"protocol": 1}) for trial in trials]) == []
