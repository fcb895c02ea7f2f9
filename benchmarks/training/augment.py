"""Images a second of batched augmentation over torchvision's v2 transforms, image by image.

    .venv/bin/python benchmarks/training/augment.py

Median of 15 repeats of 10 batches of 128 x 3 x 32 x 32 on one thread (2 quiet cores of an AMD EPYC, no GPU, torch
2.14.1, torchvision 0.29.1), both measured in turns in one run:

    crop + flip + TrivialAugmentWide + CutMix: batched 53,057, torchvision 9,583 images/s, ratio 5.5
    self-supervised view: batched 13,608, torchvision 3,639 images/s, ratio 3.8

On a shared Xeon with AVX-512 the ratios of three runs were 5.3, 6.1 and 5.4, and 4.6, 4.3 and 4.7. No GPU was measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

from tailboard.benchmarks.machine_load import say_load
from tailboard.datasets.augment.basic import cutmix, random_crop, random_flip
from tailboard.datasets.augment.ssl_views import ssl_view
from tailboard.datasets.augment.trivial_augment import trivial_augment_wide

MEASURED = (  # rows of docs/benchmarks.md: what, measured, arguments, machine
    (
        "crop, flip, TrivialAugmentWide and CutMix, batched over per image",
        "5.5",
        "",
        "2 quiet cores of an AMD EPYC",
    ),
    (
        "a self-supervised view, batched over per image",
        "3.8",
        "",
        "2 quiet cores of an AMD EPYC",
    ),
)

BATCH, REPEATS, BATCHES = 128, 15, 10

per_image = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), v2.TrivialAugmentWide()])
per_image_view = v2.Compose(
    [
        v2.RandomResizedCrop(32, scale=(0.2, 1.0)),
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
        v2.RandomGrayscale(0.2),
        v2.RandomSolarize(0.5, p=0.1),
        v2.RandomHorizontalFlip(),
    ]
)
per_batch = v2.RandomApply([v2.CutMix(num_classes=10)], p=0.5)


def ours(x: Tensor, y: Tensor, generator: torch.Generator) -> None:
    augmented = trivial_augment_wide(random_flip(random_crop(x, 4, generator), generator), generator)
    cutmix(augmented.float().div_(255), generator)


def theirs(x: Tensor, y: Tensor, generator: torch.Generator) -> None:
    augmented = torch.stack([per_image(image) for image in x])
    per_batch(augmented.float().div_(255), y)


def our_view(x: Tensor, y: Tensor, generator: torch.Generator) -> None:
    ssl_view(x.float().div_(255), generator)


def their_view(x: Tensor, y: Tensor, generator: torch.Generator) -> None:
    torch.stack([per_image_view(image) for image in x.float().div_(255)])


def images_per_second(augment: Callable[..., None], *args: object) -> float:
    start = time.perf_counter()
    for _ in range(BATCHES):
        augment(*args)
    return BATCH * BATCHES / (time.perf_counter() - start)


def main() -> None:
    say_load()
    torch.set_num_threads(1)
    torch.manual_seed(0)  # torchvision draws from the global generator
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (BATCH, 3, 32, 32), dtype=torch.uint8, generator=generator)
    y = torch.randint(10, (BATCH,), generator=generator)
    print(f"torch {torch.__version__}, 1 thread, batches of {BATCH} x 3 x 32 x 32, median of {REPEATS} repeats")
    for name, batched, single in (
        ("crop + flip + TrivialAugmentWide + CutMix", ours, theirs),
        ("self-supervised view", our_view, their_view),
    ):
        # The two take turns, so that a busy neighbour slows both.
        pairs = [[images_per_second(f, x, y, generator) for f in (batched, single)] for _ in range(REPEATS + 1)]
        fast, slow = (statistics.median(column) for column in zip(*pairs[1:], strict=True))
        ratio = statistics.median(a / b for a, b in pairs[1:])
        print(f"{name}: batched {fast:,.0f}, torchvision {slow:,.0f} images/s, ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
