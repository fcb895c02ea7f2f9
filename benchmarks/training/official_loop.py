"""Images a second of a trial over LDAM-DRW's training loop, in one run, and the accuracy that each reaches.

    .venv/bin/python benchmarks/training/official_loop.py [--data cifar10 --root ROOT] [--network resnet20] [--epochs 3]
        [--precision bfloat16] [--compile]

The loop is written anew from the description of LDAM-DRW's ``cifar_train.py``: a DataLoader whose images are cropped,
flipped and normalised one by one by torchvision on PIL; a step of SGD (momentum 0.9, weight decay 2e-4) after each
batch, for which top-1 and top-5 accuracy and the loss are read off; a rate of 0.1 after five epochs of warm-up. The
trial is ours under the preset ``ldam2019``: ERM on the same training images, with the same network, rates and batches.
Both train the first epochs of a schedule of 200, before its rate is lowered. They take turns, each from new weights of
the same law, and the ratio of each pair counts. The first epoch is not timed: libraries choose their kernels in it, and
with ``--compile`` the network is compiled. Each turn has a process of its own: the loop's as Python starts one, the
trial's with its memory kept as a worker's is (``harness/memory.py``). Without workers and on one thread seconds are
those of the processor, so that what else runs on the machine counts little; else those of the wall.
The accuracy is the mean over the classes of the test set after these epochs, in percent.

Measured with ``--factor 10 --repeats 5`` (resnet20 on 2,040 images of fashion-mnist-mini, one thread, little else at
work): the trial runs at 1.35 times the loop's speed (1.22 to 1.41), in bfloat16 at 2.12 (1.81 to 2.27); compiled at
1.41 (1.32 to 1.51), compiled and in bfloat16 at 2.06 (1.97 to 2.14). The goals were 1.4 in float32, which a compiled
network meets, and 2.5 in bfloat16, which nothing does here: that is a step of 151 ms, of which oneDNN's convolutions
alone take 135. They are at what the processor does, which has bfloat16 in AVX512 and no AMX: forward 97 to 122 GFLOP/s
in float32 and 192 to 249 in bfloat16, by the width of the layers (the best of six calls, beside other work). They run
channels_last: of the widest images forward takes 6.2 ms so and 9.6 ms else, of the smallest 5.0 and 5.3, in float32.

What oneDNN and PyTorch read from the environment brings nothing more to the bare step in float32 (median of four
processes each, in turns, over none of them: above 1 is faster, and two runs of one setting differ by 0.1):
``ONEDNN_CPU_ISA_HINTS=PREFER_YMM`` 1.02, ``ONEDNN_MAX_CPU_ISA=AVX2`` 0.94, ``AVX512_CORE`` 0.97,
``ONEDNN_PRIMITIVE_CACHE_CAPACITY`` 0 and 4096 0.95 and 1.01, ``LRU_CACHE_CAPACITY=4096`` 0.95,
``THP_MEM_ALLOC_ENABLE=1`` 1.02, ``ATEN_CPU_CAPABILITY`` avx2 and avx512 1.03 and 1.02.

So short a training says little of the accuracies. Over 25 epochs in float32 (3 pairs, beside other programs) both reach
the same, 80.7 the loop and 80.0 the trial, at a ratio of 1.32 (1.29 to 1.41).
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tailboard.benchmarks.machine_load import say_load
from tailboard.datasets.split import Images, Split
from tailboard.harness.memory import TUNABLES
from tailboard.harness.registry.datasets import dataset_of, split_of
from tailboard.harness.registry.methods import recipe_of
from tailboard.harness.registry.networks import network
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import Trial, plan
from tailboard.harness.storage.store import Store
from tailboard.harness.training.learners.image_learner import image_learner

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "images a second of a trial over LDAM-DRW's loop, written anew, processor time",
        "1.35 in float32, 2.12 in bfloat16 (ResNet-20, 2,040 images, 3 epochs; over 25 both reach an accuracy of 80)",
        "--factor 10 --repeats 5 [--precision bfloat16]",
        "2 cores of an AMD EPYC, little else at work",
    ),
    (
        "the same with `training: {compile: true}`",
        "1.41 in float32, 2.06 in bfloat16",
        "--factor 10 --repeats 5 --compile [--precision bfloat16]",
        "2 cores of an AMD EPYC, little else at work",
    ),
)

BATCH, RATE, WARM_UP = 128, 0.1, 5
CPU = torch.device("cpu")


class PilImages(Dataset):
    """Images of uint8 (N, channels, H, W) as PIL's, one at a time, with what is done to each."""

    def __init__(self, images: Images, transform: Callable[[Image.Image], Any]) -> None:
        self.x = np.ascontiguousarray(np.asarray(images.x).transpose(0, 2, 3, 1)).squeeze()
        self.y, self.transform = images.y.tolist(), transform

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.x[index])), self.y[index]


def hits(logits: torch.Tensor, y: torch.Tensor, most: tuple[int, ...] = (1, 5)) -> list[float]:
    """The share of images, in percent, whose class is among the ``most`` likely ones."""
    with torch.no_grad():
        found = logits.topk(max(most), dim=1).indices.t() == y
        return [found[:k].any(dim=0).float().mean().mul(100).item() for k in most]


def official(
    trial: Trial,
    split: Split,
    epochs: int,
    workers: int,
    clock: Callable[[], float],
    device: torch.device = CPU,
) -> tuple[float, float]:
    """Train the loop.

    Returns:
        Seconds of the epochs after the first, and the accuracy.
    """
    about = dataset_of(trial.data)
    end = [transforms.ToTensor(), transforms.Normalize(about.mean, about.std)]
    begin = [transforms.RandomCrop(about.shape[1], padding=4), transforms.RandomHorizontalFlip()]
    train = PilImages(split.train, transforms.Compose([*begin, *end]))
    loader = DataLoader(train, BATCH, shuffle=True, num_workers=workers, pin_memory=device.type == "cuda")
    model = network(trial.network, about.shape[0], len(split.counts), trial.training.init).to(device)
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, weight_decay=2e-4)
    start = clock()
    for epoch in range(epochs):
        if epoch == 1:
            start = clock()
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (epoch + 1) / WARM_UP)
        model.train()
        for images, labels in loader:
            x, y = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            logits = model(x)
            loss = nn.functional.cross_entropy(logits, y)
            hits(logits, y)
            loss.item()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    seconds = clock() - start
    model.eval()
    scored = DataLoader(PilImages(split.test, transforms.Compose(end)), BATCH)
    with torch.no_grad():
        return seconds, accuracy(torch.cat([model(x.to(device)).cpu() for x, _ in scored]), split.test.y)


def ours(
    trial: Trial, split: Split, epochs: int, clock: Callable[[], float], device: torch.device = CPU
) -> tuple[float, float]:
    """The same of a trial."""
    run = image_learner(trial, split.train, split.counts, recipe_of(trial, None), device, Store(""))
    start = clock()
    for _ in run.epochs():
        if run.done == 1:
            start = clock()
        if run.done == epochs:
            break
    seconds = clock() - start
    return seconds, accuracy(run.logits(torch.from_numpy(np.array(split.test.x))), split.test.y)


def apart(turn: Callable[..., tuple[float, float]], *given: Any, threads: int, memory: str) -> tuple[float, float]:
    """What a turn returns in a process of its own, whose C library keeps memory as ``memory`` says."""
    os.environ["GLIBC_TUNABLES"] = memory
    with ProcessPoolExecutor(1, get_context("spawn"), prepared, (threads,)) as process:
        return process.submit(turn, *given).result()


def prepared(threads: int) -> None:
    """Begin a process."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)


def accuracy(logits: torch.Tensor, y: np.ndarray) -> float:
    """The mean over the classes of the share of their images that is found, in percent."""
    right = logits.argmax(dim=1).numpy() == y
    return 100 * float(np.mean([right[y == label].mean() for label in np.unique(y)]))


def main(given: argparse.Namespace) -> None:
    clock = time.perf_counter if given.workers or given.threads > 1 else time.process_time
    say_load()
    tail = {"head": given.head} if given.head else {}
    spec = parse({
        "name": "official-loop",
        "data": {"name": given.data, "imbalance_factor": given.factor, **tail},
        "methods": "ERM",
        "network": given.network,
        "training": {"preset": "ldam2019", "precision": given.precision, "batch_size": BATCH,
                     "compile": given.compile},
        "seeds": 1,
    })  # fmt: skip
    trial = plan(spec)[0]
    split, _ = split_of(trial, given.root, False)
    images = (given.epochs - 1) * sum(split.counts)
    loop = partial(apart, official, trial, split, given.epochs, given.workers, clock, threads=given.threads, memory="")
    own = partial(apart, ours, trial, split, given.epochs, clock, threads=given.threads, memory=TUNABLES)
    pairs = [(loop(), own()) for _ in range(given.repeats)]
    print(f"{given.network}, {given.data}, {sum(split.counts)} images, {given.epochs} epochs, batches of {BATCH}")
    for name, column in (("official loop", 0), ("trial", 1)):
        seconds, scores = zip(*(pair[column] for pair in pairs), strict=True)
        print(
            f"{name:14} {images / statistics.median(seconds):8.0f} images/s, accuracy {statistics.median(scores):5.2f}"
        )
    ratios = [theirs / seconds for (theirs, _), (seconds, _) in pairs]
    print(f"ratio          {statistics.median(ratios):8.2f} (of {len(ratios)}: {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="fashion-mnist-mini")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--factor", type=float, default=100, help="imbalance factor")
    parser.add_argument("--head", type=int, help="images of the largest class; as the data set has them if not given")
    parser.add_argument("--network", default="resnet20")
    parser.add_argument("--precision", default="float32", help="of the trial; the loop's is always float32")
    parser.add_argument("--compile", action="store_true", help="the trial's network; the loop's never is")
    parser.add_argument("--epochs", type=int, default=3, choices=range(2, 161), metavar="2..160")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0, help="processes that load images for the loop")
    main(parser.parse_args())
