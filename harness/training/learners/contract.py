"""Learner: the contract of what a trial trains, and which slots of a method each kind of learner can honour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch

from ....datasets.rows import Rows
from ....datasets.tables.columns import Column
from ....methods.part import MethodError, Scene
from ....methods.recipe import Recipe
from ...spec.training import Kind


class Resumable(Protocol):
    """A training that goes on where it was stopped: of one trial, or of several seeds as one (``fused_seeds.py``).

    ``done`` are its epochs, ``seconds`` those of one trial's training over all resumes.
    """

    done: int

    @property
    def seconds(self) -> float:
        """Of one trial's training."""
        ...

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train on, one epoch at a time; yields that epoch's line of the history. The fit of an estimator is its only
        epoch, so that what acts between epochs (signals, pruning, checkpoints) acts between its trials."""
        ...

    def state(self) -> dict[str, Any]:
        """All that a later process needs to go on bit for bit."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state that an earlier process left."""
        ...


class Learner(Resumable, Protocol):
    """What a trial trains: a network through the one loop (``loop.py``), or an estimator (``estimator_fit.py``).

    ``history`` holds a line for each epoch that is done.
    """

    recipe: Recipe
    training: Any
    scene: Scene
    steps_per_epoch: int
    history: list[dict[str, float]]

    def logits(self, x: torch.Tensor | Rows, averaged: bool = True) -> torch.Tensor:
        """The scores (N, C), on the CPU, of images or rows as the data set has them; ``averaged``: of the moving
        average, where there is one."""
        ...

    def averaged_weights(self) -> dict[str, torch.Tensor]:
        """What another trial starts from, or a model is made of."""
        ...


OF_ESTIMATORS = {  # the slots that an estimator cannot honour, and why
    "head": "an estimator has no head of its own",
    "loss": "an estimator's loss is its library's",
    "smoothing": "an estimator takes hard labels",
    "mixer": "an estimator takes no mixed batches",
    "extra": "an estimator has no features that two views could share",
    "step": "an estimator takes no gradient steps",
}
OF_ROWS = {  # those that a network on rows cannot
    "mixer": "it blends or changes pixels, and a row has none",
    "extra": "it compares two views of an image, and a row has none",
    "estimator": "it brings its own estimator",
}
OF_IMAGES = {
    "rows": "it makes rows of a table",
    "estimator": "it is fitted on the rows of a table",
}
LACKS: Mapping[Kind, Mapping[str, str]] = {"images": OF_IMAGES, "table": OF_ROWS, "estimator": OF_ESTIMATORS}


def check_honoured(recipe: Recipe, kind: Kind) -> None:
    """MethodError where a method means nothing on a kind of learner, with the reason: it would be ERM otherwise."""
    for slot, part in recipe.parts().items():
        name = type(part).__name__
        if slot in LACKS[kind]:
            where = {"images": "images", "table": "a table", "estimator": "an estimator"}[kind]
            raise MethodError(f"{name} (slot {slot}) cannot be had on {where}: {LACKS[kind][slot]}")
        if kind == "estimator" and getattr(part, "start", 0):
            raise MethodError(
                f"{name} acts from {part.start:g} of training on, and an estimator is fitted once: "  # type: ignore[attr-defined]
                f"{slot}.start must be 0"
            )
    if kind != "estimator" and getattr(recipe.finish, "held_out", False):
        raise MethodError(
            f"{type(recipe.finish).__name__} chooses by training rows that a fit left out, one fit for each part of "
            "them, and a network is trained once: it is for estimators"
        )
    if kind != "images" and recipe.sampler and recipe.rows:
        raise MethodError("a sampler draws among the rows that there are, and another makes or drops rows: take one")
    if recipe.needs() and kind != "images":
        raise MethodError(f"it starts from the network of {recipe.needs()[0].method}, which is one on images")


def check_columns(recipe: Recipe, columns: Sequence[Column]) -> None:
    """MethodError where a sampler cannot act on a table of such columns, with the reason."""
    if recipe.rows and any(column.kind == "weight" for column in columns):
        raise MethodError(
            f"{type(recipe.rows).__name__} makes or drops rows, and these have weights of their own, which made "
            "ones have not: leave data.weight out, or take a method that keeps the rows"
        )
    if check := getattr(recipe.rows, "check_columns", None):
        kinds = [column.kind for column in columns]
        check(kinds.count("category"), len(kinds) - kinds.count("category") - kinds.count("weight"))
