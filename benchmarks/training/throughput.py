"""Images a second of a full trial over the bare training step, in one run.

The bare step is forward + backward + SGD on one fixed batch: same model, batch, precision, threads and memory layout.
The full trial is the ``TrainingLoop`` with the whole ``t5`` routine: draw, crop, flip, TrivialAugmentWide, CutMix,
label smoothing, moving average, schedule. The two take turns, and the ratio of each pair counts.

    .venv/bin/python benchmarks/training/throughput.py [network] [batch size] [pairs]

Measured on 2 cores of a shared Xeon (AVX-512), no GPU, torch 2.14.1, 9 pairs of 10 steps: resnet32, batch 128, float32,
1 thread: bare step 235 images/s, full trial 231 images/s, ratio 0.983.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from tailboard.benchmarks.machine_load import say_load
from tailboard.datasets.split import Images
from tailboard.harness.registry.methods import recipe_of
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.learners.image_learner import image_learner
from tailboard.harness.training.loop import TrainingLoop

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "images a second of a full `t5` trial over the bare training step",
        "0.98 (ResNet-32, batch 128)",
        "",
        "2 cores of a shared Xeon (AVX-512)",
    ),
)

STEPS = 10


def main(network: str = "resnet32", batch: str = "128", repeats: str = "9") -> None:
    say_load()
    batch_size = int(batch)
    spec = parse({
        "name": "throughput",
        "data": "cifar10",
        "methods": "ERM",
        "network": network,
        "training": {"preset": "t5", "epochs": 10**6, "batch_size": batch_size},
    })  # fmt: skip
    trial = plan(spec)[0]
    torch.set_num_threads(trial.threads)
    rng = np.random.default_rng(0)
    number = STEPS * batch_size
    images = Images(rng.integers(0, 256, (number, 3, 32, 32), dtype=np.uint8), rng.integers(0, 10, number))
    counts = tuple(np.bincount(images.y, minlength=10).tolist())
    about = trial, images, counts, recipe_of(trial, None), torch.device("cpu"), Store("")
    run, other = (image_learner(*about) for _ in range(2))
    bare, epochs = bare_step(other, batch_size), run.epochs()
    next(epochs)  # both warm up
    bare()
    pairs = [(seconds(bare), seconds(lambda: next(epochs))) for _ in range(int(repeats))]
    ratio = statistics.median(b / f for b, f in pairs)
    for name, column in (("bare step", 0), ("full trial", 1)):
        print(f"{name:10} {number / statistics.median(pair[column] for pair in pairs):8.0f} images/s")
    print(f"ratio      {ratio:8.3f}  (median of {repeats} pairs of {STEPS} steps)")
    print(f"{network}, batch {batch_size}, 1 thread")


def bare_step(run: TrainingLoop, batch_size: int) -> Callable[[], None]:
    """``STEPS`` steps on one fixed batch, already normalised."""
    x = run.material.normalised(run.material.pixels(run.material.x[torch.arange(batch_size)]))
    y = run.material.y[:batch_size]
    run.model.train()

    def steps() -> None:
        for _ in range(STEPS):
            run.optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(run.model(x), y).backward()
            run.optimizer.step()

    return steps


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
