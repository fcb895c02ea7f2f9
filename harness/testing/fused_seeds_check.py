"""Whether a method's parts serve several seeds that are trained as one where they declare it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from ...methods.recipe import Entry, Recipe
from ..training.learners.fused_seeds import FusedTraining
from ..training.loop import TrainingLoop
from .dry_run import dry_run
from .network_checks import Skipped, away, require, trained

TOLERANCE = 1e-9  # in float64, which the operations of seeds that are grouped round otherwise
LOGITS_TOLERANCE = 1e-6  # they are float32
RULE = "what declares fusable must keep the seeds apart (methods/part.py says how)"


def serves_fused_seeds_as_it_declares(entry: Entry) -> str:
    """Seeds that are trained as one come to what each comes to alone. Of a method of which only some parts declare it,
    these are judged.

    Raises:
        Skipped: where no part declares it.
    """
    left_out = entry.recipe.not_fusable()
    declared = {slot: part for slot, part in entry.recipe.parts().items() if slot not in left_out}
    if not declared:
        raise Skipped("no part declares fusable")
    largest = apart_where_fused(Recipe(**declared))
    names = ", ".join(f"{slot}: {type(part).__name__}" for slot, part in declared.items())
    return f"{names}: two seeds as one are each as alone, within {largest:.2g}"


def apart_where_fused(recipe: Recipe, seeds: Sequence[int] = (0, 1), **about: Any) -> float:
    """The largest difference that it makes in float64 whether seeds are trained as one or each alone: five epochs of a
    step, in the last of which deferred methods act; the routine mixes, smooths and averages.

    Args:
        recipe: The method.
        seeds: Which.
        about: What :func:`dry_run` is told otherwise.

    Raises:
        AssertionError: where it is more than rounding, with what differs.
    """
    about = {"epochs": 5, "batch_size": 45, "ema": 0.9, "label_smoothing": 0.1, "lr": 0.05} | about
    largest = 0.0
    with _float64():
        alone = [trained(dry_run(recipe, seed=seed, **about)) for seed in seeds]
        fused = _trained_as_one([dry_run(recipe, seed=seed, **about) for seed in seeds])
        for seed, one, other in zip(seeds, alone, fused, strict=True):
            for what, difference in apart(one, other).items():
                words = f"trained as one of {len(seeds)}, seed {seed} has other {what} than alone, by {difference:.3g}"
                require(difference <= TOLERANCE, f"{words}: {RULE}")
                largest = max(largest, difference)
            change = away(one.logits(one.material.all()), other.logits(other.material.all()))
            require(change <= LOGITS_TOLERANCE, f"seed {seed} is scored otherwise than alone, by {change:.3g}: {RULE}")
    return largest


def apart(one: TrainingLoop, other: TrainingLoop) -> dict[str, float]:
    """The largest difference between two trainings, by what differs.

    Args:
        one: A training.
        other: Another, as long, of the same method.

    Raises:
        AssertionError: where the notes of an epoch have other names.
    """
    ours, theirs = one.trained.state_dict(), other.trained.state_dict()
    averages = zip(one.average.state(), other.average.state(), strict=True)
    found = {
        "weights and buffers": max(away(ours[name], theirs[name]) for name in ours),
        "moving averages": max(away(*pair) for pair in averages),
    }
    for line, its in zip(one.history, other.history, strict=True):
        require(line.keys() == its.keys(), f"an epoch notes {', '.join(its)} instead of {', '.join(line)}: {RULE}")
        for name in line:
            what = "losses" if name == "loss" else f"notes {name!r}"
            found[what] = max(found.get(what, 0.0), abs(line[name] - its[name]))
    return found


def _trained_as_one(loops: list[TrainingLoop]) -> list[TrainingLoop]:
    try:
        together = FusedTraining(loops)
        for _ in together.epochs():
            pass
    except Exception as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        told = AssertionError(f"{len(loops)} seeds cannot be trained as one ({words}): {RULE}")
        raise told.with_traceback(error.__traceback__) from error
    for diverged in together.diverged.values():
        raise diverged
    return loops


@contextmanager
def _float64() -> Iterator[None]:
    """Inside, tensors are made in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
