"""M2m: major-to-minor translation (Kim et al. 2020, arXiv 2004.00431), as executed by alinlab/M2m, train.py.

Where classes are drawn equally often, an image of a rare class is one of very few. M2m replaces most of them by images
of more frequent classes that a second, frozen network g (ERM's) was made to take for the rare class.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from .part import Mixed, Part, Scene, hyper
from .range import Range

_NOISE_AXIS = {"fixed": 0, "official": 1}
_NOISE = 0.5


@dataclass(frozen=True)
class M2m(Part):
    """Generates while the sampler draws every class equally often, so its start is the sampler's.

    In a batch, an image of class k with N_k training images is a slot with probability 1 - N_k / max N. Its seed is
    another image of the batch, of class i, drawn in proportion to P = 1 - beta^max(N_i - N_k, 0). From random noise on,
    ``steps`` steps of L2 length ``step_size`` in pixels of [0, 1] lower CE(g(x), k) + lambda f(x)_i, f being the
    network in training. The result takes the slot with probability P, if g gives k at least the probability ``gamma``.

    The noise is of length 0.5 for each image (``fixed``). The authors' code (``official``) shares a length of 0.5 of
    each channel among the whole batch: 0.077 for an image of a batch of 128.

    While it generates, batches are not mixed further (CutMix). g learnt with label smoothing and CutMix is seldom
    sure of a class: the history's ``accepted_K``, the share of class K's slots that were filled, tells whether gamma is
    too high.
    """

    beta: float = hyper(0.999, "M2m code, run.sh", Range(choices=(0.9, 0.99, 0.999, 0.9999)))
    lambda_: float = hyper(0.5, "M2m code, run.sh", Range(0.01, 1.0, log=True))
    gamma: float = hyper(0.9, "M2m code, run.sh", Range(choices=(0.5, 0.9, 0.99)))
    steps: int = hyper(10, "M2m code, config.py: attack_iter")
    step_size: float = hyper(0.1, "M2m code, config.py: step_size")
    noise: str = hyper("fixed", "what M2m's utils.py:183-188 means; 'official' is what it does")
    needs = ("ERM",)
    neutral = {"beta": 1.0}

    def __post_init__(self) -> None:
        self.require(0 <= self.beta <= 1, "beta must be in [0, 1]")
        self.require(0 <= self.gamma <= 1, "gamma is a probability, in [0, 1]")
        self.require(self.steps >= 0, "steps must be at least 0")
        self.require(self.noise in _NOISE_AXIS, f"noise must be one of {', '.join(_NOISE_AXIS)}")

    def build(self, scene: Scene) -> Translator:
        return Translator(self, scene, scene.pretrained("ERM"))


class Slots(NamedTuple):
    """Places (S,) in a batch that are to be filled, and the places (S,) of the seeds they are to be filled from."""

    places: torch.Tensor
    seeds: torch.Tensor


class Translator:
    """The mixer of M2m: pixels (B, channels, H, W) in [0, 1] and labels (B,) -> the batch with its slots filled."""

    def __init__(self, part: M2m, scene: Scene, judge: nn.Module) -> None:
        self._part, self._scene, self._judge = part, scene, judge
        counts = torch.tensor(scene.counts, dtype=torch.float64)
        self.keep = counts / counts.max()
        self.chance = 1 - part.beta ** (counts[:, None] - counts).clamp(min=0)
        self._tried = torch.zeros(scene.classes, dtype=torch.int64)
        self._filled = torch.zeros(scene.classes, dtype=torch.int64, device=scene.device)

    def generating(self) -> bool:
        """Whether classes are drawn equally often now, and any may be translated at all."""
        return len(set(self._scene.frequencies)) == 1 and bool(self.chance.any())

    @torch.no_grad()
    def __call__(self, x: torch.Tensor, y: torch.Tensor, epoch: int) -> Mixed:
        if not self.generating():
            return Mixed(x, y, y)
        slots = self.draw(y.cpu())
        if len(slots.places):
            x = self._filled_in(x, y, Slots(*(index.to(x.device) for index in slots)))
        return Mixed(x, y, y, closed=True)

    def draw(self, y: torch.Tensor) -> Slots:
        """Slots and seeds for labels (B,), on the CPU, where the generator is."""
        generator = self._scene.generator("m2m")
        uniform = torch.rand(2, len(y), generator=generator, dtype=torch.float64)
        places = (uniform[0] >= self.keep[y]).nonzero().squeeze(1)
        chance = self.chance[y[:, None], y[places]].T  # (slots, B): that a seed is taken for a slot
        possible = chance.any(dim=1)
        places, chance = places[possible], chance[possible]
        self._tried += torch.bincount(y[places], minlength=len(self._tried))
        if not len(places):  # torch.multinomial wants a row
            return Slots(places, places)
        seeds = torch.multinomial(chance, 1, generator=generator)
        # The authors toss the coin of acceptance after generating; before it, no image is made in vain.
        lucky = uniform[1, places] < chance.gather(1, seeds).squeeze(1)
        return Slots(places[lucky], seeds[lucky, 0])

    def _filled_in(self, x: torch.Tensor, y: torch.Tensor, slots: Slots) -> torch.Tensor:
        wanted = y[slots.places]
        with evaluating(self._judge, self._scene.model):
            made = self.translate(x[slots.seeds], y[slots.seeds], wanted)
            sure = self._logits(self._judge, made).softmax(dim=1).gather(1, wanted[:, None]).squeeze(1)
        good = sure >= self._part.gamma
        self._filled.index_add_(0, wanted, good.long())
        return x.clone().index_copy_(0, slots.places, torch.where(good[:, None, None, None], made, x[slots.places]))

    def translate(self, x: torch.Tensor, own: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Images (S, channels, H, W) of classes ``own`` (S,), carried towards the classes ``wanted`` (S,)."""
        x = (x + self._noise(x)).clamp(0, 1)
        for _ in range(self._part.steps):
            x = (x - self._part.step_size * self._direction(x, own, wanted)).clamp(0, 1)
        return x

    def _noise(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.rand(x.shape, generator=self._scene.generator("m2m"), dtype=x.dtype) - 0.5
        return noise.renorm(2, _NOISE_AXIS[self._part.noise], _NOISE).to(x.device)

    def _direction(self, x: torch.Tensor, own: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The gradient of the objective, of L2 length 1 for each image; the networks' weights get none."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            judged, learnt = self._logits(self._judge, x), self._logits(self._scene.model, x)
            # Summed: the length is divided out for each image, so an average over the batch would change nothing.
            objective = F.cross_entropy(judged, wanted, reduction="sum")
            objective = objective + self._part.lambda_ * learnt.gather(1, own[:, None]).sum()
            (gradient,) = torch.autograd.grad(objective, [x])
        return gradient / (gradient.flatten(1).norm(dim=1) + 1e-10)[:, None, None, None]

    def _logits(self, network: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        logits = network(self._scene.normalise(pixels))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def notes(self) -> dict[str, float]:
        """The share of each class's slots that were filled since the last call, for classes that had any."""
        shares = zip(self._filled.tolist(), self._tried.tolist(), strict=True)
        lines = {f"accepted_{label}": filled / tried for label, (filled, tried) in enumerate(shares) if tried}
        self._filled.zero_()
        self._tried.zero_()
        return lines


@contextmanager
def evaluating(*networks: nn.Module) -> Iterator[None]:
    """The networks are in evaluation mode inside, and each of their modules is as it was after."""
    before = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
