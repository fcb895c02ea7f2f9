"""A network that starts from a trial on other data: what is planned for it, its key, its features."""

import pytest
import torch

from small_spec import SMALL
from tailboard.datasets.catalog import DataError
from tailboard.harness.errors import NetworkError, SpecError, StoreError
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.planning.reported import judges
from tailboard.harness.planning.request import check_names
from tailboard.harness.registry.networks import network
from tailboard.harness.spec.labels import network_label
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Spec, plan, pretraining
from tailboard.harness.spec.user_files.weights_file import network_words
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.learners import image_learner
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.methods.part import MethodError

OTHER = {"name": "fashion-mnist-mini", "classes": ["Sandal", "Sneaker"], "train_ratio": 1, "head": 30}
START = {"data": OTHER, "method": "ERM", "training": {"epochs": 1, "batch_size": 32}}
RAW = SMALL | {
    "data": {"name": "fashion-mnist-mini", "classes": ["Bag", "Coat", "Dress"], "train_ratio": 0.2, "total": 60},
    "network": ["small", {"name": "small", "weights": START}],
    "training": {"epochs": 1, "batch_size": 32},
}


def test_it_is_trained_first_and_is_part_of_the_key():
    spec = parse(RAW | {"methods": ["ERM", "M2m"]})
    trials = plan(spec)
    needed = resolve_dependencies(trials, {})
    scratch, _, started, mixed = trials
    first = pretraining(started)
    assert first and first.data.classes == ("Sandal", "Sneaker") and first.weights is None
    assert pretraining(scratch) is None and scratch.key != started.key
    assert needed.of[started.key] == (first.key,)
    judge = next(trial for trial in needed.trials if trial.independent and trial.weights)
    assert needed.of[mixed.key] == (judge.key, first.key) and needed.of[judge.key] == (first.key,)
    assert {first.key, judge.key} <= {trial.key for trial in judges(trials)}, "a bundle takes them along"
    assert "small from ERM on fashion-mnist-mini (Sandal, Sneaker)" in network_label(started)


def test_what_is_written_of_it_is_read_again():
    spec = parse(RAW)
    assert plan(Spec.model_validate_json(spec.model_dump_json())) == plan(spec)
    words = network_words("small", None, plan(spec)[-1].weights)
    assert plan(parse(RAW | {"network": words})) == plan(spec)[-1:]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trianing": {}}, "network.weights: unknown key 'trianing'; did you mean 'training'"),
        ({"data": None}, "network.weights.data: "),
        ({"data": "cifar1"}, "unknown data set 'cifar1'; did you mean 'cifar10'"),
        ({"data": "cifar10"}, r"network.weights.data: cifar10 has images of 3 channels, fashion-mnist-mini .* of 1"),
        ({"method": "EMR"}, "unknown method 'EMR'; did you mean 'ERM'"),
        ({"method": {"name": "ERM", "plugin": "x"}}, "network.weights: method: one that is registered here"),
        ({"training": {"epcohs": 3}}, "training: unknown key 'epcohs'; did you mean 'epochs'"),
        ({"training": 3}, "network.weights.training: "),
    ],
)
def test_a_mistake_is_one_line(changes, said):
    with pytest.raises((SpecError, DataError, NetworkError, MethodError), match=said) as caught:
        check_names(plan(parse(RAW | {"network": {"name": "small", "weights": START | changes}})), {})
    assert "\n" not in str(caught.value)


def test_its_features_are_those_that_the_network_starts_from(tmp_path, monkeypatch):
    started = plan(parse(RAW))[-1]
    first, context, store = pretraining(started), TrialContext(store=str(tmp_path)), Store(str(tmp_path))
    with pytest.raises(StoreError, match=f"starts from ERM's trial {first.key}, whose weights are missing"):
        run_trial(Job.of(started), context)
    run_trial(Job.of(first, keep_weights=True), context)
    kept, seen = store.weights(first.key, torch.device("cpu")), {}

    class Watched(image_learner.TrainingLoop):
        def epochs(self):
            seen.update({name: tensor.clone() for name, tensor in self.model.state_dict().items()})
            return super().epochs()

    monkeypatch.setattr(image_learner, "TrainingLoop", Watched)
    record = run_trial(Job.of(started), context)
    assert record.status == "complete" and len(record.counts) == 3
    features = [name for name in kept if name.startswith("features.")]
    assert features and all(torch.equal(seen[name], kept[name]) for name in features)
    assert seen["head.weight"].shape == (3, network("small", 1, 3).width), "a trial's head is always its own"
