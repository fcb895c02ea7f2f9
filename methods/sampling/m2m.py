"""M2m: major-to-minor translation (Kim et al. 2020, arXiv 2004.00431), as executed by alinlab/M2m, train.py.

Where classes are drawn equally often, an image of a rare class is one of very few. M2m replaces most of them by images
of more frequent classes that a second, frozen network g (ERM's) was made to take for the rare class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch

from ..need import Need
from ..part import Mixed, Part, Scene, hyper
from ..range import Range

_NOISE_AXIS = {"fixed": 0, "official": 1}
_NOISE = 0.5
_PRINTED_HEAD = 5000  # images of the largest class of the authors' CIFAR-10, for which beta = 0.999 is printed
_ENOUGH = 500  # training images of a class, to know how sure the judge is of them


@dataclass(frozen=True)
class M2m(Part):
    """Generates while the sampler draws every class equally often, so its start is the sampler's.

    In a batch, an image of class k with N_k training images is a slot with probability 1 - N_k / max N. Its seed is
    another image of the batch, of class i, drawn in proportion to P = 1 - beta^max(N_i - N_k, 0). From random noise on,
    ``steps`` steps of L2 length ``step_size`` in pixels of [0, 1] lower CE(g(x), k) + lambda f(x)_i, f being the
    network in training. The result takes the slot with probability P, if g gives k at least the probability ``gamma``.

    Two of the authors' values fit their data and judge alone; as printed they hold where ``relative`` is false. Else
    gamma is a share of what g says of training images of class k, since a judge that was trained with label smoothing
    or mixed images is never sure, and k must be the class that g holds for the likeliest, since g may not know it; and
    beta is that of a largest class of 5,000 images, its exponent being
    max(N_i - N_k, 0) 5000 / max N: P is the same at one share of the largest class, whatever the data's size.

    g is ERM's network. An ``independent`` one has another initialisation and order than f, as the authors' separate
    checkpoint has; ``same`` is ERM's trial of the same seed, which is what f itself was until it began to generate.

    The noise is of length 0.5 for each image (``fixed``). The authors' code (``official``) shares a length of 0.5 of
    each channel among the whole batch: 0.077 for an image of a batch of 128.
    """

    beta: float = hyper(0.999, "M2m code, run.sh", Range(choices=(0.9, 0.99, 0.999, 0.9999)))
    lambda_: float = hyper(0.5, "M2m code, run.sh", Range(0.01, 1.0, log=True))
    gamma: float = hyper(0.9, "M2m code, run.sh", Range(choices=(0.5, 0.9, 0.99)))
    steps: int = hyper(10, "M2m code, config.py: attack_iter", Range(choices=(10, 20, 40)))
    # Searched from the default up: paths that are shorter than ten steps of 0.4 have fewer than half accepted.
    step_size: float = hyper(0.4, "ours: judges here accept few images at the code's 0.1", Range(0.4, 1.6, log=True))
    noise: str = hyper("fixed", "what M2m's utils.py:183-188 means; 'official' is what it does")
    relative: bool = hyper(True, "ours: gamma and beta that fit the judge and the data")
    judge: str = hyper("independent", "M2m's README: a network trained beforehand")
    neutral = {"beta": 1.0}
    fusable = True
    condition = "no image was accepted"

    def __post_init__(self) -> None:
        self.require(0 <= self.beta <= 1, "beta must be in [0, 1]")
        self.require(0 <= self.gamma <= 1, "gamma is a probability, in [0, 1]")
        self.require(self.steps >= 0, "steps must be at least 0")
        self.require(self.noise in _NOISE_AXIS, f"noise must be one of {', '.join(_NOISE_AXIS)}")
        self.require(self.judge in ("independent", "same"), "judge must be 'independent' or 'same'")

    def foreseen(self, counts: Sequence[int], smoothing: float) -> str:
        if self.beta == 1 or len(set(counts)) == 1:
            return self.condition
        sure = 1 - smoothing + smoothing / len(counts)
        if smoothing and not self.relative and self.gamma > sure - smoothing:
            return (
                f"images may hardly be accepted: gamma is {self.gamma:g}, and label smoothing draws g to {sure:.3g} at "
                "most"
            )
        return ""

    def starts_from(self) -> tuple[Need, ...]:
        return (Need("ERM", self.judge == "independent"),)

    def build(self, scene: Scene) -> Translator:
        return Translator(self, scene, scene.pretrained(*self.starts_from()[0]))


class Slots(NamedTuple):
    """Places (S,) in a batch that are to be filled, and the places (S,) of the seeds they are to be filled from."""

    places: torch.Tensor
    seeds: torch.Tensor


class Translator:
    """The mixer of M2m: pixels (B, channels, H, W) in [0, 1] and labels (B,) -> the batch with its slots filled."""

    def __init__(self, part: M2m, scene: Scene, judge: torch.nn.Module) -> None:
        self._part, self._scene, self._judge = part, scene, judge
        counts = torch.tensor(scene.counts, dtype=torch.float64)
        self.keep = counts / counts.max()
        size = _PRINTED_HEAD / counts.max() if part.relative else 1.0
        self.chance = 1 - part.beta ** ((counts[:, None] - counts).clamp(min=0) * size)
        self._slots, self._made = (torch.zeros(scene.classes, dtype=torch.int64) for _ in range(2))
        self._accepted = torch.zeros(scene.classes, dtype=torch.int64, device=scene.device)

    def generating(self) -> bool:
        """Whether classes are drawn equally often now, and any may be translated at all."""
        return len(set(self._scene.frequencies)) == 1 and bool(self.chance.any())

    def __call__(self, x: torch.Tensor, y: torch.Tensor, epoch: int) -> Mixed:
        if not self.generating():
            return Mixed(x, y, y)
        with torch.no_grad():
            slots = self.draw(self._scene.on_cpu(y))
            if len(slots.places):
                x = self._filled_in(x, y, Slots(*(index.to(x.device, non_blocking=True) for index in slots)))
        return Mixed(x, y, y)

    def draw(self, y: torch.Tensor) -> Slots:
        """Slots and seeds for labels (B,), on the CPU, where the generator is."""
        generator = self._scene.generator("m2m")
        uniform = torch.rand(2, len(y), generator=generator, dtype=torch.float64)
        places = (uniform[0] >= self.keep[y]).nonzero().squeeze(1)
        chance = self.chance[y[:, None], y[places]].T  # (slots, B): that a seed is taken for a slot
        possible = chance.any(dim=1)
        places, chance = places[possible], chance[possible]
        self._slots += torch.bincount(y[places], minlength=self._scene.classes)
        if not len(places):  # torch.multinomial wants a row
            return Slots(places, places)
        seeds = torch.multinomial(chance, 1, generator=generator)
        # The authors toss the coin of acceptance after generating; before it, no image is made in vain.
        lucky = uniform[1, places] < chance.gather(1, seeds).squeeze(1)
        self._made += torch.bincount(y[places[lucky]], minlength=self._scene.classes)
        return Slots(places[lucky], seeds[lucky, 0])

    def _filled_in(self, x: torch.Tensor, y: torch.Tensor, slots: Slots) -> torch.Tensor:
        wanted = y[slots.places]
        with evaluating(self._judge, self._scene.model):
            made = self.translate(x[slots.seeds], y[slots.seeds], wanted)
            good = self._taken_for(made, wanted)
        self._accepted.index_add_(0, wanted, good.long())
        return x.clone().index_copy_(0, slots.places, torch.where(good[:, None, None, None], made, x[slots.places]))

    @cached_property
    def _usual(self) -> torch.Tensor:
        """How sure the judge is of training images of each class (C,); 1 where gamma is absolute."""
        if not self._part.relative:
            return torch.ones(self._scene.classes, device=self._scene.device)
        each = (self._scene.images(label, _ENOUGH) for label in range(self._scene.classes))
        means = [self._sureness(x, torch.full((len(x),), c, device=x.device)).mean() for c, x in enumerate(each)]
        return torch.stack(means)

    def _taken_for(self, x: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Whether the judge accepts each image (S,) as one of the class ``wanted`` (S,)."""
        p = self._logits(self._judge, x).softmax(dim=1)
        sure = p.gather(1, wanted[:, None]).squeeze(1) >= self._part.gamma * self._usual[wanted]
        return sure & (p.argmax(dim=1) == wanted) if self._part.relative else sure

    def _sureness(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """The probability (S,) that the judge gives to ``label`` (S,)."""
        return self._logits(self._judge, x).softmax(dim=1).gather(1, label[:, None]).squeeze(1)

    def translate(self, x: torch.Tensor, own: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Images (S, channels, H, W) of classes ``own`` (S,), carried towards the classes ``wanted`` (S,).

        Args:
            x: The images that are carried, (S, channels, H, W).
            own: Their classes, (S,).
            wanted: The classes to carry them to, (S,).
        """
        x = (x + self._noise(x)).clamp(0, 1)
        for _ in range(self._part.steps):
            x = (x - self._part.step_size * self._direction(x, own, wanted)).clamp(0, 1)
        return x

    def _noise(self, x: torch.Tensor) -> torch.Tensor:
        noise = torch.rand(x.shape, generator=self._scene.generator("m2m"), dtype=x.dtype) - 0.5
        noise = noise.renorm(2, _NOISE_AXIS[self._part.noise], _NOISE)
        noise = noise.pin_memory() if x.is_cuda else noise  # so that the GPU fetches it when it comes to it
        return noise.to(x.device, non_blocking=True)

    def _direction(self, x: torch.Tensor, own: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The gradient of the objective, of L2 length 1 for each image; the networks' weights get none."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            judged, learnt = self._logits(self._judge, x), self._logits(self._scene.model, x)
            # Summed: the length is divided out for each image, so an average over the batch would change nothing.
            objective = torch.nn.functional.cross_entropy(judged, wanted, reduction="sum")
            objective = objective + self._part.lambda_ * learnt.gather(1, own[:, None]).sum()
            (gradient,) = torch.autograd.grad(objective, [x])
        return gradient / (gradient.flatten(1).norm(dim=1) + 1e-10)[:, None, None, None]

    def _logits(self, network: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
        logits = network(self._scene.normalise(pixels))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def notes(self) -> dict[str, float]:
        """Since the last call: the share of slots for which beta let an image be generated (``ceiling``), of generated
        images that the judge accepted (``accepted``, and for each class that had any), and of slots that were filled.
        """
        slots, made, accepted = self._slots.tolist(), self._made.tolist(), self._accepted.tolist()
        for count in (self._slots, self._made, self._accepted):
            count.zero_()
        lines = {"acted": float(sum(accepted) > 0)}
        if sum(slots):
            lines |= {"ceiling": sum(made) / sum(slots), "filled": sum(accepted) / sum(slots)}
        if sum(made):
            lines["accepted"] = sum(accepted) / sum(made)
            lines |= {f"accepted_{c}": a / m for c, (a, m) in enumerate(zip(accepted, made, strict=True)) if m}
        return lines


@contextmanager
def evaluating(*networks: torch.nn.Module) -> Iterator[None]:
    """The networks are in evaluation mode inside, and each of their modules is as it was after."""
    before = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
