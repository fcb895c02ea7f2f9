"""Several seeds trained as one: the numbers of separate trainings, a record for each, and what a stop leaves."""

from __future__ import annotations

import io

import pytest
import torch

from small_spec import SMALL
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.scheduling.worker import run_job
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Trial
from tailboard.harness.storage.store import Store
from tailboard.harness.testing.dry_run import dry_run
from tailboard.harness.testing.fused_seeds_check import TOLERANCE, apart, apart_where_fused
from tailboard.harness.testing.network_checks import trained
from tailboard.harness.training.job import Job, fused_trials
from tailboard.harness.training.learners.fused_seeds import FusedTraining
from tailboard.harness.training.stop_decision import StopDecision
from tailboard.harness.training.trial import TrialContext
from tailboard.methods.losses import cross_entropy
from tailboard.methods.losses.logit_adjustment import AdjustedLoss
from tailboard.methods.part import Part
from tailboard.methods.recipe import Recipe
from tailboard.methods.registry import recipe, registry

SEEDS = (0, 1, 2)
SMALLER = {"counts": (20, 8, 4, 2), "shape": (3, 8, 8), "batch_size": 34}  # a head and a tail to ImbSAM
FUSABLE = [name for name, entry in registry().items() if not entry.recipe.not_fusable()]
LEFT_OUT = {"cRT"}  # beside what is of tables alone
FUSED = SMALL | {"seeds": 3, "resources": {"fuse_seeds": True, "checkpoint_seconds": 0}}


def small(name):
    made = recipe(name)
    return made.tuned({"extra.width": 16}) if made.extra else made


def run_of(method, seed, **about):
    """Five epochs of a step, in the last of which deferred methods act; the routine mixes and averages."""
    about = {"epochs": 5, "ema": 0.9, "label_smoothing": 0.1, "lr": 0.05} | SMALLER | about
    return dry_run(small(method) if isinstance(method, str) else method, seed=seed, **about)


def fused(method, **about):
    return FusedTraining([run_of(method, seed, **about) for seed in SEEDS])


def furthest(alone, other):
    """The largest difference between two trainings of a seed: weights, BatchNorm's buffers, moving average, history."""
    return max(apart(alone, other).values())


def test_every_method_on_images_but_those_named_here_declares_that_it_can():
    images = {name for name, entry in registry().items() if not (entry.recipe.rows or entry.recipe.estimator)}
    assert images - set(FUSABLE) == LEFT_OUT | {"Threshold"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUSABLE)
def test_fused_seeds_come_to_what_each_comes_to_alone(name):
    assert apart_where_fused(small(name), SEEDS, **SMALLER) <= TOLERANCE == 1e-9


@pytest.mark.parametrize("network", ["resnet20", "wrn-10-1"])
def test_fused_seeds_of_our_other_networks_are_the_same_too(network):
    apart_where_fused(Recipe(), (0, 2), name=network, epochs=1, **SMALLER)


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-3), ("bfloat16", 0.05)])
def test_in_single_precision_they_differ_by_its_rounding(precision, most):
    together = trained(fused("SAM-A", precision=precision, epochs=2))
    alone = [trained(run_of("SAM-A", seed, precision=precision, epochs=2)) for seed in SEEDS]
    away = [furthest(one, other) for one, other in zip(alone, together.loops, strict=True)]
    assert max(away) < most < apart(alone[0], alone[1])["weights and buffers"], "far less than two seeds differ"
    assert together.seconds == max(loop.seconds for loop in together.loops) > 0


def through_a_file(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["Joint-SSL + SAM-A", "M2m"])
def test_a_fused_training_goes_on_from_its_checkpoint_bit_for_bit(name):
    whole, first, second = (fused(name) for _ in range(3))
    trained(whole)
    for line in first.epochs():
        if line["epoch"] == 1:
            break
    second.restore(through_a_file(first.state()))
    trained(second)
    for one, other in zip(whole.loops, second.loops, strict=True):
        assert furthest(one, other) == 0
        assert torch.equal(one.logits(one.material.x), other.logits(other.material.x))


class Explodes(Part):
    """The loss of one seed is not finite in the second epoch."""

    fusable = True

    def build(self, scene):
        return lambda logits, y, epsilon: (
            logits.square().sum(1) * (float("nan") if scene.epoch == 1 and scene.generator.seed == 1 else 1e-3)
        )


def test_a_seed_that_diverges_leaves_the_others_as_they_are(double):
    method = Recipe(loss=Explodes())
    together = fused(method, epochs=3)
    state = None
    for line in together.epochs():
        if line["epoch"] == 1:
            state = through_a_file(together.state())
    assert list(together.diverged) == [1] and "loss not finite at step 1" in str(together.diverged[1])
    assert [len(loop.history) for loop in together.loops] == [3, 1, 3]
    assert furthest(trained(run_of(method, 2, epochs=3)), together.loops[2]) < 1e-9
    resumed = fused(method, epochs=3)
    resumed.restore(state)
    assert str(trained(resumed).diverged[1]) == str(together.diverged[1])
    assert furthest(together.loops[0], resumed.loops[0]) == 0


def trials_of(**changes) -> list[Trial]:
    return RunRequest.of(parse(FUSED | changes)).plan.trials


def run(trial, folder, should_stop=lambda: StopDecision.CONTINUE):
    """The job of one trial; returns the epochs that it told."""
    epochs = []
    context = TrialContext(str(folder), checkpoint_seconds=0)
    assert run_job(Job.of(trial), context, lambda line: epochs.append(line["epoch"]), should_stop)
    return epochs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder, trials = tmp_path_factory.mktemp("fused"), trials_of()
    assert run(trials[0], folder) == [0, 1]
    return trials, Store(folder)


@pytest.mark.slow
def test_one_job_writes_a_record_of_each_seed_as_if_it_were_alone(finished, tmp_path):
    trials, store = finished
    assert store.finished() == {trial.key for trial in trials} and not store.names("checkpoints")
    for trial in trials:
        record = store.record(trial.key)
        assert (record.status, record.epochs, record.attempts) == ("complete", 2, 1) and record.trial == trial
        assert record.trial.fused == SEEDS and '"fused":[0,1,2]' in trial.canonical
        assert 0 < record.train_seconds < record.wall_seconds
    (alone,) = trials_of(seeds=[1])
    assert alone.fused is None and run(alone, tmp_path) == [0, 1]
    one, other = Store(tmp_path).arrays(alone.key), store.arrays(trials[1].key)
    assert one.keys() == other.keys() and (one["labels"] == other["labels"]).all()
    assert one["history_loss"] == pytest.approx(other["history_loss"], rel=1e-4)
    apart = {trial.seed: abs(one["last"].astype(float) - store.arrays(trial.key)["last"]).max() for trial in trials}
    assert 5 * apart[1] < min(apart[0], apart[2]), "float32 rounds otherwise, and another seed is another training"
    assert Store(tmp_path).record(alone.key).data == store.record(trials[1].key).data


@pytest.mark.slow
def test_what_is_recorded_is_not_trained_again_and_what_a_kill_left_is_finished_from_the_checkpoint(finished, tmp_path):
    trials, store = finished
    assert run(trials[2], store.root) == [], "its record is there"
    asked = []

    def dies_before_the_second_record():
        asked.append(1)  # after the first epoch, and before each record
        if len(asked) == 3:
            raise OSError("killed")
        return StopDecision.CONTINUE

    with pytest.raises(OSError, match="killed"):
        run(trials[0], tmp_path, dies_before_the_second_record)
    place = Store(tmp_path)
    assert place.finished() == {trials[1].key} and place.names("checkpoints") == {f"{trials[0].key}.pt"}
    before = place.read(f"records/{trials[1].key}.json")
    assert run(trials[0], tmp_path) == [1], "it goes on after the first epoch"
    assert place.read(f"records/{trials[1].key}.json") == before and not place.names("checkpoints")
    for trial in trials:
        assert place.record(trial.key).files == store.record(trial.key).files, "the same predictions to the last bit"
    assert place.record(trials[2].key).attempts == 2


def test_what_the_method_breaks_is_recorded_of_every_seed(tmp_path, monkeypatch):
    def broken(self, logits, y, epsilon):
        raise ValueError("of 3 < 2")

    trials = trials_of(methods="Balanced Softmax")
    monkeypatch.setattr("tailboard.methods.losses.logit_adjustment._AdjustedCrossEntropy.__call__", broken)
    run(trials[1], tmp_path)
    records = [Store(tmp_path).record(trial.key) for trial in trials]
    assert {(record.status, record.reason) for record in records} == {("failed", "ValueError: of 3 < 2")}


def test_a_seed_that_diverged_is_recorded_so_whatever_ends_the_others_and_no_other_s_loss_is_told_as_its_own(
    tmp_path, monkeypatch
):
    def diverging(self, scene):
        scale = float("nan") if scene.generator.seed == 0 else 1.0
        return lambda logits, y, epsilon: scale * cross_entropy(logits, y, epsilon)

    trials, lines = trials_of(methods="Balanced Softmax"), []
    monkeypatch.setattr(AdjustedLoss, "build", diverging)
    context = TrialContext(str(tmp_path), time_limit=1e-9)
    run_job(Job.of(trials[0]), context, lines.append, lambda: StopDecision.CONTINUE)
    records = [Store(tmp_path).record(trial.key) for trial in trials]
    assert [record.status for record in records] == ["diverged", "failed", "failed"]
    assert "not finite" in records[0].reason and records[1].reason.startswith("TimeLimit")
    assert lines == [{"epoch": 0}]


def test_only_trials_that_are_fused_have_its_words_in_their_keys():
    alone = {(t.method.name, t.seed): t for t in trials_of(methods=["ERM", "M2m", "cRT"], resources={})}
    trials = trials_of(methods=["ERM", "M2m", "cRT"])
    keys = {(t.method.name, t.seed): t.key for t in trials}
    same = {name for name, key in keys.items() if alone[name].key == key}
    assert same == {("cRT", 0), ("cRT", 1), ("cRT", 2)}
    assert len({*keys.values(), *(t.key for t in trials_of(seeds=4) if t.seed < 3)}) == 12, "and the set of seeds"
    unfused = [t.model_copy(update={"fused": None}).key for t in trials if t.method.name == "ERM"]
    assert unfused == [alone["ERM", seed].key for seed in SEEDS]
    assert len({t.row_key for t in trials}) == 3 and fused_trials(trials[1]) == trials[:3]
    starts = [s for t in trials if t.method.name == "M2m" for s in RunRequest.of(parse(FUSED | {"methods": "M2m"}))
              .plan.dependencies.of[t.key]]  # fmt: skip
    assert len(set(starts)) == 3 and not set(starts) & set(keys.values())


@pytest.mark.parametrize("words", [{"fused": [1, 2]}, {"fused": [0]}, {"fused": [1, 0]}, {"fused": [0, 0]},
                                   {"fused": list(range(33))}, {"fused": [-1, 0]}])  # fmt: skip
def test_a_record_cannot_claim_to_be_fused_with_anything(words):
    with pytest.raises(ValueError, match="fused"):
        Trial.model_validate(trials_of()[0].model_dump() | words)
