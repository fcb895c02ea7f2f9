"""Trials of a bundle that are trained again, and what their numbers are held to."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forged_bundles import PLANTED, RAW, Arrays, Forger, contents, number_sealed, rewritten, trained
from tailboard.harness.bundles import repetition
from tailboard.harness.bundles.bundle import Bundle
from tailboard.harness.bundles.export import export
from tailboard.harness.bundles.record_checks import words
from tailboard.harness.bundles.rerun import sample_trials
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.leaderboard.statistics.repetition import ALPHA, image_error, tolerance
from tailboard.methods.plugin import load_plugin
from warm_process import FORKS, take_environment

# Trained again


@pytest.fixture
def in_a_forked_process(monkeypatch) -> None:
    """The process in which it is trained again is forked from one that has imported its libraries."""

    def executor(workers: int, _: Any) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(workers, FORKS, take_environment, (dict(os.environ),))

    monkeypatch.setattr("tailboard.harness.bundles.rerun.ProcessPoolExecutor", executor)


@pytest.fixture
def in_this_process(monkeypatch) -> None:
    """What is trained again is trained here: for a test that is not about the process in which that is done."""
    monkeypatch.setattr("tailboard.harness.bundles.rerun.ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))


@pytest.mark.parametrize(("n", "shift"), [(3, 1000), (5, 60), (10, 20)])
def test_an_honest_claim_is_rarely_doubted_and_a_false_one_seen(n, shift):
    """Claim, repetition and the other seeds of n from one normal distribution, 20,000 times; and a claim that is
    ``shift`` points too high, of seeds that vary by 2."""
    rng = np.random.default_rng(n)
    drawn = rng.normal(50, 2, (20_000, n + 1))
    limits = np.array([tolerance(row, 0.0) for row in drawn[:, 2:]])
    away = np.abs(drawn[:, 0] - drawn[:, 1])
    assert np.mean(away > limits) == pytest.approx(ALPHA, abs=0.0025)  # 3.5 standard errors of 20,000
    several = [tolerance(row, 0.0, comparisons=5) for row in drawn[:2000, 2:]]
    assert (np.array(several) > limits[:2000]).all()
    assert np.mean(np.abs(drawn[:, 0] + shift - drawn[:, 1]) > limits) > 0.9


def test_the_tolerance_is_never_below_that_of_the_images_and_never_made_up():
    assert np.isnan(tolerance([], 1.0)) and np.isnan(tolerance([50.0], 1.0))
    assert tolerance([50.0, 50.0, 50.0], 0.5) > 0.5
    rng = np.random.default_rng(0)
    right = rng.binomial([300] * 10, 0.6, (5000, 10)) / 3  # percent
    assert image_error([60.0] * 10, [300] * 10) == pytest.approx(right.mean(axis=1).std(), rel=0.05)
    assert image_error([0.0, 100.0], [100, 100]) > 0


@pytest.mark.slow
@pytest.mark.usefixtures("in_a_forked_process")
def test_trials_trained_again_are_compared(tuned_bundle, tmp_path, tailboard):
    """M2m's judge is a trial of its own, which is trained again first; winners keep the values that were found."""
    raw = RAW | {"name": "m", "methods": ["M2m", "ERM"], "seeds": 1, "training": {"epochs": 2, "batch_size": 32}}
    made = trained(tmp_path / "m", parse(raw))
    assert export(made, tmp_path / "m.zip") == []
    code, out, err = tailboard("verify", "m.zip", "--rerun", 3, "--seed", 0)
    assert code == 0 and "drawn with --seed 0: " in err
    judge, m2m = err.index("independent draws ...\n"), err.index("training 2 of 3: M2m")
    assert judge < m2m
    same = [line for line in out.splitlines() if line.endswith("the same kind of machine: the same bits")]
    assert [line.split(",")[0] for line in same] == ["same: ERM", "same: M2m", "same: ERM"]
    code, out, err = tailboard("verify", tuned_bundle, "--rerun", 2, "--json")
    found = json.loads(out)
    assert code == 0 and [each["verdict"] for each in found["repetitions"]] == ["same", "same"]
    assert f"drawn with --seed {found['seed']}: " in err
    reported = json.loads(contents(tuned_bundle)["manifest.json"])["plans"]["t"]
    assert {each["key"] for each in found["repetitions"]} <= set(reported)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_predictions_that_were_made_up_whole_are_found_by_training(groups, tmp_path, tailboard):
    """Everything in it follows from its predictions; only that nobody trained them is wrong."""

    def made_up(record, arrays):
        rng = np.random.default_rng(record.trial.seed)
        logits = arrays["last_ema"][rng.permutation(len(arrays["labels"]))]
        sure = rng.random(len(logits)) < 0.9
        logits[sure] = -9
        logits[sure, arrays["labels"][sure]] = 0
        return record, arrays | {"last_ema": logits}

    forged = rewritten(groups["rw"], tmp_path / "o.zip", made_up)
    assert tailboard("verify", forged)[0] == 0
    code, out, _ = tailboard("verify", forged, "--rerun", 1, "--seed", 3)
    assert code == 3
    assert re.search(r"differs: Reweighting, .*: the same kind of machine: the same bits\n", out)
    assert re.search(r"  last_ema: others for \d{4} of 3000 images\n", out) and re.search(r"  all: claimed 9\d\.", out)
    assert "last: others" not in out


def elsewhere(record: Record, arrays: Arrays) -> tuple[Record, Arrays]:
    return record.model_copy(update={"environment": record.environment | {"instruction_set": "VSX"}}), arrays


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> Path:
    """Four seeds of ERM, long enough that they end near each other."""
    folder = tmp_path_factory.mktemp("four")
    training = {"preset": "ldam2019", "epochs": 4, "batch_size": 32}
    trained(folder / "f", parse(RAW | {"name": "f", "methods": "ERM", "seeds": 4, "training": training}))
    return folder / "f.zip"


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_another_machine_is_said_and_judged_by_the_other_seeds(four, tmp_path, tailboard):
    honest = rewritten(four, tmp_path / "h.zip", elsewhere)
    code, out, _ = tailboard("verify", honest, "--rerun", 1, "--seed", 1)
    assert code == 0
    assert re.search(r"same: ERM, .*: another machine \(instruction_set VSX there, \w+ here\): ", out)
    assert re.search(r": All [\d.]+ and now [\d.]+, which may differ by [\d.]+ as the other seeds spread\n", out)

    def better(record, arrays):
        logits = np.full_like(arrays["last_ema"], -1 - record.trial.seed)  # or they would be another seed's bits
        right = np.arange(len(logits)) % 100 < 98 - record.trial.seed % 2
        logits[np.arange(len(logits)), np.where(right, arrays["labels"], (arrays["labels"] + 1) % 10)] = 0
        return elsewhere(record, arrays | {"last_ema": logits})

    forged = rewritten(four, tmp_path / "o.zip", better)
    assert tailboard("verify", forged)[0] == 0
    code, out, _ = tailboard("verify", forged, "--rerun", 1, "--seed", 1)
    assert code == 3 and re.search(r"differs: ERM, .*another machine", out)
    assert re.search(r"  All: claimed 9\d\.\d\d, now \d\d\.\d\d", out)


def failed(f: Forger, **changes: Any) -> None:
    """Its seed was not as good as the others."""
    del f.files[f.array]
    told = {"status": "failed", "reason": "ValueError: no", "accuracy": {}, "files": {}} | changes
    f.edit(f.record, lambda raw: raw.update(told))
    f.tell()


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_seed_that_is_called_failed_may_be_drawn_and_differs(groups, tmp_path, tailboard):
    forger = Forger(groups["erm"], "erm")
    failed(forger)
    path = forger.write(tmp_path / "x.zip")
    code, out, _ = tailboard("verify", path)
    assert code == 2 and "every number holds" in out, "which no check can see"
    code, out, _ = tailboard("verify", path, "--rerun", 2)
    assert code == 3 and re.search(r"differs: ERM, .*seed 0 \[\w+\]: the same end\n", out)
    assert re.search(r"  status: claimed failed: ValueError: no after .*\n  status: now complete after", out)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_an_honest_failure_is_the_same_again(tmp_path, tailboard):
    text = PLANTED.replace("2 * cross", "1 / 0 * cross")
    spec = with_plugin(parse(RAW | {"seeds": 1}), text, ["Planted"])
    made = trained(tmp_path / "s", spec.model_copy(update={"methods": spec.methods[-1:]}))
    assert tailboard("export", made, "-o", "b.zip")[0] == 2
    code, out, _ = tailboard("verify", "b.zip", "--rerun", 1, "--trust-plugins")
    assert code == 2 and re.search(r"same: Planted, .*: the same end: failed: ZeroDivisionError: .* s of training", out)


@pytest.mark.parametrize(
    ("claim", "now", "verdict"),
    [
        ({}, {"status": "failed", "reason": "ValueError: no"}, "differs"),
        ({}, {"status": "diverged", "reason": "loss not finite"}, "differs"),
        ({}, {"status": "failed", "reason": "TimeLimit: 9 s of training were over after 1 epochs"}, "not judged"),
        ({}, {"status": "failed", "reason": "OutOfMemoryError: CUDA out of memory."}, "not judged"),
        ({"reason": "TimeLimit: no epoch ended within 9 s"}, {}, "not judged"),
        ({"reason": "OutOfMemoryError: CUDA out of memory."}, {}, "not judged"),
        ({"status": "diverged", "reason": "loss not finite"}, {}, "differs"),
        ({"status": "diverged", "environment": {"device": "cuda"}}, {}, "not judged"),
        ({"reason": "ValueError: no", "environment": {"device": "cuda"}}, {}, "differs"),
        ({"reason": "ValueError: no"}, {"status": "failed", "reason": "ValueError: 0 of 7"}, "same"),
        ({"reason": "ValueError: no"}, {"status": "failed", "reason": "KeyError: 7"}, "not judged"),
        ({}, {"status": "failed", "reason": "ModuleNotFoundError: No module named 'mine'"}, "not judged"),
        ({"reason": "ValueError: no"}, {"status": "failed", "reason": "ImportError: no"}, "not judged"),
    ],
)
def test_another_end_differs_unless_the_machine_may_have_brought_it(groups, claim, now, verdict):
    place = Bundle(groups["erm"])
    record = place.record(Forger(groups["erm"], "erm").key)
    ended = {"status": "failed", "accuracy": {}} if claim else {}
    claimed = record.model_copy(update=ended | claim)
    again = record.model_copy(update=({"accuracy": {}} if now else {}) | now)
    apart = repetition.elsewhere(claimed, record)
    found = repetition._ends(claimed, again, apart)
    place.close()
    assert found[0] == verdict and (verdict == "same" or len(found[2]) == 2)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_trial_that_is_said_to_have_hung_is_not_trained(groups, tmp_path, tailboard):
    """Nobody would stop it here."""
    forger = Forger(groups["erm"], "erm")
    failed(forger, reason="TimeLimit: no epoch ended within 9 s")
    code, out, err = tailboard("verify", forger.write(tmp_path / "x.zip"), "--rerun", 2)
    assert code == 2 and "not judged: ERM, " in out and "it would hang here too" in out
    assert err.count("training ") == 1 and "same: ERM, " in out


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_trial_whose_start_ends_badly_here_is_not_judged(tmp_path, tailboard, monkeypatch):
    made = trained(tmp_path / "m", parse(RAW | {"name": "m", "methods": "M2m", "seeds": 1}))
    assert tailboard("export", made, "-o", "m.zip")[0] == 0

    def badly(job: Job, context: TrialContext) -> Record:
        record = Record(key=job.trial.key, trial=job.trial, status="failed", reason="ValueError: no")
        Store(context.store).write_record(record)
        return record

    monkeypatch.setattr("tailboard.harness.bundles.rerun.run_trial", badly)
    code, out, _ = tailboard("verify", "m.zip", "--rerun", 2)  # the judge's own claim is in the bundle too
    assert re.search(r"not judged: M2m, .*: the trial whose network it starts from did not end", out)
    assert code == 3 and re.search(r"differs: ERM, .*independent draws", out)


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_two_seeds_say_nothing_of_another_machine(groups, tmp_path, tailboard):
    code, out, _ = tailboard("verify", rewritten(groups["erm"], tmp_path / "h.zip", elsewhere), "--rerun", 1)
    assert code == 2 and re.search(r"not judged: ERM, .*too few, or spread too far, to judge by", out)


@pytest.mark.slow
def test_a_plugin_is_run_only_by_who_says_so(bundle, tailboard):
    code, out, err = tailboard("verify", bundle, "--rerun", 6, "--seed", 1)
    assert code == 1 and "every number holds" in out and out.count("\n") == 1, "the check is told all the same"
    assert re.search(r"plugins/\w{64}\.py \(Planted\)\. Read it .*--trust-plugins, with the same --seed\n", err)
    code, out, _ = tailboard("verify", bundle, "--rerun", 6, "--seed", 1, "--json")
    assert code == 1 and json.loads(out)["differences"] == [] and json.loads(out)["seed"] == 1


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_only_the_plugins_of_what_is_drawn_are_asked_for_and_run(bundle, tailboard, monkeypatch):
    """Where ERM alone is drawn, nobody need trust Planted."""
    loaded: list[str] = []
    monkeypatch.setattr(
        "tailboard.harness.registry.methods.load_plugin", lambda text: loaded.append(text) or load_plugin(text)
    )
    place = Bundle(bundle)
    seed = next(seed for seed in range(99) if sample_trials(place, 1, seed)[0].trial.method.name == "ERM")
    code, out, err = tailboard("verify", bundle, "--rerun", 1, "--seed", seed)
    assert code == 0 and "same: ERM, " in out and "the bundle's own code" not in err and not loaded


@pytest.mark.slow
@pytest.mark.usefixtures("in_a_forked_process")
def test_verify_and_report_run_no_code_of_a_bundle(tmp_path, tailboard):
    """The plugin of a bundle leaves a trace when it is run: there is none until it is trusted."""
    trace = tmp_path / "trace"
    text = f"open({str(trace)!r}, 'a').close()\n{PLANTED}"
    spec = with_plugin(parse(RAW | {"seeds": 1}), text, ["Planted"])
    made = trained(tmp_path / "s", spec.model_copy(update={"methods": spec.methods[-1:]}))
    assert trace.exists()
    trace.unlink()
    load_plugin.cache_clear()
    assert tailboard("export", made, "-o", "b.zip")[0] == 0
    assert tailboard("verify", "b.zip")[0] == 0 and tailboard("report", "b.zip")[0] == 0
    assert tailboard("verify", "b.zip", "--rerun", 1)[0] == 1 and not trace.exists()
    code, out, err = tailboard("verify", "b.zip", "--rerun", 1, "--trust-plugins")
    assert code == 0 and trace.exists() and out.count("same: Planted, ") == 1
    assert re.search(r"running the bundle's own code: plugins/\w{64}\.py \(Planted\)", err)


def test_a_bundle_of_nothing_has_nothing_to_train_again(tmp_path, tailboard):
    made = Store(tmp_path / "s")
    made.write_plan(parse(RAW))
    assert tailboard("export", made, "-o", "b.zip")[0] == 2
    code, out, err = tailboard("verify", "b.zip", "--rerun", 3, "--seed", 1)
    assert code == 2 and "every number holds" in out and "drawn with --seed 1: nothing, since no trial" in err


def test_what_does_not_hold_is_not_trained_again(bundle, tmp_path, tailboard):
    forger = Forger(bundle)
    number_sealed(forger)
    code, _, err = tailboard("verify", forger.write(tmp_path / "x.zip"), "--rerun", 1, "--trust-plugins")
    assert code == 3 and "nothing is trained again" in err and "training 1" not in err


@pytest.mark.slow
def test_a_record_that_is_older_than_a_hyperparameter_was_made_at_its_default(tmp_path):
    """As of KMeansSMOTE before its clusters could be searched; what it has had from the first must be named."""
    raw = {"name": "k", "data": {"name": "simulated-table", "profile": "natural", "total": 400}, "seeds": 1}
    (trial,) = plan(parse(raw | {"methods": "KMeansSMOTE", "network": "logistic_regression"}))
    record = run_trial(Job.of(trial), TrialContext(str(tmp_path)))
    assert record.values == {
        "rows.k_neighbors": 2, "rows.kmeans_estimator": 8, "rows.cluster_balance_threshold": "auto"
    }  # fmt: skip
    older = record.model_copy(update={"values": {"rows.k_neighbors": 2}})
    other = record.model_copy(update={"values": record.values | {"rows.kmeans_estimator": 9}})
    nothing = record.model_copy(update={"values": {"rows.kmeans_estimator": 8}})
    for claimed, faults in ((record, 0), (older, 0), (other, 1), (nothing, 1)):
        assert len([*words(claimed)]) == len([*repetition._fixed(claimed, record)]) == faults
