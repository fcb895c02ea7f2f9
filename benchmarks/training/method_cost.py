"""The cost of a method's training step over ERM's, and of M2m's generation over its count of passes.

    .venv/bin/python benchmarks/training/method_cost.py [network] [batch size]

Median of 7 repeats of a step of each in turn, CIFAR-10's long tail at IF 100, the ``t5`` routine, resnet32, batches of
128, one thread of a 2-core Xeon without a GPU, torch 2.14.1:

    SAM-A                 1.99 ERM-steps a step, at most 2.1
    Joint-SSL             3.27 ERM-steps a step, at most 3.4
    Joint-SSL + SAM-A     6.57 ERM-steps a step, at most 6.8
    M2m                   9.64 ERM-steps a step while it generates
    generation            1.01 of its count of passes, at most 1.15

Other programs share the cores: under a load of 7 an earlier run gave 1.91, 3.45, 7.01, 13.74 and 0.85.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

from tailboard.benchmarks.machine_load import say_load
from tailboard.datasets.longtail import counts
from tailboard.harness.registry.networks import Network, network
from tailboard.harness.spec.presets import T5
from tailboard.harness.spec.schema import Training
from tailboard.harness.training.device_images import DeviceData
from tailboard.harness.training.loop import TrainingLoop
from tailboard.harness.training.random_streams import RandomStreams
from tailboard.methods.part import Scene
from tailboard.methods.registry import recipe

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "a step of SAM-A, Joint-SSL, both, over ERM's",
        "1.99, 3.27, 6.57",
        "",
        "a 2-core Xeon",
    ),
)

COUNTS = counts("exp", [5000] * 10, 5000, 100.0)  # CIFAR-10's, imbalance factor 100
LIMITS = {"SAM-A": 2.1, "Joint-SSL": 3.4, "Joint-SSL + SAM-A": 6.8}
EPOCHS, PHASE_2, REPEATS = 10, 9, 7


def run_of(name: str, words: str, batch_size: int) -> tuple[TrainingLoop, Network]:
    """A method's training on random images, as many as the long tail has, and the network that M2m starts from."""
    torch.manual_seed(0)
    model, judge = (network(words, 3, len(COUNTS)) for _ in range(2))
    judge.to(memory_format=torch.channels_last).eval().requires_grad_(False)
    number = sum(COUNTS)
    half = torch.full((3,), 0.5)
    y = torch.arange(10).repeat_interleave(torch.tensor(COUNTS))
    material = DeviceData(torch.randint(256, (number, 3, 32, 32), dtype=torch.uint8), y, half, half)
    routine = Training(**T5 | {"epochs": EPOCHS, "batch_size": batch_size, "precision": "float32"})
    streams = RandomStreams(0)
    scene = Scene(COUNTS, EPOCHS, model, half.device, streams, lambda *_: judge, material.normalised, material.images)
    return TrainingLoop(recipe(name), routine, model, material, scene, streams), judge


def passes(judge: Network, images: int) -> tuple[float, float]:
    """Seconds of a forward pass in evaluation mode, and of one with its backward pass to the pixels."""
    x = torch.rand(images, 3, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
    forward = seconds(lambda: judge(x.detach()))
    return forward, seconds(lambda: torch.autograd.grad(judge(x).sum(), [x]))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(words: str = "resnet32", batch_size: str = "128") -> None:
    say_load()
    torch.set_num_threads(1)
    names = ["ERM", *LIMITS, "M2m"]
    runs = {name: run_of(name, words, int(batch_size)) for name in names}
    judge = runs["M2m"][1]
    judged: list[int] = []
    judge.register_forward_pre_hook(lambda _, x: judged.append(len(x[0])))
    costs: dict[str, list[float]] = {name: [] for name in names}
    shares = []
    for repeat in range(REPEATS + 1):  # the methods take turns, so that a busy neighbour slows all; the first warms up
        step = {name: runs[name][0].step_seconds(0, 1)[0] for name in names if name != "M2m"}
        judged.clear()
        step["M2m"] = runs["M2m"][0].step_seconds(PHASE_2, 1)[0]
        images, drawn = judged[0], len(judged) - 1
        forward, both = passes(judge, images)
        # Each step of generation runs both networks forward and back to the pixels; the last pass is the judge's.
        counted = 2 * drawn * both + forward
        if repeat:
            shares.append((step["M2m"] - step["ERM"]) / counted)
            for name in names:
                costs[name].append(step[name] / step["ERM"])
    print(f"{words}, batches of {batch_size} x 3 x 32 x 32, 1 thread, median of {REPEATS} repeats")
    for name in names[1:]:
        limit = f", at most {LIMITS[name]}" if name in LIMITS else " while it generates"
        print(f"{name:20} {statistics.median(costs[name]):5.2f} ERM-steps a step{limit}")
    print(f"{'generation':20} {statistics.median(shares):5.2f} of its count of passes, at most 1.15")


if __name__ == "__main__":
    main(*sys.argv[1:])
