"""Weights from files: the layouts of others load, each tensor is checked, and a file is known by its hash anywhere."""

from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from tailboard.datasets.catalog import DataError
from tailboard.harness.errors import NetworkError, SpecError
from tailboard.harness.planning.prepare import check_files
from tailboard.harness.registry.networks import check_shape, network
from tailboard.harness.registry.pretrained_weights import load_weights
from tailboard.harness.spec.labels import network_label
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.spec.user_files.weights_file import located
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.trial import TrialContext, run_trial

NAME = "torchvision:resnet18"


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def tensors():
    """torchvision's own state dict, as it is downloaded."""
    import torchvision

    torch.manual_seed(7)
    return torchvision.models.resnet18(weights=None).state_dict()


def under(prefix, tensors, **more):
    return {f"{prefix}{key}": value for key, value in tensors.items() if not key.startswith("fc.")} | more


def numbered(tensors):
    """As a Sequential of the network's children has it, which is how lightly's SimCLR keeps a backbone."""
    numbers = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}
    split = {key: key.partition(".") for key in tensors if not key.startswith("fc.")}
    return {f"backbone.{numbers[parts[0]]}.{parts[2]}": tensors[key] for key, parts in split.items()}


HEAD = torch.ones(128, 512)
LAYOUTS = {
    "torchvision": lambda t: t,
    "simclr, converted": lambda t: {"state_dict": t},
    "simclr, backbone": lambda t: {"epoch": 9, "state_dict": under("backbone.", t, **{"backbone.fc.0.weight": HEAD})},
    "simclr, encoder": lambda t: under("encoder.", t, **{"projection.model.0.weight": HEAD}),
    "moco": lambda t: {"state_dict": under("module.encoder_q.", t) | under("module.encoder_k.", t)},
    "lightly": lambda t: {"state_dict": numbered(t) | {"projection_head.layers.0.weight": HEAD}},
    "ours": lambda t: under("features.", t, **{"head.weight": HEAD}),
    "before BatchNorm counted": lambda t: {k: v for k, v in t.items() if not k.endswith("num_batches_tracked")},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_features_and_leaves_the_head_alone(layout, tensors, tmp_path):
    torch.save(LAYOUTS[layout](tensors), tmp_path / "w.pth")
    model = network(NAME, 3, 5)
    head = model.head.weight.detach().clone()
    load_weights(model, NAME, tmp_path / "w.pth")
    loaded = model.features.state_dict()
    assert all(loaded[key].equal(tensors[key]) for key in loaded if not key.endswith("num_batches_tracked"))
    assert model.head.weight.equal(head)


def test_timm_and_torchvision_share_a_layout_and_give_the_same_features(tensors, tmp_path):
    pytest.importorskip("timm", reason="timm is not installed")
    save_file(tensors, tmp_path / "w.safetensors")
    x = torch.rand(1, 3, 64, 64)
    features = []
    for name in (NAME, "timm:resnet18"):
        model = network(name, 3, 5).eval()
        load_weights(model, name, tmp_path / "w.safetensors")
        with torch.no_grad():
            features.append(model.features(x))
    assert torch.allclose(*features, atol=1e-5)


def test_a_file_that_does_not_fit_is_refused_with_the_tensor_that_does_not(tensors, tmp_path):
    file = tmp_path / "w.pth"
    cases = [
        (tensors, "resnet18", r"conv1.weight is \(64, 3, 7, 7\) there and \(64, 3, 3, 3\).*torchvision:"),
        (tensors, "torchvision:resnet34", "tensors are not in it, such as layer1.2.conv1.weight"),
        (tensors | {"layer4.2.conv1.weight": HEAD}, NAME, "larger network, which has layer4.2.conv1.weight too"),
        (tensors | {"bn1.weight": torch.full((64,), torch.nan)}, NAME, "bn1.weight holds values that are not finite"),
        (tensors | {"bn1.weight": torch.ones(64, dtype=torch.int64)}, NAME, "bn1.weight holds torch.int64"),
        ({"a": torch.ones(1)}, NAME, "holds no weights of torchvision:resnet18: it has no tensor conv1.weight"),
        ({"epoch": 3}, NAME, "holds no tensors by name"),
    ]
    for saved, name, words in cases:
        torch.save(saved, file)
        with pytest.raises(NetworkError, match=words):
            load_weights(network(name, 3, 5), name, file)


def test_nothing_in_a_file_is_run(tmp_path):
    class Runs:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    (tmp_path / "old.pth").write_bytes(pickle.dumps({"state_dict": Runs()}, protocol=2))
    torch.save({"conv1.weight": Runs()}, tmp_path / "new.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 40)
    for name in ("old.pth", "new.pth", "cut.safetensors"):
        with pytest.raises(NetworkError, match="cannot be read as weights"):
            load_weights(network(NAME, 3, 5), NAME, tmp_path / name)
    assert not (tmp_path / "ran").exists()


def spec(network, folder):
    words = {"name": "w", "data": "cifar10", "methods": "ERM", "seeds": 1, "network": network}
    return parse(words, folder)


def test_the_hash_is_in_the_key_and_finds_the_file_again(tensors, tmp_path):
    torch.save(tensors, tmp_path / "w.pth")
    asked = spec(["resnet18", {"name": NAME, "weights": "w.pth"}], tmp_path)
    bare, started = plan(asked)
    assert bare.weights is None and bare.key == plan(spec("resnet18", tmp_path))[0].key
    assert started.key != plan(spec(NAME, tmp_path))[0].key
    assert network_label(started) == f"{NAME} from {started.weights[:8]}"
    assert type(asked).model_validate_json(asked.model_dump_json()) == asked
    assert spec({"name": NAME, "weights": f"sha256:{started.weights}"}, tmp_path).weights == (started.weights,)
    (tmp_path / "root" / "weights").mkdir(parents=True)
    moved = (tmp_path / "w.pth").rename(tmp_path / "root" / "weights" / "other.pth")
    assert located(started.weights, tmp_path / "root") == moved
    with pytest.raises(NetworkError, match="does not fit resnet18"):
        check_files([bare.model_copy(update={"weights": started.weights})], tmp_path / "root", True)
    moved.write_bytes(b"another")
    with pytest.raises(DataError, match=f"{started.weights[:12]}.*--root"):
        located(started.weights, tmp_path / "root")


def test_words_that_are_wrong_meet_one_line(tmp_path):
    for words, hint in [
        ({"name": NAME, "weights": "none.pth"}, "there is no file"),
        ({"name": NAME, "weight": "w.pth"}, "unknown key 'weight'; did you mean 'weights'"),
        ({"weights": "w.pth"}, "a name, or"),
        ({"name": NAME, "weights": "sha256:12"}, "weights"),
    ]:
        with pytest.raises(SpecError, match=hint):
            spec(words, tmp_path)


def test_one_network_has_one_name(tmp_path):
    for spelled in ("resnext50-32x4d", "resnext50_32x4d", "torchvision:resnext50_32x4d"):
        assert spec(spelled, tmp_path).networks == ("torchvision:resnext50_32x4d",)
    assert spec("resnet50", tmp_path).networks == ("resnet50",)  # with a stem for small images, as before


def test_a_network_of_one_size_of_image_says_so():
    pytest.importorskip("timm", reason="timm is not installed")
    check_shape("timm:vit_tiny_patch16_224", (3, 224, 224))
    with pytest.raises(NetworkError, match=r"32x32 pixels in 3 channels.*data\.size"):
        check_shape("timm:vit_tiny_patch16_224", (3, 32, 32))


@pytest.mark.slow
def test_a_trial_starts_from_its_weights_and_is_tried_again_where_they_are_not_at_hand(tmp_path):
    torch.manual_seed(3)
    torch.save(network("small", 1, 2).state_dict(), tmp_path / "w.pth")
    routine = {"epochs": 1, "batch_size": 32, "lr": 1e-12, "ema": 0, "warmup_epochs": 0, "weight_decay": 0}
    words = {"name": "w", "methods": "ERM", "seeds": 1, "training": routine}
    data = {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 40}
    asked = parse(words | {"data": data, "network": {"name": "small", "weights": "w.pth"}}, tmp_path)
    (trial,) = plan(asked)
    check_files([trial], None, True)
    record = run_trial(Job.of(trial, keep_weights=True), TrialContext(str(tmp_path / "store")))
    assert record.status == "complete" and record.trial.weights == trial.weights
    kept = Store(tmp_path / "store").weights(trial.key, torch.device("cpu"))
    started = torch.load(tmp_path / "w.pth", weights_only=True)
    convolutions = [name for name in started if name.startswith("features.") and started[name].dim() == 4]
    assert convolutions and all(torch.allclose(kept[name], started[name], atol=1e-6) for name in convolutions)
    assert not torch.allclose(kept["head.weight"], started["head.weight"][:1], atol=1e-3)
    (tmp_path / "w.pth").rename(tmp_path / "elsewhere.pth")
    with pytest.raises(DataError, match="are not at hand"):  # of the infrastructure: no record says that it failed
        run_trial(Job.of(trial), TrialContext(str(tmp_path / "other")))
    moved = TrialContext(str(tmp_path / "other"), root=tmp_path)
    assert run_trial(Job.of(trial), moved).accuracy == record.accuracy
