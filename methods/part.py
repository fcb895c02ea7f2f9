"""Part: what fills one slot of a method, with its hyperparameters; and Scene: all that a part may know."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, NamedTuple

import torch

from .. import UserError
from .need import Need
from .range import Range


class MethodError(UserError, ValueError):
    """A method that is unknown, contradicts itself or got a wrong value; the message is written for the user."""


def hyper(default: Any, source: str, search: Range | None = None) -> Any:
    """A part's hyperparameter: its default, the default's source, and its search range where it is tunable.

    Args:
        default: Its value where a spec gives none.
        source: Where the default stands, such as a paper's table.
        search: What a search may try; None where it is not tunable.

    Raises:
        MethodError: where that is no range.
    """
    if search is not None and not isinstance(search, Range):
        raise MethodError(f"hyper: a Range(low, high), a Range(choices=...) or None is expected, not {search!r}")
    if search and not search.choices and not (0 if search.log else -math.inf) < search.low < search.high:
        raise MethodError(f"hyper: low must be below high, and above 0 on a logarithmic scale, not {search}")
    return field(default=default, metadata={"source": source, "search": search})


class ClassWeights(NamedTuple):
    """The weight of each class (C,), and whether the weighted sum over a batch is divided by the sum of the
    samples' weights (``"weights"``, torch's weighted mean) or by their number (``"samples"``)."""

    values: torch.Tensor
    divide_by: Literal["weights", "samples"] = "weights"


class Mixed(NamedTuple):
    """A batch whose sample i is ``share`` of its own class ``y[i]`` and 1 - share of ``other[i]``.

    ``x`` are images (B, channels, height, width). ``closed`` keeps the training routine from mixing it further.
    """

    x: torch.Tensor
    y: torch.Tensor
    other: torch.Tensor
    share: float = 1.0
    closed: bool = False


@dataclass
class Scene:
    """All that a part may know; the test set is not in it.

    ``counts`` are the training images of each class, ``epochs`` the length of training, ``model`` the network.
    ``generator(purpose)`` gives a random generator that is restarted at each epoch from the trial's seed, so that a
    part draws the same numbers after a resume; all are CPU generators, so a seed means the same on every device.
    ``pretrained(method, independent=False)`` gives the frozen network of that method's trial on the same data and seed,
    an independent one's of another initialisation and order; a part that asks for one says so in ``needs``.
    ``images(label, most)`` gives at most so many training images of a class, as pixels in [0, 1], and ``normalise``
    turns such pixels into what networks take. While training,
    ``epoch`` is the present one (from 0) and ``frequencies`` are how often the sampler draws each class in it, in
    proportion: the counts, unless a sampler says otherwise. ``present`` holds the labels of the batch in training, on
    the device and on the CPU (see :meth:`on_cpu`). ``threads`` is the number that a library may use.
    """

    counts: tuple[int, ...]
    epochs: int
    model: torch.nn.Module
    device: torch.device
    generator: Callable[[str], torch.Generator]
    pretrained: Callable[..., torch.nn.Module]
    normalise: Callable[[torch.Tensor], torch.Tensor] = lambda x: x
    images: Callable[[int, int], torch.Tensor] = lambda label, most: torch.empty(0)
    epoch: int = 0
    frequencies: tuple[float, ...] = ()
    threads: int = 1
    present: tuple[torch.Tensor, torch.Tensor] | None = None

    def __post_init__(self) -> None:
        self.frequencies = self.frequencies or self.counts

    def __getattr__(self, name: str) -> Any:
        """AttributeError for a name that a scene has not, with all those that it has."""
        known = sorted([*self.__dataclass_fields__, "classes", "integer", "on_cpu", "tensor"])
        raise AttributeError(f"a Scene has no {name!r}; it has {', '.join(known)}")

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return len(self.counts)

    def integer(self, purpose: str) -> int:
        """A seed for a library that draws by itself, from the trial's seed: another at each call."""
        return int(torch.randint(2**31 - 1, (), generator=self.generator(purpose)))

    def tensor(self, values: Iterable[float]) -> torch.Tensor:
        """A tensor of one number for each class, on the device, in the default precision."""
        made = torch.tensor(list(values), dtype=torch.get_default_dtype())
        return made.to(self.device, non_blocking=True)

    def on_cpu(self, y: torch.Tensor) -> torch.Tensor:
        """Labels (B,) on the CPU: of the batch in training as they were drawn there, without a wait for a GPU."""
        return self.present[1] if self.present and self.present[0] is y else y.cpu()


@dataclass(frozen=True)
class Part:
    """What fills one slot of a recipe. Its fields are its hyperparameters, declared with :func:`hyper`.

    ``build(scene)`` returns the callable that the slot asks for (see :class:`~tailboard.methods.recipe.Recipe`).
    ``neutral`` are values, by the names that users write, under which the part leaves ERM's weights as they are, bit
    for bit; None if there are none.
    ``needs`` names the registered methods, not a plugin's, whose trained networks ``build`` asks the scene for.
    A part with a hyperparameter named ``start`` acts from that fraction of training on.
    """

    needs: ClassVar[tuple[str, ...]] = ()

    neutral: ClassVar[Mapping[str, Any] | None] = None
    smoothing: ClassVar[float | None] = None
    """For a loss: the label smoothing it asks for where no smoothing part is named; None takes the routine's."""
    of_probabilities: ClassVar[bool] = False
    """For a ``finish`` part: whether it takes the scores for logarithms of probabilities, which margins are not."""
    held_out: ClassVar[bool] = False
    """For a ``finish`` part: whether what it builds chooses by scores of training rows that the fit did not see. It has
    ``folds`` and ``choose(scores (N, C), labels (N,))`` then."""
    condition: ClassVar[str] = ""
    """For a part that acts under a condition: what a report says of a trial in which it never did, such as "no image
    was accepted". Among the ``notes()`` of what it builds is then ``acted``, the share of the epoch in which it did."""

    shortage: ClassVar[str] = ""
    """What a report says of a trial in which it did less than its values ask for, as with too few rows: what it builds
    notes ``shortage`` then."""

    starts_with_sampler: ClassVar[bool] = False
    """For a step with a ``start``: whether it is meant to begin with the draws of the recipe's sampler, which has one
    of its own; a plan warns where they differ."""

    fusable: ClassVar[bool] = False
    """Whether what it builds also serves several seeds that are trained as one; a subclass says so anew. Heads, and
    what compares views, run under ``torch.vmap``: they draw nothing and decide nothing by the numbers of a tensor. A
    step gets the losses of all seeds (S,), and weights whose first axis is the seed: it keeps the seeds apart. Every
    other callable is called for each seed as alone; no gradient goes through the weights of ``scene.model`` in it."""

    later: ClassVar[frozenset[str]] = frozenset()
    """Hyperparameters that came when there were records of the part already: one that does not name them was made at
    their defaults."""

    def starts_from(self) -> tuple[Need, ...]:
        """The trained networks that ``build`` asks the scene for: by default those of ``needs``, of the same draws."""
        return tuple(map(Need, self.needs))

    def build(self, scene: Scene) -> Any:
        """What the slot calls in training (``methods/recipe.py`` says what each slot is given and must return).

        Raises:
            NotImplementedError: by a part that does not define it.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build(scene)")

    def foreseen(self, counts: Sequence[int], smoothing: float) -> str:
        """Why the part will not act, as far as it is known before training; empty where nothing is.

        Args:
            counts: training images of each class (C,).
            smoothing: the label smoothing of the training routine.
        """
        return ""

    def require(self, holds: bool, rule: str) -> None:
        """For ``__post_init__``: MethodError with the part's name and the rule that a value breaks."""
        if not holds:
            raise MethodError(f"{type(self).__name__}: {rule} (got {self})")

    @classmethod
    def hyperparameters(cls) -> dict[str, dataclasses.Field]:
        """The fields by the names that users write: ``lambda`` for the field that Python makes us call ``lambda_``."""
        return {f.name.removesuffix("_"): f for f in fields(cls)}
