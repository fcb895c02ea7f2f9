"""What a GPU is asked to do: on a simulated one always, on a real one with ``pytest -m gpu``.

On both, nothing of a training waits for the device but what is named here. The simulated one also has the numbers of
the CPU bit for bit, and says what a real one would refuse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from simulated_gpu import FREE, HELD, MEMORY, STAGED, real_gpu, simulated_gpu
from small_spec import SMALL
from tailboard.datasets.augment.basic import cutmix, random_crop, random_flip
from tailboard.datasets.augment.resized_crop import random_resized_crop
from tailboard.datasets.augment.ssl_views import ssl_view
from tailboard.datasets.rows import Rows
from tailboard.datasets.split import Images
from tailboard.datasets.tables.columns import Column
from tailboard.harness.planning.calibration import estimates
from tailboard.harness.planning.calibration.estimates import GIB, MARGIN, STEPS, MemoryProbe, calibrate
from tailboard.harness.planning.calibration.summary import memory_words
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.registry.networks import network
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.testing.dry_run import dry_run
from tailboard.harness.testing.network_checks import trained
from tailboard.harness.training.device_images import MappedImages
from tailboard.harness.training.job import Job
from tailboard.harness.training.learners.fused_seeds import FusedTraining
from tailboard.harness.training.learners.table_learners import table_learner
from tailboard.harness.training.loop import AUGMENTATIONS, descend
from tailboard.harness.training.stop_decision import StopDecision
from tailboard.harness.training.trial import Drained, TrialContext, run_trial
from tailboard.methods.optimizers.sharpness import ImbSAM
from tailboard.methods.recipe import Part, Recipe, hyper
from tailboard.methods.registry import recipe, registry
from tailboard.methods.sampling.m2m import M2m

CUDA = torch.device("cuda")
EPOCHS = 5  # the last is the fifth of training in which deferred methods begin
IMAGES = [name for name, entry in registry().items() if not (entry.recipe.rows or entry.recipe.estimator)
          and "Threshold" not in name]  # fmt: skip
ONCE_AN_EPOCH = {
    "loop.py:_epoch": "the losses, all at once",
    "fused_seeds.py:_epoch": "those of all seeds, all at once",
    "m2m.py:notes": "how many images the judge accepted",
    "sharpness.py:notes": "in how many steps ImbSAM acted",
}
ONCE_A_CHUNK = {"loop.py:evaluated": "the logits of the images that are scored at once, when training or an epoch ends"}
ONCE_A_CLASS = {"device_images.py:images": "the images on which M2m's judge is asked how sure it is, once a training"}
BFLOAT16 = {  # each was looked up in torch.testing's table of what CUDA has in that type, but for those that only move
    *("_to_copy", "copy_", "detach", "view", "expand", "squeeze", "t", "as_strided", "as_strided_", "new_zeros"),
    *("convolution", "convolution_backward", "native_batch_norm", "native_batch_norm_backward", "relu_"),
    *("threshold_backward", "mean", "sum", "mul", "div", "mm", "addmm"),
}
OF_SEEDS = {"_unsafe_view", "clone", "permute", "stack", "transpose", "unbind", "add", "bmm"}  # looked up likewise
REAL = pytest.param(
    "real", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]
)
GPUS = {"simulated": simulated_gpu, "real": real_gpu}
on_both = pytest.mark.parametrize("kind", ["simulated", REAL])


def pixels(images=8, channels=3):
    return torch.randint(256, (images, channels, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def run_of(name, device=None, **training):
    """Five epochs of a step each; Joint-SSL's expander is small."""
    made = recipe(name)
    made = made.tuned({"extra.width": 32}) if made.extra else made
    about = {"counts": (12, 6, 4, 2), "shape": (3, 16, 16), "epochs": EPOCHS, "batch_size": 24, "ema": 0.9}
    return dry_run(made, device=device, **about | training)


def wrong_waits(waits, seeds=1):
    """Those that are not named, or come more often than named; what a part notes is each seed's."""
    most = dict.fromkeys(ONCE_AN_EPOCH, EPOCHS * seeds) | dict.fromkeys(ONCE_A_CLASS, 4 * seeds)
    most |= {"loop.py:_epoch": EPOCHS, "fused_seeds.py:_epoch": EPOCHS}
    return {place: count for place, count in waits.items() if count > most.get(place, 0)}


def expected_waits(name):
    """Where a method's training waits, each of them: one that waits no more is to leave the lists too."""
    asked, expected = recipe(name), {"loop.py:_epoch"}
    if isinstance(asked.mixer, M2m):
        expected |= {"m2m.py:notes", *ONCE_A_CLASS}
    return expected | ({"sharpness.py:notes"} if isinstance(asked.step, ImbSAM) else set())


@pytest.mark.slow
@on_both
@pytest.mark.parametrize("name", IMAGES)
def test_a_method_trains_on_the_device_alone_and_waits_only_where_it_is_named(kind, name):
    expected = trained(run_of(name))
    with GPUS[kind]() as gpu:
        run = run_of(name, CUDA)
        gpu.waits.clear()
        trained(run)
        waits = dict(gpu.waits)
        gpu.waits.clear()
        logits = run.logits(pixels())
        asked = dict(gpu.waits)
        weights = {key: value.cpu() for key, value in run.model.state_dict().items()}
    assert not wrong_waits(waits) and set(waits) == expected_waits(name) and asked == dict.fromkeys(ONCE_A_CHUNK, 1)
    assert waits["loop.py:_epoch"] == EPOCHS
    assert not gpu.other_layouts
    if kind == "simulated":
        assert all(torch.equal(weights[key], value) for key, value in expected.model.state_dict().items())
        assert torch.equal(logits, expected.logits(pixels())) and run.history == expected.history
    else:
        assert run.history[0]["loss"] == pytest.approx(expected.history[0]["loss"], rel=0.05)
        assert logits.isfinite().all()


@pytest.mark.slow
@on_both
@pytest.mark.parametrize("name", IMAGES)
def test_a_method_trains_in_bfloat16_by_operations_that_cuda_has_in_it(kind, name):
    with GPUS[kind]() as gpu:
        run = run_of(name, CUDA, precision="bfloat16")
        gpu.waits.clear()
        trained(run)
    assert not wrong_waits(gpu.waits)
    assert not gpu.other_layouts
    assert gpu.in_bfloat16 <= BFLOAT16, "look up whether CUDA has it in bfloat16, then name it"
    assert kind == "real" or "convolution" in gpu.in_bfloat16


ROWS = ("ERM", "SAM", "LDAM-DRW", "SMOTE", "Logit adjustment")  # each slot that a network on rows can honour


@on_both
@pytest.mark.parametrize("name", ROWS)
def test_a_method_trains_on_rows_on_the_device_alone_and_waits_once_an_epoch(kind, name):
    raw = {"name": "t", "data": {"name": "adult", "train_ratio": 0.1}, "methods": [name], "network": "mlp", "seeds": 1}
    trial = plan(parse(raw | {"training": {"epochs": EPOCHS, "batch_size": 24}}))[0]
    rng = np.random.default_rng(0)
    y = rng.permutation(np.repeat((0, 1), (30, 14)))
    rows = Images(rng.normal(size=(len(y), 3)) + y[:, None], y)

    def learner(device):
        columns = tuple(map(Column, "abc"))
        return table_learner(trial, rows, (30, 14), recipe(name), torch.device(device), columns)

    expected = trained(learner("cpu"))
    with GPUS[kind]() as gpu:
        run = learner(CUDA)
        gpu.waits.clear()
        trained(run)
        waits = dict(gpu.waits)
        weights = {key: value.cpu() for key, value in run.model.state_dict().items()}
        saved = None if name == "LDAM-DRW" else run.averaged_weights()["mlp"]  # its last layer is in no saved network
    assert waits == {"loop.py:_epoch": EPOCHS}
    if kind == "simulated":
        assert all(torch.equal(weights[key], value) for key, value in expected.model.state_dict().items())
        assert saved is None or torch.equal(saved, expected.averaged_weights()["mlp"])
    assert run.history[0]["loss"] == pytest.approx(expected.history[0]["loss"], rel=0 if kind == "simulated" else 0.05)


FUSED = ("ERM", "SAM", "ImbSAM", "M2m", "Joint-SSL + SAM-A")  # each way of a step, a mixer and views


def fused(name, device=None, **training):
    """Two seeds of a method, trained as one."""
    return FusedTraining([run_of(name, device, seed=seed, **training) for seed in (0, 1)])


@pytest.mark.slow
@on_both
@pytest.mark.parametrize("name", FUSED)
def test_fused_seeds_train_on_the_device_alone_and_wait_only_where_it_is_named(kind, name):
    expected = trained(fused(name)).loops
    with GPUS[kind]() as gpu:
        together = fused(name, CUDA)
        gpu.waits.clear()
        trained(together)
        waits = dict(gpu.waits)
        weights = [{key: value.cpu() for key, value in loop.model.state_dict().items()} for loop in together.loops]
        averages = [[value.cpu() for value in loop.average.state()] for loop in together.loops]
    assert waits["fused_seeds.py:_epoch"] == EPOCHS and not wrong_waits(waits, seeds=2)
    for own, average, loop, other in zip(weights, averages, together.loops, expected, strict=True):
        if kind == "simulated":
            assert all(torch.equal(own[key], value) for key, value in other.model.state_dict().items())
            assert all(map(torch.equal, average, other.average.state())) and loop.history == other.history
        else:
            assert loop.history[0]["loss"] == pytest.approx(other.history[0]["loss"], rel=0.05)


@pytest.mark.slow
@on_both
@pytest.mark.parametrize("name", ["ERM", "Joint-SSL + SAM-A"])
def test_fused_seeds_train_in_bfloat16_by_operations_that_cuda_has_in_it(kind, name):
    with GPUS[kind]() as gpu:
        together = fused(name, CUDA, precision="bfloat16")
        gpu.waits.clear()
        trained(together)
    assert not wrong_waits(gpu.waits, seeds=2)
    assert gpu.in_bfloat16 <= BFLOAT16 | OF_SEEDS, "look up whether CUDA has it in bfloat16, then name it"
    assert kind == "real" or "convolution" in gpu.in_bfloat16


@dataclass(frozen=True)
class Faulty(Part):
    """A step that does something of all seeds before it descends."""

    does: str = hyper("", "none")
    fusable = True

    def build(self, scene):
        def step(objective, y, optimizer):
            loss = objective()
            FAULTS[self.does](loss)
            return descend(lambda: loss, y, optimizer)

        return step


FAULTS = {
    "waits": lambda losses: losses.max().item(),
    "another device": lambda losses: losses + torch.ones(2),
    "another generator": lambda losses: torch.rand(2, generator=torch.Generator(), device=losses.device),
}


def test_a_wait_in_the_step_of_fused_seeds_is_seen():
    with simulated_gpu() as gpu:
        together = FusedTraining([dry_run(Recipe(step=Faulty("waits")), device=CUDA, seed=seed) for seed in (0, 1)])
        gpu.waits.clear()
        trained(together)
    assert wrong_waits(gpu.waits, seeds=2) == {"test_gpu_path.py:<lambda>": 9}


@pytest.mark.parametrize(("does", "says"), [("another device", "same device"), ("another generator", "generator")])
def test_the_simulated_gpu_refuses_what_a_gpu_does_in_the_step_of_fused_seeds(does, says):
    with simulated_gpu():
        together = FusedTraining([dry_run(Recipe(step=Faulty(does)), device=CUDA, seed=seed) for seed in (0, 1)])
        with pytest.raises(RuntimeError, match=says):
            trained(together)


AUGMENTED = {
    "crop": lambda x, g: random_crop(x, 4, g),
    "flip": random_flip,
    "cutmix": lambda x, g: cutmix(x.float().div(255), g, probability=1.0).x,
    "views": lambda x, g: ssl_view(x.float().div(255), g),
    **{word: augment for word, (_, augment) in AUGMENTATIONS.items()},
}


@on_both
@pytest.mark.parametrize("name", [*AUGMENTED, "resized crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_augmentation_is_the_cpu_s_and_never_waits(kind, name, channels):
    augment = AUGMENTED.get(name, lambda x, g: random_resized_crop(x, 0.3, g))
    x = pixels(60, channels)
    expected = augment(x, torch.Generator().manual_seed(2))
    with GPUS[kind]() as gpu:
        sent = x.to(CUDA)
        gpu.waits.clear()
        made = augment(sent, torch.Generator().manual_seed(2))
        assert not gpu.waits and made.device.type == "cuda" and made.dtype == expected.dtype
        away = (made.cpu().float() - expected.float()).abs()
    if kind == "simulated":
        assert away.max() <= (1 if name == "resized crop" else 0)
    else:  # a source point half-way between two pixels may fall to the other
        assert (away > 1).float().mean() < 0.01


@on_both
def test_an_epoch_that_is_tracked_waits_once_for_each_batch_that_is_scored(kind):
    with GPUS[kind]() as gpu:
        run = run_of("ERM", CUDA, track_every=1, track="minority")
        gpu.waits.clear()
        trained(run)
    assert dict(gpu.waits) == {"loop.py:_epoch": EPOCHS} | dict.fromkeys(ONCE_A_CHUNK, EPOCHS)


@pytest.mark.slow
@on_both
def test_a_checkpoint_is_gone_on_from_as_if_nothing_had_happened(kind, tmp_path):
    trial = plan(parse(SMALL | {"methods": "SAM-A"}))[0]
    expected = run_trial(Job.of(trial), TrialContext(store=str(tmp_path / "cpu")))
    with GPUS[kind]():
        contexts = [TrialContext(store=str(tmp_path / name), gpu=True, checkpoint_seconds=0) for name in "ab"]
        whole = run_trial(Job.of(trial), contexts[0])
        with pytest.raises(Drained):
            run_trial(Job.of(trial), contexts[1], should_stop=lambda: StopDecision.DRAIN)
        resumed = run_trial(Job.of(trial), contexts[1])
    assert whole.environment["device"] == "cuda" and whole.environment["gpu"] and resumed.attempts == 2
    arrays = [Store(tmp_path / name).arrays(trial.key)["last_ema"] for name in ("cpu", "a", "b")]
    if kind == "simulated":
        assert resumed.accuracy == whole.accuracy == expected.accuracy
        assert arrays[0].tobytes() == arrays[1].tobytes() == arrays[2].tobytes()
    else:
        assert np.isfinite(arrays[1]).all() and np.abs(arrays[1].astype(float) - arrays[2]).max() < 1


@on_both
def test_images_that_stay_on_disk_are_sent_without_waiting(kind, tmp_path):
    np.save(tmp_path / "x.npy", pixels(60).numpy())
    rows = Rows(np.load(tmp_path / "x.npy", mmap_mode="r"), np.arange(60))
    order = torch.arange(60).flip(0)
    with GPUS[kind]() as gpu:
        images = MappedImages(rows, CUDA)
        batches = order.to(CUDA).split(20)
        gpu.waits.clear()
        images.announce(batches, order)
        read = [images[batch] for batch in batches]
        assert not gpu.waits
        assert torch.equal(torch.cat([batch.cpu() for batch in read]), pixels(60).flip(0))


def test_many_bytes_wait_for_the_device_unless_they_are_pinned_as_m2m_s_noise_is():
    with simulated_gpu() as gpu:
        images, run = pixels(96).float().to(CUDA), run_of("M2m", CUDA)
        gpu.waits.clear()
        made = run.mixer._noise(images)
        assert not gpu.waits and made.numel() * made.element_size() > STAGED
        torch.ones(STAGED).to(CUDA, non_blocking=True)
        assert gpu.waits.total() == 1


def test_calibration_of_a_network_on_rows_is_the_device_s():
    raw = {"name": "t", "data": "simulated-table", "methods": "ERM", "network": "mlp", "resources": {"gpu": 1}}
    spec = parse(raw | {"training": {"epochs": 1, "batch_size": 8}, "seeds": 1})
    with simulated_gpu() as gpu:
        (found,) = calibrate(spec, resolve_dependencies(plan(spec), {}))
    assert found.memory == HELD + (MEMORY - FREE - HELD)
    assert gpu.waits["loop.py:step_seconds"] == STEPS


@pytest.mark.slow
def test_calibration_measures_on_the_device_and_says_how_many_trials_share_it(monkeypatch):
    monkeypatch.setattr(estimates, "MOMENTS", (0.0, 0.95))  # before and after M2m begins to generate
    spec = parse(SMALL | {"methods": "M2m", "training": {"epochs": 5, "batch_size": 8}, "resources": {"gpu": 1}})
    with simulated_gpu():
        found = calibrate(spec, resolve_dependencies(plan(spec), {}))
        words = memory_words(spec, found)
    assert {estimate.trial.method.name for estimate in found} == {"M2m", "ERM"}
    peak = HELD + (MEMORY - FREE - HELD)
    assert all(peak <= estimate.memory < peak + GIB and estimate.step > 0 for estimate in found)
    fits = int(MEMORY / (max(estimate.memory for estimate in found) * MARGIN))
    assert words.endswith(f"puts {fits} on it")


@on_both
def test_the_memory_probe_reads_the_device(kind):
    with GPUS[kind]():
        peak = MemoryProbe(CUDA)
        held = torch.ones(2**20, device=CUDA)
        del held
        read = peak.bytes()
    assert read == MEMORY - FREE if kind == "simulated" else read > 2**22


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "wrn-10-1"])
def test_a_network_keeps_to_channels_last_in_bfloat16(name):
    with simulated_gpu() as gpu:
        model = network(name, 3, 4).to(CUDA, memory_format=torch.channels_last)
        x = pixels(2).float().to(CUDA).contiguous(memory_format=torch.channels_last)
        gpu.waits.clear()
        with torch.autocast("cuda", torch.bfloat16):
            model(x).float().sum().backward()
    assert not gpu.waits and not gpu.other_layouts
    beside = {"add", "add_", "avg_pool2d", "constant_pad_nd", "relu", "slice", "slice_backward"}
    assert gpu.in_bfloat16 - BFLOAT16 <= beside


def mixed_devices(x):
    return x + torch.ones(3)


def wrong_generator(x):
    return torch.rand(3, generator=torch.Generator(), device=CUDA)


def own_generator(x):
    return torch.nn.functional.dropout(x, 0.5)


def no_kernel(x):
    return torch.ops.aten.mkldnn_reorder_conv2d_weight(x.view(1, 1, 1, 3))


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (mixed_devices, "same device"),
        (wrong_generator, "generator"),
        (own_generator, "draws on the device"),
        pytest.param(
            no_kernel,
            "no kernel",
            marks=pytest.mark.skipif(not torch.backends.cuda.is_built(), reason="PyTorch is not built for CUDA"),
        ),
    ],
)
def test_the_simulated_gpu_refuses_what_a_gpu_does(broken, says):
    with simulated_gpu(), pytest.raises((RuntimeError, NotImplementedError), match=says):
        broken(torch.ones(3).to(CUDA))


WAITS = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x[0]),
    "if": lambda x: bool((x > 0).all()),
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "to the device": lambda x: torch.ones(3).to(CUDA),
    "a new tensor": lambda x: torch.tensor([1.0, 2.0], device=CUDA),
    "rows where": lambda x: x[x > 0],
    "set where": lambda x: x.index_put_((x > 0,), torch.ones(3).to(CUDA, non_blocking=True)),
    "nonzero": lambda x: x.nonzero(),
    "unique": lambda x: x.unique(),
    "an index on the CPU": lambda x: x[torch.tensor([0, 1])],
    "copied over": lambda x: torch.ones(3).copy_(x),
}


@on_both
@pytest.mark.parametrize("name", WAITS)
def test_a_wait_is_seen_and_its_place_named(kind, name):
    with GPUS[kind]() as gpu:
        x = torch.ones(3).to(CUDA)
        gpu.waits.clear()
        WAITS[name](x)
    assert set(gpu.waits) == {"test_gpu_path.py:<lambda>"}


@on_both
def test_what_never_waits_is_not_taken_for_a_wait(kind):
    with GPUS[kind]() as gpu:
        x = torch.ones(3).to(CUDA)
        gpu.waits.clear()
        x[x > 0] = 2.0
        x[torch.tensor([0, 1]).to(CUDA, non_blocking=True)].add_(1).sum()
        torch.zeros(3, device=CUDA).masked_fill(x > 0, 1.0).copy_(torch.ones(3), non_blocking=True)
        Recipe()
    assert not gpu.waits
