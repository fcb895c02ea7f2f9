"""What a GPU does with this program, in one script of under nine minutes: one table, and JSON.

    .venv/bin/python benchmarks/training/gpu.py --out gpu.json [--only whole_trial,method_cost]

The parts, in their order:

    tests         ``pytest -m gpu``: every method, augmentation, checkpoint and the evaluation on the device
    whole_trial   a full ``t5`` trial over the bare step (forward, backward, SGD on one fixed batch), in bfloat16
    method_cost   the step of each registered method over ERM's, in the last fifth of training
    cuda_graph    the bare step over its replay from one CUDA graph
    compiled      the bare step over the same under ``torch.compile``, and the seconds of the first compiled step
    memory        what ``plan --calibrate`` proposes for a trial over the peak of one epoch of it
    official      a trial's speed over that of LDAM-DRW's loop (``official_loop.py``), on the device both
    fused         epochs of five fused seeds over those of one, the goal is 1.7 on an H100; likewise of five seeds in
                  one process, one after the other, and step by step in turn, with a stream or a CUDA graph each
    together      steps a second of one, two and four trials at a time, without NVIDIA's MPS and with it

A part that fails, or for which no time is left, says so in its row and the next one begins. After ``--minutes``, 8.5
if not given, the part that runs is cut short, and what it has measured by then stays. ``--small`` tries all but
``tests`` and ``compiled`` on any machine with the sizes turned down; what it prints is no measurement.

No GPU has been measured with it yet.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from official_loop import official as official_loop
from official_loop import ours
from seeds_in_turn import captured, with_graphs, with_streams

from tailboard.benchmarks.machine_load import say_load
from tailboard.datasets.split import Images
from tailboard.harness.planning.calibration.estimates import MARGIN, MemoryProbe, calibrate, loop_on_noise
from tailboard.harness.planning.calibration.sharing import measured_together
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.registry.datasets import dataset_of, long_tail, split_of
from tailboard.harness.registry.methods import recipe_of
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Spec, Trial, plan
from tailboard.harness.storage.store import Store
from tailboard.harness.text import table
from tailboard.harness.training.environment import environment
from tailboard.harness.training.learners.fused_seeds import FusedTraining
from tailboard.harness.training.learners.image_learner import image_learner
from tailboard.harness.training.loop import TrainingLoop, autocast
from tailboard.methods.registry import registry

MPS = "nvidia-cuda-mps-control"


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    network: str = "resnet32"
    data: Any = "cifar10"  # random images of its shape and long tail
    small: bool = False
    batch: int = 128
    steps: int = 96  # of one timing
    repeats: int = 7
    seconds: float = 5.0  # of each number of trials at a time
    epochs: int = 5  # of the official loop
    methods: tuple[str, ...] = ()  # all where none is named


FEW = {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 40}
SMALL = Sizes("small", FEW, True, 16, 2, 1, 0.2, 1, ("ERM", "SAM", "M2m"))


@dataclass(frozen=True)
class Measured:
    """One number, or why there is none."""

    name: str
    value: float | None
    unit: str = "ratio"
    said: str = ""


class NotHere(Exception):
    """This machine has not what a part needs."""


class TimeIsUp(BaseException):
    """The script has had its minutes. No exception of a part's: what keeps its faults apart does not catch it."""


def spec_of(sizes: Sizes, device: torch.device, method: str = "ERM") -> Spec:
    """The spec of a trial under ``t5``."""
    return parse({
        "name": "gpu",
        "data": sizes.data,
        "methods": method,
        "network": sizes.network,
        "training": {"preset": "t5", "batch_size": sizes.batch, "precision": "bfloat16"},
        "resources": {"gpu": 1} if device.type == "cuda" else {},
        "seeds": 1,
    })  # fmt: skip


def trial_of(sizes: Sizes, device: torch.device, method: str = "ERM") -> Trial:
    return plan(spec_of(sizes, device, method))[-1]


def learner(trial: Trial, device: torch.device, number: int) -> TrainingLoop:
    """A training on so many random images, whose labels are as frequent as the long tail's."""
    about, tail = dataset_of(trial.data), long_tail(trial.data, trial.val_per_class)
    rng = np.random.default_rng(0)
    y = rng.choice(len(tail), number, p=np.array(tail) / sum(tail))
    images = Images(rng.integers(0, 256, (number, *about.shape), dtype=np.uint8), y.astype(np.int64))
    counts = tuple(np.bincount(y, minlength=len(tail)).clip(min=1).tolist())
    return image_learner(trial, images, counts, recipe_of(trial, None), device, Store(""))


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds, until the device has done all that it was asked for."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


def bare_step(run: TrainingLoop, batch: int, network: Callable[..., Any], cached: bool = True) -> Callable[[], None]:
    """Forward, backward and SGD on one fixed batch, already normalised."""
    x = run.material.normalised(run.material.pixels(run.material.all()[:batch]))
    y, device = run.material.y[:batch], run.scene.device
    run.model.train()

    def step() -> None:
        run.optimizer.zero_grad(set_to_none=True)
        with autocast(device, run.training.precision):
            torch.set_autocast_cache_enabled(cached)
            logits = network(x)
        torch.nn.functional.cross_entropy(logits.float(), y).backward()
        run.optimizer.step()

    return step


def repeated(step: Callable[[], object], steps: int) -> Callable[[], None]:
    def all_steps() -> None:
        for _ in range(steps):
            step()

    return all_steps


def ratio(slow: Callable[[], object], fast: Callable[[], object], sizes: Sizes, device: torch.device) -> float:
    """The median of the one's time over the other's, in turns, once both are warm."""
    pairs = [(timed(slow, device), timed(fast, device)) for _ in range(sizes.repeats + 1)]
    return statistics.median(a / b for a, b in pairs[1:])


def attempted(name: str, work: Callable[[], Iterable[Measured]]) -> Iterator[Measured]:
    """What is measured, one by one, and why the rest is not."""
    try:
        yield from work()
    except NotHere as reason:
        yield Measured(name, None, "", str(reason))
    except Exception as error:
        yield Measured(name, None, "", f"failed: {type(error).__name__}: {str(error).splitlines()[:1]}")


def tests(sizes: Sizes, device: torch.device) -> list[Measured]:
    """The suite on the device."""
    if device.type != "cuda":
        raise NotHere("needs a GPU")
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/training/test_gpu_path.py"]
    start = time.perf_counter()
    done = subprocess.run(
        words, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=200, check=False
    )
    print(done.stdout[-6000:], file=sys.stderr)
    said = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
    return [Measured("pytest -m gpu", time.perf_counter() - start, "s", said)]


def whole_trial(sizes: Sizes, device: torch.device) -> list[Measured]:
    """The loop's own cost."""
    trial = trial_of(sizes, device)
    run, bare = (learner(trial, device, sizes.steps * sizes.batch) for _ in range(2))
    epochs, steps = run.epochs(), repeated(bare_step(bare, sizes.batch, bare.model), sizes.steps)
    share = ratio(steps, lambda: next(epochs), sizes, device)
    seconds = statistics.median(timed(lambda: next(epochs), device) for _ in range(sizes.repeats))
    images = sizes.steps * sizes.batch / seconds
    return [
        Measured("a full trial's speed over the bare step's", share, "ratio", "goal 0.97"),
        Measured("a full trial", images, "images/s"),
    ]


def method_cost(sizes: Sizes, device: torch.device) -> list[Measured]:
    """Steps in the last fifth of training, the methods in turns."""
    known = {name: entry for name, entry in registry().items() if not (entry.recipe.rows or entry.recipe.estimator)}
    names = [name for name in known if name != "Threshold" and (not sizes.methods or name in sizes.methods)]
    runs = {name: loop_on_noise(trial_of(sizes, device, name), device, {})[0] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(sizes.repeats + 1):
        for name, run in runs.items():
            steps = run.step_seconds(int(0.95 * run.training.epochs), 4)
            seconds[name] += steps[1:] if repeat else []
    erm = statistics.median(seconds["ERM"])
    costs = {name: statistics.median(took) / erm for name, took in seconds.items()}
    step = Measured("ERM's step", 1000 * erm, "ms")
    declared = {name: f"declared {known[name].cost:g} over all of training" for name in names}
    return [step, *(Measured(f"{name}'s step over ERM's", costs[name], "ratio", declared[name]) for name in names[1:])]


def cuda_graph(sizes: Sizes, device: torch.device) -> list[Measured]:
    """The whole step replayed, with no word from the host but one."""
    if device.type != "cuda":
        raise NotHere("needs a GPU")
    run = learner(trial_of(sizes, device), device, sizes.batch)
    replay = captured(bare_step(run, sizes.batch, run.model, cached=False), run.optimizer, torch.cuda.Stream())
    eager = learner(trial_of(sizes, device), device, sizes.batch)
    steps = repeated(bare_step(eager, sizes.batch, eager.model), sizes.steps)
    replayed = repeated(replay, sizes.steps)
    return [Measured("the bare step's time over its CUDA graph's", ratio(steps, replayed, sizes, device))]


def compiled(sizes: Sizes, device: torch.device) -> list[Measured]:
    """The network under ``torch.compile``."""
    if sizes.small:
        raise NotHere("left out with --small: it compiles for half a minute")
    trial = trial_of(sizes, device)
    eager, other = (learner(trial, device, sizes.batch) for _ in range(2))
    fast = bare_step(other, sizes.batch, torch.compile(other.model))
    first = timed(fast, device)
    slow = repeated(bare_step(eager, sizes.batch, eager.model), sizes.steps)
    share = ratio(slow, repeated(fast, sizes.steps), sizes, device)
    return [
        Measured("the bare step's time over the compiled one's", share),
        Measured("the first compiled step", first, "s"),
    ]


def memory(sizes: Sizes, device: torch.device) -> list[Measured]:
    """The probe against what a training takes."""
    spec = spec_of(sizes, device)
    trial = plan(spec)[-1]
    proposed = calibrate(spec, resolve_dependencies([trial], {}))[0].memory
    peak = MemoryProbe(device)
    run = learner(trial, device, sum(long_tail(trial.data, trial.val_per_class)))
    next(run.epochs())
    run.logits(run.material.all()[:512].cpu())
    took = peak.bytes()
    said = f"what is proposed is {MARGIN:g} times the probe's; below 1 / {MARGIN:g} trials would not fit"
    return [Measured("the memory probe over a trial's peak", proposed / took, "ratio", said)]


def official(sizes: Sizes, device: torch.device) -> list[Measured]:
    """LDAM-DRW's loop on the device, with four processes that load its images; on what is in the package."""
    spec = parse({
        "name": "official-loop",
        "data": FEW if sizes.small else {"name": "fashion-mnist-mini", "imbalance_factor": 10},
        "methods": "ERM",
        "network": sizes.network,
        "training": {"preset": "ldam2019", "precision": "float32", "batch_size": 128},
        "seeds": 1,
    })  # fmt: skip
    trial = plan(spec)[0]
    split, _ = split_of(trial, None, False)
    workers = 0 if sizes.small else 4
    pairs = [
        (
            official_loop(trial, split, sizes.epochs, workers, time.perf_counter, device)[0],
            ours(trial, split, sizes.epochs, time.perf_counter, device)[0],
        )
        for _ in range(1 if sizes.small else 3)
    ]
    said = f"{sum(split.counts)} images of {trial.data.title}, {sizes.epochs} epochs, {workers} processes load for it"
    ratios = [theirs / own for theirs, own in pairs]
    return [Measured("a trial's speed over LDAM-DRW's loop", statistics.median(ratios), "ratio", said)]


def fused(sizes: Sizes, device: torch.device) -> Iterator[Measured]:
    """Epochs of the same steps: of several seeds, however they are trained, and of one alone."""
    trial, number, steps = trial_of(sizes, device), 2 if sizes.small else 5, -(-sizes.steps // 6)

    def over_one(way: SeedsTrained) -> float:
        if way in (with_streams, with_graphs) and device.type != "cuda":
            raise NotHere("needs a GPU")
        seeds = [*range(number), trial.seed]
        loops = [learner(trial.model_copy(update={"seed": s}), device, steps * sizes.batch) for s in seeds]
        several, alone = way(loops[:-1], device), loops[-1].epochs()
        return ratio(lambda: next(several), lambda: next(alone), sizes, device)

    for how, (way, said) in WAYS.items():
        name = f"{number} seeds' time over that of one, {how}"
        yield from attempted(name, lambda: [Measured(name, over_one(way), "ratio", said)])  # noqa: B023  (called at once)


SeedsTrained = Callable[[list[TrainingLoop], torch.device], Iterator[object]]  # epoch by epoch
WAYS: dict[str, tuple[SeedsTrained, str]] = {
    "fused": (lambda loops, _: FusedTraining(loops).epochs(), "goal 1.7 on an H100"),
    "one after the other": (lambda loops, _: zip(*(loop.epochs() for loop in loops), strict=True), ""),
    "a stream each": (with_streams, "steps in turn, in one process"),
    "a CUDA graph each": (with_graphs, "passes and descent replayed in turn, on a stream each"),
}


def together(sizes: Sizes, device: torch.device) -> Iterator[Measured]:
    """Several trials share the device, without MPS and with it."""
    trial, most = trial_of(sizes, device), 1 if sizes.small else 4
    for how in ("without MPS", "with MPS"):
        if how == "with MPS" and (device.type != "cuda" or not shutil.which(MPS)):
            yield Measured("trials at a time with MPS", None, "", f"{MPS} is not here")
            return
        with own_mps() if how == "with MPS" else tempfile.TemporaryDirectory():
            found = measured_together(trial, device, {}, most, sizes.seconds)
        yield from (Measured(f"{each.trials} at a time, {how}", each.steps, "steps/s together") for each in found)


@contextmanager
def own_mps() -> Iterator[None]:
    """Inside, processes that are started share the GPU through a daemon of MPS that is ours."""
    with tempfile.TemporaryDirectory() as folder:
        ours_alone = {"CUDA_MPS_PIPE_DIRECTORY": folder, "CUDA_MPS_LOG_DIRECTORY": folder}
        before = dict(os.environ)
        os.environ.update(ours_alone)
        try:
            subprocess.run([MPS, "-d"], check=True, timeout=30)
            yield
        finally:
            subprocess.run([MPS], input="quit\n", text=True, check=False, timeout=60)
            os.environ.clear()
            os.environ.update(before)


PARTS: dict[str, Callable[[Sizes, torch.device], Iterable[Measured]]] = {
    "tests": tests, "whole_trial": whole_trial, "method_cost": method_cost, "cuda_graph": cuda_graph,
    "compiled": compiled, "memory": memory, "official": official, "fused": fused, "together": together,
}  # fmt: skip


def measured(sizes: Sizes, device: torch.device, names: list[str], minutes: float) -> list[Measured]:
    """Every part in its turn; no fault of one costs the others, nor the end of the time what was measured before."""
    rows, left = [], [*names]
    try:
        with time_is_up_after(60 * minutes):
            while left:
                print(f"{left[0]} ...", file=sys.stderr, flush=True)
                for row in attempted(left[0], lambda: PARTS[left[0]](sizes, device)):
                    rows.append(row)  # one by one: what a part that is cut short has measured stays
                left.pop(0)
    except TimeIsUp:
        rows += [Measured(name, None, "", "cut short") for name in left[:1]]
        rows += [Measured(name, None, "", "no time was left") for name in left[1:]]
    return rows


@contextmanager
def time_is_up_after(seconds: float) -> Iterator[None]:
    """Raises TimeIsUp inside, once, after so many seconds."""

    def end(*_: object) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def main(given: argparse.Namespace) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu" and not given.small:
        sys.exit("this machine has no GPU; --small tries the parts on its CPU")
    load = say_load()
    torch.set_num_threads(1)
    sizes = SMALL if given.small else Sizes()
    names = given.only.split(",") if given.only else list(PARTS)
    if unknown := set(names) - set(PARTS):
        sys.exit(f"no part is named {', '.join(sorted(unknown))}: there are {', '.join(PARTS)}")
    rows = measured(sizes, device, names, given.minutes)
    about = environment(device) | {"load_before": load}
    lines = [
        {"what": row.name, "value": "" if row.value is None else f"{row.value:.4g}", "unit": row.unit, "": row.said}
        for row in rows
    ]
    print(f"{about.get('gpu', about['processor'])}, torch {torch.__version__}, {sizes.network}, batch {sizes.batch}\n")
    print(table(lines))
    if given.out:
        found = {"machine": about, "sizes": asdict(sizes), "measured": [asdict(row) for row in rows]}
        given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, help="JSON file")
    parser.add_argument("--only", default="", help=f"parts, with commas: {', '.join(PARTS)}")
    parser.add_argument("--minutes", type=float, default=8.5, help="what runs then is cut short")
    parser.add_argument("--small", action="store_true", help="sizes turned down, also without a GPU; no measurement")
    main(parser.parse_args())
