"""One trial: what its record holds, what a reader can recompute from it, and what it makes of faults."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from small_spec import SMALL
from tailboard.datasets.longtail import counts
from tailboard.datasets.split import natural_validation
from tailboard.harness.bundles.record_checks import words
from tailboard.harness.registry.datasets import cut_of, dataset
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.stop_decision import StopDecision
from tailboard.harness.training.trial import Drained, TrialContext, run_trial, scored_logits
from tailboard.leaderboard.confusion import Confusion

RAW = SMALL | {"name": "trial", "training": {"epochs": 3, "batch_size": 32}}
EXPLODES = """
import torch
from tailboard.methods.recipe import Part, Recipe, register
class Explodes(Part):
    def build(self, scene):
        return lambda logits, y, epsilon: logits.sum(1) * (float("nan") if scene.epoch == 1 else 1.0)
register("Planted", Recipe(loss=Explodes()))
"""
RAISES = EXPLODES.replace('(float("nan") if scene.epoch == 1 else 1.0)', "logits.nonsense")
PEEKS = EXPLODES.replace(
    "        return lambda",
    "        from tailboard.datasets.catalog import catalog\n"
    "        catalog()['fashion-mnist-mini'].load(None, True).test\n        return lambda",
)


def one(store, plugin="", **changes):
    spec = parse(RAW | changes)
    if plugin:
        spec = with_plugin(spec, plugin, ["Planted"])
    trial = plan(spec)[-1]
    return trial, TrialContext(store=str(store), plugins=spec.plugins, checkpoint_seconds=0)


def trained(store, *args, **changes):
    trial, context = one(store, *args, **changes)
    return run_trial(Job.of(trial), context)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    trial, setting = one(store)
    return trial, store, run_trial(Job.of(trial), setting)


def test_the_record_says_what_was_done(finished):
    trial, store, record = finished
    assert store.record(trial.key) == record
    about = dataset("fashion-mnist-mini")
    assert record.counts == counts("exp", about.available, 40, 10.0) and record.test_counts == (300,) * 10
    assert (record.status, record.epochs, record.attempts) == ("complete", 3, 1)
    matrix, arrays = Confusion.unpacked(record.confusion, record.test_counts), store.arrays(trial.key)
    dense = np.zeros((10, 10), int)
    np.add.at(dense, (arrays["labels"], arrays["last_ema"].argmax(axis=1)), 1)
    assert (dense[matrix.true, matrix.predicted] == matrix.images).all() and dense.sum() == matrix.images.sum()
    assert record.scores == {}, "what a search looks for is of tuning trials"
    assert record.data.verified and len(record.data.fingerprint) == 64 and record.data.hashes
    assert record.environment["packages"]["torch"] and record.environment["threads"] == trial.threads
    assert 0 < record.train_seconds < record.wall_seconds and record.started <= record.finished


def test_a_tuning_trial_may_be_validated_in_the_tails_proportions(tmp_path):
    trial, context = one(tmp_path, training=RAW["training"] | {"epochs": 1})
    even = trial.model_copy(update={"stage": "tune", "val_per_class": 20})
    natural = even.model_copy(update={"val": "natural"})
    records = [run_trial(Job.of(each), context) for each in (even, natural)]
    assert even.key != natural.key and cut_of(even) != cut_of(natural)
    assert [record.status for record in records] == ["complete"] * 2
    assert records[0].counts == records[1].counts and records[0].test_counts == (20,) * 10
    assert records[1].test_counts == natural_validation(records[1].counts, 20) != (20,) * 10
    assert not [list(words(record)) for record in records if list(words(record))]


def test_a_reader_finds_the_same_accuracies_in_the_logits(finished):
    trial, store, record = finished
    data = store.read(f"arrays/{trial.key}.npz")
    assert record.files == {f"arrays/{trial.key}.npz": hashlib.sha256(data).hexdigest()}
    arrays = store.arrays(trial.key)
    assert arrays["last_ema"].dtype == np.float16 and arrays["last_ema"].shape == (3000, 10)
    for name in ("last_ema", "last"):
        right = arrays[name].argmax(1) == arrays["labels"]
        expected = [100 * right[arrays["labels"] == label].mean() for label in range(10)]
        assert record.accuracy[name] == pytest.approx(expected, abs=1e-12)
    assert arrays["history_epoch"].tolist() == [0, 1, 2] and np.isfinite(arrays["history_loss"]).all()


def test_a_trial_that_is_stopped_goes_on_to_the_same_numbers(finished, tmp_path):
    trial, store, record = finished
    _, setting = one(tmp_path)
    with pytest.raises(Drained):
        run_trial(Job.of(trial), setting, should_stop=lambda: StopDecision.DRAIN)
    assert Store(tmp_path).names("checkpoints", ".pt") == {trial.key} and not Store(tmp_path).finished()
    seen = []
    again = run_trial(Job.of(trial), setting, report=seen.append)
    assert [line["epoch"] for line in seen] == [1, 2]
    assert again.accuracy == record.accuracy and again.attempts == 2 and again.started <= again.finished
    assert store.arrays(trial.key)["last_ema"].tobytes() == Store(tmp_path).arrays(trial.key)["last_ema"].tobytes()
    assert not Store(tmp_path).names("checkpoints", ".pt")


def test_a_checkpoint_that_was_cut_short_costs_time_and_nothing_else(finished, tmp_path):
    trial, _, record = finished
    _, setting = one(tmp_path)
    with pytest.raises(Drained):
        run_trial(Job.of(trial), setting, should_stop=lambda: StopDecision.DRAIN)
    path = tmp_path / "checkpoints" / f"{trial.key}.pt"
    path.write_bytes(path.read_bytes()[:1000])
    assert run_trial(Job.of(trial), setting).accuracy == record.accuracy


def test_a_loss_that_is_not_finite_is_recorded_with_its_step_and_its_history(tmp_path):
    trial, setting = one(tmp_path, EXPLODES)
    record = run_trial(Job.of(trial), setting)
    assert record.status == "diverged" and "not finite at step" in record.reason and "nan" in record.reason
    assert record.epochs == 1 and Store(tmp_path).arrays(trial.key)["history_epoch"].tolist() == [0]
    assert not record.accuracy


def test_what_the_method_breaks_is_recorded_with_its_traceback(tmp_path):
    record = trained(tmp_path, RAISES)
    assert record.status == "failed" and record.reason.startswith("AttributeError: ") and "Traceback" in record.log


def test_a_method_that_loads_the_test_set_fails(tmp_path):
    record = trained(tmp_path, PEEKS)
    assert record.status == "failed" and record.reason.startswith("TestSetLocked: ")


def test_what_the_infrastructure_breaks_is_raised_and_leaves_no_record(tmp_path):
    trial, setting = one(tmp_path)
    (tmp_path / "arrays").write_text("in the way of a folder")
    with pytest.raises(OSError, match="Not a directory"):
        run_trial(Job.of(trial), setting)
    assert not Store(tmp_path).finished()


def test_data_that_differ_from_the_official_ones_are_said_to(tmp_path, installed_dataset):
    """Of a data set that another package registers."""
    installed_dataset("unofficial", "Pool(images(20), images(5), verified=False, hashes={'file': '0'})")
    record = trained(tmp_path, data={"name": "unofficial", "imbalance_factor": 10, "head": 20})
    assert (record.status, record.reason) == ("complete", "")
    assert not record.data.verified and record.data.hashes == {"file": "0"}
    assert record.test_counts == (5, 5, 5) and sum(record.counts) < 60


def test_logits_far_apart_are_stored_as_numbers():
    """A method may end in distances: what float16 cannot hold is as far below as it can."""
    far = torch.tensor([[1e6, 0.0, 1e6 - 1.0], [-1e9, 3.0, 2.0]])

    class Far:
        scene = SimpleNamespace(classes=3)

        def logits(self, x, averaged):
            return far

    arrays = scored_logits(Far(), torch.zeros(2))
    assert np.isfinite(arrays["last_ema"]).all()
    assert arrays["last_ema"].tolist() == [[0, -65504, -1], [-65504, 0, -1]]
