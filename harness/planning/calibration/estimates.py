"""Estimates of a plan's time and memory, from a few steps of each kind of trial on random images."""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import floor, prod
from pathlib import Path

import numpy as np
import torch

from ....datasets.split import Images
from ....datasets.tables.columns import Column
from ....methods.recipe import Recipe
from ...errors import ClusterError
from ...registry.datasets import dataset_of, long_tail
from ...registry.methods import recipe_of
from ...spec.schema import Method, Spec, Trial, prerequisite
from ...storage.store import Store
from ...training.device_images import most_bytes
from ...training.learners.image_learner import image_learner
from ...training.loop import TrainingLoop
from ...training.schedule import steps_per_epoch
from ..dependencies import Dependencies
from .table_timing import fit_seconds, learner_on

MARGIN = 1.15  # between trials of one kind, and for what cannot be seen from here
GIB = 2**30
MOST = 30  # trials on a device: beyond, their processes are what takes it
LONG = 600.0  # seconds of a trial from which on it may be worth the minute that compiling takes
STEPS = 4  # at each moment; the first is left out, since it allocates
MOMENTS = (0.0, 0.25, 0.5, 0.75, 0.95)  # of training: a method may change its step on the way


@dataclass(frozen=True)
class Estimate:
    """Seconds of one step and of one whole trial, measured alone on this machine; and the most memory that it took,
    in bytes: of the GPU where it has one, else of the process."""

    trial: Trial
    step: float
    whole: float
    memory: int

    @property
    def held(self) -> int:
        """The most memory of its worker, in bytes, about: of a fused trial that of all its seeds."""
        return self.memory * len(self.trial.fused or (self.trial.seed,))


def calibrate(spec: Spec, dependencies: Dependencies) -> list[Estimate]:
    """Measure a few steps of each kind of trial.

    Args:
        spec: Its resources say on what.
        dependencies: The trials.

    Returns:
        One estimate for each distinct trial but for its seed, in the plan's order.

    Raises:
        ClusterError: where the spec asks for a GPU and this machine has none.
    """
    if spec.resources.gpu and not torch.cuda.is_available():
        raise ClusterError("--calibrate measures on this machine, which has no GPU; the spec's resources ask for one")
    device = _device(spec)
    kinds = {kind(trial): trial for trial in dependencies.trials}
    return [_estimate(trial, device, spec.plugins) for trial in kinds.values()]


@dataclass(frozen=True)
class Compilation:
    """What ``training: {compile: true}`` would do to ERM's step of a network on this machine: its time over what it is
    else, and the seconds of the first one. ``fault`` is why nothing can be compiled here, empty where it can."""

    network: str
    ratio: float = 1.0
    start: float = 0.0
    fault: str = ""


def compilations(spec: Spec, estimates: Sequence[Estimate]) -> list[Compilation]:
    """What compiling would gain for each network that has a trial of ``LONG`` seconds.

    Args:
        spec: Its resources say on what.
        estimates: Of its trials.
    """
    longest: dict[str, Estimate] = {}
    for each in sorted(estimates, key=lambda e: e.whole):
        if each.trial.training.learner == "images" and each.whole >= LONG:
            longest[each.trial.network] = each
    return [_compilation(each.trial, _device(spec)) for each in longest.values()]


def _compilation(trial: Trial, device: torch.device) -> Compilation:
    erm, middle, seconds = trial.model_copy(update={"method": Method(name="ERM")}), trial.training.epochs // 2, []
    try:
        for words in ({"compile": False}, {"compile": True}):
            training = erm.training.model_copy(update=words)
            run, _ = loop_on_noise(erm.model_copy(update={"training": training, "weights": None}), device, {})
            first, *_ = run.step_seconds(middle, 1)
            seconds.append((first, statistics.median(run.step_seconds(middle, STEPS))))
    except (RuntimeError, OSError) as error:  # what torch cannot compile, or no compiler
        return Compilation(trial.network, fault=next(iter(str(error).split("\n")), type(error).__name__))
    (_, eager), (start, compiled) = seconds
    return Compilation(trial.network, compiled / eager, start)


def bfloat16_over_float32(spec: Spec, trials: Sequence[Trial]) -> dict[str, float]:
    """What bfloat16 would gain on this machine. The plan's words choose the precision, since it changes the numbers;
    this is what to choose by.

    Args:
        spec: Its resources say on what.
        trials: Those of the plan.

    Returns:
        For each network, the time of ERM's step in bfloat16 over float32's: below 1 it gains.
    """
    device = _device(spec)
    first = {
        trial.network: trial.model_copy(update={"method": Method(name="ERM")})
        for trial in reversed(trials)
        if trial.training.learner == "images"
    }
    return {name: _in(trial, "bfloat16", device) / _in(trial, "float32", device) for name, trial in first.items()}


def _device(spec: Spec) -> torch.device:
    return torch.device("cuda" if spec.resources.gpu else "cpu")


def _in(trial: Trial, precision: str, device: torch.device) -> float:
    training = trial.training.model_copy(update={"precision": precision})
    return _estimate(trial.model_copy(update={"training": training}), device, {}).step


def kind(trial: Trial) -> str:
    """The same for trials that differ only in their seed."""
    return trial.model_copy(update={"seed": 0}).canonical


def _estimate(trial: Trial, device: torch.device, plugins: Mapping[str, str]) -> Estimate:
    torch.set_num_threads(trial.threads)
    asked, trial = trial, trial.model_copy(update={"weights": None})  # any weights take the same time
    about, counts = dataset_of(trial.data), long_tail(trial.data, trial.val_per_class)
    if about.columns:
        return _table_estimate(trial, about.columns, counts, recipe_of(trial, plugins), device)
    peak = MemoryProbe(device)
    run, images = loop_on_noise(trial, device, plugins)
    medians = [
        statistics.median(run.step_seconds(int(moment * trial.training.epochs), STEPS)[1:]) for moment in MOMENTS
    ]
    run.logits(torch.from_numpy(np.asarray(images.x)))  # scoring takes larger batches than a small training does
    step = statistics.mean(medians)
    whole_set = sum(counts) * prod(about.shape)  # a trial has all its images on the device, where they are few enough
    fits = whole_set * len(trial.fused or (trial.seed,)) <= most_bytes(device)
    unseen = whole_set - images.x.nbytes if fits else 0
    whole = step * trial.training.epochs * steps_per_epoch(sum(counts), trial.training)
    return Estimate(asked, step, whole, peak.bytes() + max(0, unseen))


def loop_on_noise(trial: Trial, device: torch.device, plugins: Mapping[str, str]) -> tuple[TrainingLoop, Images]:
    """The training of a trial at its start, on random images of a few steps; and these.

    Args:
        trial: Of a learner on images, without weights that it starts from.
        device: Where it is trained.
        plugins: The texts of plugin files, by their hashes.
    """
    about, counts = dataset_of(trial.data), long_tail(trial.data, trial.val_per_class)
    images = _noise(about.shape, counts, trial.training.batch_size * STEPS)
    method = recipe_of(trial, plugins)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        for start in (prerequisite(trial, need) for need in method.needs()):
            # An untrained network costs as much as the trained one that it stands for.
            stand_in = image_learner(start, images, counts, recipe_of(start, plugins), device, store)
            store.write_weights(start.key, stand_in.averaged_weights())
        return image_learner(trial, images, counts, method, device, store), images


def _table_estimate(
    trial: Trial, columns: tuple[Column, ...], counts: tuple[int, ...], method: Recipe, device: torch.device
) -> Estimate:
    """Of a trial on a table: an estimator's fit is its only step, and never on a GPU."""
    peak = MemoryProbe(device)
    if trial.training.learner == "estimator":
        seconds = fit_seconds(trial, columns, counts, method)
        return Estimate(trial, seconds, seconds, peak.bytes())
    run = learner_on(trial, columns, counts, method, trial.training.batch_size * STEPS, device)
    assert isinstance(run, TrainingLoop)  # noqa: S101  (for the type checker)
    step = statistics.median(run.step_seconds(0, STEPS)[1:])
    steps = trial.training.epochs * max(1, sum(counts) // trial.training.batch_size)
    return Estimate(trial, step, step * steps, peak.bytes())


def _noise(shape: tuple[int, ...], counts: tuple[int, ...], number: int) -> Images:
    """Random images whose labels are as frequent as the long tail's."""
    rng = np.random.default_rng(0)
    labels = rng.choice(len(counts), number, p=np.array(counts) / sum(counts))
    return Images(rng.integers(0, 256, (number, *shape), dtype=np.uint8), labels.astype(np.int64))


class MemoryProbe:
    """The most memory since it was made, in bytes. On the CPU that of the whole process, torch and all."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
        elif Path("/proc/self/clear_refs").exists():
            with suppress(OSError):  # a container may forbid it
                Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far (man 5 proc)

    def bytes(self) -> int:
        """The most memory since the probe was made, in bytes."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_reserved(self._device) + self._context()
        for line in _status():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # no Linux: since the process began
        return most if sys.platform == "darwin" else most * 1024

    def _context(self) -> int:
        """What the process holds of the GPU beside tensors: CUDA itself. Right where nobody else uses it."""
        free, total = torch.cuda.mem_get_info(self._device)
        return max(0, total - free - torch.cuda.memory_reserved(self._device))


def _status() -> list[str]:
    try:
        return Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return []


@dataclass(frozen=True)
class MemoryFit:
    """How many trials share a device of ``total`` bytes when each needs ``peak``, and the fraction to ask for."""

    peak: int
    total: int

    @property
    def trials(self) -> int:
        """How many trials fit on the device at a time; 0 where not even one does."""
        return min(MOST, floor(self.total / (self.peak * MARGIN)))

    @property
    def fraction(self) -> float:
        """Rounded down, so that as many as fit are placed; 1 where not even one does."""
        return floor(10_000 / max(1, self.trials)) / 10_000


def total(device: torch.device) -> int:
    """Bytes of the GPU."""
    return torch.cuda.get_device_properties(device).total_memory
