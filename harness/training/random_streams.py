"""Streams: one CPU generator for each purpose, restarted at every epoch from (seed, purpose, epoch).

Nothing of a generator's state needs to be stored, so a resumed trial draws what an undisturbed one draws; and no
purpose can shift another's numbers, so all methods of a seed see the same order and the same initialisation. The
generators live on the CPU whatever the device: a seed means the same augmentation on both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive_seed(seed: int, purpose: str, epoch: int) -> int:
    """The seed of a stream.

    Args:
        seed: The trial's.
        purpose: What is drawn.
        epoch: When.

    Returns:
        A 63-bit number that depends on all three.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class RandomStreams:
    """The generators of one trial, by purpose."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.epoch = 0
        self._made: dict[str, torch.Generator] = {}

    def restart(self, epoch: int) -> None:
        """Seed every stream anew for ``epoch``."""
        self.epoch = epoch
        for purpose, generator in self._made.items():
            generator.manual_seed(derive_seed(self.seed, purpose, epoch))

    def __call__(self, purpose: str) -> torch.Generator:
        if purpose not in self._made:
            self._made[purpose] = torch.Generator().manual_seed(derive_seed(self.seed, purpose, self.epoch))
        return self._made[purpose]


@contextmanager
def initialisation(seed: int, purpose: str) -> Iterator[None]:
    """Modules built inside draw their first weights from (seed, purpose), on the CPU; torch's own state is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, purpose, 0))
        yield
