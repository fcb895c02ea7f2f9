"""What a method must hold that trains a network: each check is a function, whose name is what is told of it."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import torch

from ...datasets.lock import TestSetLocked, locked
from ...methods.optimizers.sharpness import SAM
from ...methods.part import ClassWeights, Mixed, Part
from ...methods.recipe import Entry, Recipe
from ..metrics.definitions import DEFINITIONS
from ..metrics.scores import Scored, per_class_accuracy
from ..spec.parser import parse
from ..spec.schema import plan
from ..storage.store import Store
from ..training.learners.image_learner import image_learner
from ..training.loop import TrainingLoop
from ..training.scoring_process import scoring_process
from .dry_run import dry_run

COST_TOLERANCE = 1.5  # timings on a busy machine scatter; a wrong declaration is off by a whole pass


ALONE = ("weights", "sampler", "mixer", "step", "smoothing")  # slots whose part trains without another's


class Skipped(Exception):
    """There is nothing to check."""


def require(holds: bool, otherwise: str) -> None:
    """AssertionError, which says ``otherwise``, where it does not hold."""
    if not holds:
        raise AssertionError(otherwise)


def trained(run: TrainingLoop) -> TrainingLoop:
    """The loop, after all its epochs."""
    for _ in run.epochs():
        pass
    return run


def difference(one: TrainingLoop, other: TrainingLoop) -> float:
    """The largest difference between two networks' weights and buffers; 0.0 only if they agree bit for bit."""
    ours, theirs = one.model.state_dict(), other.model.state_dict()
    require(ours.keys() == theirs.keys(), "the networks have different weights")
    return max(away(ours[name], theirs[name]) for name in ours)


def away(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference between two tensors of one shape."""
    return float((one.double() - other.double()).abs().max())


@cache
def erm(counts: tuple[int, ...], epochs: int) -> TrainingLoop:
    """ERM, trained; what a method is compared with is the same for every method.

    Args:
        counts: The training images of each class.
        epochs: How many.

    Returns:
        The loop, which is only looked at.
    """
    return trained(dry_run(Recipe(), counts=counts, epochs=epochs))


def builds_from_counts_alone(entry: Entry) -> str:
    """Its parts are built for several long tails."""
    tails = [(24, 12, 6, 3), (7, 7), (500, 40, 1)]
    for counts in tails:
        dry_run(entry.recipe, counts=counts)
    return f"{len(tails)} long tails"


def is_deterministic(entry: Entry) -> str:
    """Two trainings of one seed are the same bits."""
    one, other = (trained(dry_run(entry.recipe)) for _ in range(2))
    require(difference(one, other) == 0, f"two runs of one seed differ by {difference(one, other):.3g}")
    return "two runs of one seed agree bit for bit"


def resumes(entry: Entry) -> str:
    """A training that was stopped and resumed ends as one that was not."""
    whole, first, second = (dry_run(entry.recipe, epochs=6) for _ in range(3))
    trained(whole)
    for line in first.epochs():
        if line["epoch"] == 4:
            break
    second.restore(first.state())
    require(difference(whole, trained(second)) == 0, "a run that was stopped and resumed ends elsewhere")
    return "stopped after five of six epochs and resumed: the same bits"


def survives_a_batch_without_some_class(entry: Entry) -> str:
    """It trains on batches in which classes are missing."""
    run = trained(dry_run(entry.recipe, counts=(30, 1, 1), batch_size=4))
    return f"batches of 4 from 30, 1 and 1 images; last loss {run.history[-1]['loss']:.3g}"


def keeps_shapes_and_devices(entry: Entry) -> str:
    """What its parts return has the shape, type and device that their slots ask for."""
    devices = [torch.device("cpu")] + ([torch.device("cuda")] if torch.cuda.is_available() else [])
    for device in devices:
        _check_shapes(dry_run(entry.recipe, device=device), entry.recipe, device)
    return "on " + " and ".join(device.type for device in devices)


def _check_shapes(run: TrainingLoop, recipe: Recipe, device: torch.device) -> None:
    classes, labels = run.scene.classes, run.labels
    x = run.material.pixels(run.material.all())
    logits, y = run.model(run.material.normalised(x)), run.material.y
    losses, indices = run.loss(logits, y, run.epsilon[y]), run.sampler(labels, 0)
    expected: dict[str, tuple[torch.Tensor, tuple[int, ...], torch.device]] = {
        "head": (logits, (len(y), classes), device),
        "loss": (losses, (len(y),), device),
        "smoothing": (run.epsilon, (classes,), device),
        "weights": (_values(run.weights(0)), (classes,), device),
        "sampler": (indices, (len(y),), torch.device("cpu")),
        "finish": (run.finish(logits), (len(y), classes), device),
    }
    if run.mixer:
        run.scene.frequencies = tuple(map(float, run.scene.counts))
        mixed = run.mixer(x, y, 0)
        require(isinstance(mixed, Mixed), "the mixer must return Mixed")
        expected["mixer"] = (mixed.x, tuple(x.shape), device)
    for slot, (tensor, shape, where) in expected.items():
        require(tuple(tensor.shape) == shape, f"{slot}: shape {tuple(tensor.shape)} instead of {shape}")
        require(tensor.device.type == where.type, f"{slot}: on {tensor.device} instead of {where}")
    require(bool(((indices >= 0) & (indices < len(y))).all()), "sampler: an index that is no image's")
    require(bool(((run.epsilon >= 0) & (run.epsilon < 1)).all()), "smoothing: an epsilon outside [0, 1)")
    require(bool(torch.isfinite(losses).all()), "loss: not finite at the start")


def _values(weights: Any) -> torch.Tensor:
    require(isinstance(weights, ClassWeights), "weights: must return ClassWeights")
    require(bool((weights.values >= 0).all()), "weights: a negative weight")
    return weights.values


def scores_each_image_by_itself(entry: Entry) -> str:
    """The logits of an image do not depend on the images beside it."""
    run = trained(dry_run(entry.recipe))
    together = run.logits(run.material.all())
    alone = torch.cat([run.logits(run.material.all()[i : i + 1]) for i in range(4)])
    change = away(together[:4], alone)
    require(change <= 1e-4 * float(together.abs().max()), f"logits change by {change:.3g} with the images beside them")
    return "the same logits alone and among others"


def is_scored_by_every_metric(entry: Entry) -> str:
    """Its logits of two classes give every metric a value within that metric's bounds."""
    counts = (24, 6)  # two classes have every metric
    run = trained(dry_run(entry.recipe, counts=counts, epochs=1))
    logits, labels = run.logits(run.material.all()).double().cpu().numpy(), run.material.y.cpu().numpy()
    prior = np.array(counts) / sum(counts)
    scored = Scored(per_class_accuracy(logits, labels), prior, 1, (0, 1), logits=logits, labels=labels)
    for about in DEFINITIONS.values():
        of = "0.5" if about.of == "share" else ""
        value = about.values(scored, {"all": (1,) if about.of == "class" else (0, 1)}, of)["all"]
        require(about.low <= value <= about.top, f"{about.name} is {value}, not from {about.low} to {about.top}")
    return f"{len(DEFINITIONS)} metrics, each within its bounds"


def sums_with_sam(entry: Entry) -> str:
    """It trains in a sum with SAM. Skipped where it takes the step itself."""
    if entry.recipe.step:
        raise Skipped(f"{type(entry.recipe.step).__name__} takes the step itself")
    trained(dry_run(entry.recipe | Recipe(step=SAM())))
    return "trains in a sum with SAM"


def works_with_cutmix(entry: Entry) -> str:
    """It trains where every batch is mixed."""
    trained(dry_run(entry.recipe, cutmix=1.0))
    return "trains with every batch mixed"


def neutral_values_are_erm(entry: Entry) -> str:
    """At its neutral values it is ERM bit for bit. Skipped where it declares none."""
    neutral = {slot: part for slot, part in entry.recipe.parts().items() if part.neutral is not None}
    if not neutral:
        raise Skipped("no part declares neutral values")
    base = erm((24, 12, 6, 3), 3)
    for slot, part in neutral.items():
        values = {f"{slot}.{name}": value for name, value in (part.neutral or {}).items()}
        change = difference(base, trained(dry_run(Recipe(**{slot: part}).tuned(values))))
        require(change == 0, f"{slot} at {values} differs from ERM by {change:.3g}")
    return ", ".join(f"{slot}: {type(part).__name__}" for slot, part in neutral.items())


def says_whether_it_acted(entry: Entry) -> str:
    """A part that is ERM for a while, or on a long tail without a rare class, and is not elsewhere, acts under a
    condition: it must say so (``Part.condition``) and note how far it acted.

    Raises:
        Skipped: where no part acts under a condition.
    """
    tails = (24, 12, 6, 3), (60, 40, 30, 24)
    declared = []
    for slot, part in entry.recipe.parts().items():
        alone = [dry_run(Recipe(**{slot: part}), counts=counts, epochs=6) for counts in tails] if slot in ALONE else []
        same = [difference(erm(counts, 6), trained(run)) == 0 for counts, run in zip(tails, alone, strict=False)]
        require(
            bool(part.condition) or len(set(same)) < 2,
            f"{slot}: {type(part).__name__} is ERM on one long tail and not on another: declare its condition",
        )
        if part.condition:
            noted = trained(dry_run(entry.recipe)).history
            require(
                all(0 <= line.get(f"{slot}.acted", -1) <= 1 for line in noted),
                f"{slot}: {type(part).__name__} acts under a condition: what it builds must note acted, from 0 to 1",
            )
            _check_rest(slot, part)
            declared.append(f"{slot}: {type(part).__name__}")
    if not declared:
        raise Skipped("no part acts under a condition")
    return ", ".join(declared)


def _check_rest(slot: str, part: Part) -> None:
    """A part that acts under a condition must not say that it acted where its values are neutral."""
    if part.neutral is None or slot not in ALONE:
        return
    values = {f"{slot}.{name}": value for name, value in part.neutral.items()}
    noted = trained(dry_run(Recipe(**{slot: part}).tuned(values), epochs=6)).history
    require(
        not any(line.get(f"{slot}.acted") for line in noted),
        f"{slot}: {type(part).__name__} notes that it acted at its neutral values",
    )


def ranges_contain_defaults(entry: Entry) -> str:
    """Each default is inside its search range."""
    values, ranges = entry.recipe.values(), entry.recipe.search()
    for name, search in ranges.items():
        require(values[name] in search, f"{name}: the default {values[name]} is not in {search}")
    return f"{len(ranges)} ranges"


def never_asks_for_the_test_set(entry: Entry) -> str:
    """On a real data set, with the other process for the labels and the lock that every trial has.

    Raises:
        AssertionError: where the method asked for it.
    """
    raw = {"name": "lock", "data": {"name": "fashion-mnist-mini", "head": 20, "imbalance_factor": 5}, "methods": "ERM",
           "network": "small", "training": {"epochs": 2, "batch_size": 16}}  # fmt: skip
    trial = plan(parse(raw))[0]
    scoring = scoring_process()
    data = scoring.split(trial, None, True)
    stand_in = dry_run(Recipe(), counts=data.counts, shape=(1, 28, 28)).model.eval().requires_grad_(False)
    with locked():
        run = image_learner(trial, data.images, data.counts, Recipe(), torch.device("cpu"), Store(""))
        run.scene.pretrained = lambda _, independent=False: stand_in
        try:
            run = trained(TrainingLoop(entry.recipe, run.training, run.model, run.material, run.scene, run.streams))
            run.logits(run.material.all())
        except TestSetLocked as error:
            raise AssertionError(str(error)) from error
    return "trained and scored behind the lock"


def declared_cost(entry: Entry) -> str:
    """Processor time of a step over ERM's, averaged over training, against ``Entry.cost``.

    Raises:
        Skipped: where the method declares none.
    """
    if math.isnan(entry.cost):
        raise Skipped("a sum that is not registered declares no cost")
    make = partial(dry_run, shape=(3, 32, 32), name="resnet20", counts=(64, 32, 16, 16), batch_size=16, epochs=20)
    erm, run = make(Recipe()), make(entry.recipe)
    measured = statistics.mean(_cost(erm, run, epoch) for epoch in (0, 4, 8, 12, 18))
    words = f"{measured:.2f} ERM-steps measured, {entry.cost:g} declared"
    require(1 / COST_TOLERANCE <= measured / entry.cost <= COST_TOLERANCE, words)
    return words


def _cost(erm: TrainingLoop, run: TrainingLoop, epoch: int) -> float:
    """In processor time, which is the same on a busy machine; without the first step."""
    ours, theirs = (statistics.median(loop.step_seconds(epoch, 4, time.process_time)[1:]) for loop in (erm, run))
    return theirs / ours


CHECKS: tuple[Callable[[Entry], str], ...] = (
    builds_from_counts_alone,
    is_deterministic,
    resumes,
    survives_a_batch_without_some_class,
    keeps_shapes_and_devices,
    scores_each_image_by_itself,
    is_scored_by_every_metric,
    sums_with_sam,
    works_with_cutmix,
    neutral_values_are_erm,
    says_whether_it_acted,
    ranges_contain_defaults,
    never_asks_for_the_test_set,
)
