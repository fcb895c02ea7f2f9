"""An estimator as a learner: its rows are encoded, drawn, made and weighed as the method says, then it is fitted once.

    encode -> draw (sampler) -> make or drop (rows) -> weigh (weights) -> fit; scores -> finish

The encoder and the method see training rows only. A ``finish`` that chooses by held-out rows is given the scores of
fits on parts of the training rows.
"""

from __future__ import annotations

import math
import random
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from ....datasets.rows import Rows
from ....datasets.split import Images
from ....datasets.tables.columns import Column
from ....datasets.tables.encoder import Encoder
from ....methods.part import ClassWeights, MethodError, Part, Scene
from ....methods.recipe import Recipe
from ...spec.training import EstimatorTraining
from ..random_streams import RandomStreams, derive_seed
from .contract import check_honoured
from .estimator_file import as_tensors, saved
from .made_rows import made_rows
from .network_file import shift_of

SMALLEST = 1e-12  # a probability below is taken for it: its logarithm is a score


class NoNetwork(nn.Module):
    """Stands where a part looks for the network."""

    def __getattr__(self, name: str) -> Any:
        raise MethodError(f"it asks for the network's {name!r}, and an estimator has no network")


def estimator_scene(counts: tuple[int, ...], seed: int, threads: int) -> Scene:
    """What a method's parts may know beside an estimator: no network, no images, one epoch.

    Args:
        counts: Training rows of each class.
        seed: What the trial's streams begin with.
        threads: That a library may use.
    """

    def no_start(name: str, independent: bool = False) -> nn.Module:
        raise MethodError(f"it starts from the network of {name}, and an estimator has none")

    cpu = torch.device("cpu")
    return Scene(counts, 1, NoNetwork(), cpu, RandomStreams(seed), no_start, threads=threads)


class EstimatorFit:
    """One fit. ``rows`` are the training rows as the data set has them, ``encoder`` is fitted on them.

    MethodError where the method cannot be honoured, or the estimator's library is not installed.
    """

    steps_per_epoch = 1

    def __init__(
        self, recipe: Recipe, part: Part, rows: Images, columns: tuple[Column, ...], scene: Scene, seed: int
    ) -> None:
        check_honoured(recipe, "estimator")
        self.recipe, self.scene, self.training = recipe, scene, EstimatorTraining(kind="estimator")
        self.done, self.seconds, self.history = 0, 0.0, list[dict[str, float]]()
        self._x, self._y, self._seed, self.encoder = np.asarray(rows.x), rows.y, seed, Encoder(columns)
        self._groups = rows.groups
        self._part = part
        self._scored: tuple[torch.Tensor | Rows, torch.Tensor] | None = None
        self._parts = {slot: part.build(scene) for slot, part in recipe.parts().items()}
        self.estimator = self._parts["estimator"] if "estimator" in self._parts else part.build(scene)
        if getattr(recipe.finish, "of_probabilities", False) and not hasattr(self.estimator, "predict_proba"):
            raise MethodError(
                f"{type(recipe.finish).__name__} shifts the logarithms of probabilities, and the scores of "
                f"{type(self.estimator).__name__} are margins"
            )

        if "weights" in self._parts or any(column.kind == "weight" for column in columns):
            self._check_takes_weights()

    def _check_takes_weights(self) -> None:
        from sklearn.utils.validation import has_fit_parameter  # see ``Encoder``

        if not has_fit_parameter(self.estimator, "sample_weight"):
            raise MethodError(f"{type(self.estimator).__name__} takes no weights of rows")

    def epochs(self) -> Iterator[dict[str, float]]:
        """The fit."""
        if self.done:
            return
        start = time.perf_counter()
        random.seed(derive_seed(self._seed, "libraries", 0))  # for a library that draws from a generator of its own
        np.random.seed(derive_seed(self._seed, "libraries", 0) % 2**32)
        with threadpool_limits(self.scene.threads):
            x, y, weights = self._learned()
            self._fit(x, y, weights)
            if getattr(self.recipe.finish, "held_out", False):
                self._choose(self._parts["finish"])
            loss = _loss(self.scores(self._x), self._y)
        self.seconds, self.done = time.perf_counter() - start, 1
        notes = {f"{slot}.{name}": float(n) for slot, made in self._parts.items()
                 for name, n in getattr(made, "notes", dict)().items()}  # fmt: skip
        self.history.append({"epoch": 0, "loss": loss} | notes)
        yield self.history[-1]

    def _learned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """The rows (M, F), labels (M,) and weights (M,) to learn from; None where all weigh the same."""
        x, y = self.encoder.fit(self._x).transform(self._x), self._y
        weights = self.encoder.weights(self._x)
        if sampler := self._parts.get("sampler"):
            drawn = sampler(torch.from_numpy(y), 0).numpy()
            x, y, weights = x[drawn], y[drawn], weights[drawn] if weights is not None else None
        if rows := self._parts.get("rows"):
            x, y = made_rows(rows, self.encoder, self._x, y)
            counts: tuple[int, ...] = tuple(np.bincount(y).tolist())
            self.scene.counts, self.scene.frequencies = counts, counts  # what is learnt from
            later = {slot: self.recipe.parts()[slot] for slot in ("weights", "finish") if slot in self._parts}
            self._parts |= {slot: part.build(self.scene) for slot, part in later.items()}
        if of_class := self._parts.get("weights"):
            given: ClassWeights = of_class(0)
            each = given.values.double().numpy()[y]
            each = each / each.mean() if given.divide_by == "weights" else each
            weights = each if weights is None else weights * each
        return x, y, weights

    def _choose(self, finish: Any) -> None:
        """Give ``finish`` the scores of every training row from a fit that did not see it."""
        scores = np.empty((len(self._y), self.scene.classes))
        for kept, held in folds(self._y, finish.folds, derive_seed(self._seed, "folds", 0), self._groups):
            rows, counts = Images(self._x[kept], self._y[kept]), tuple(np.bincount(self._y[kept]).tolist())
            scene = estimator_scene(counts, self._seed, self.scene.threads)
            recipe = replace(self.recipe, finish=None)
            fit = EstimatorFit(recipe, self._part, rows, self.encoder.columns, scene, self._seed)
            list(fit.epochs())
            scores[held] = fit.scores(self._x[held])
        finish.choose(scores, self._y)

    def _fit(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> None:
        if weights is None or np.ptp(weights) == 0:
            self.estimator.fit(x, y)
        else:
            self.estimator.fit(x, y, sample_weight=weights)

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """Scores (N, C) of rows (N, columns), before the method adjusts them."""
        return scores_of(self.estimator, self.encoder.transform(rows))

    def logits(self, x: torch.Tensor | Rows, averaged: bool = True) -> torch.Tensor:
        """The scores (N, C) in float32 of rows (N, columns), adjusted where the method does."""
        if self._scored is None or self._scored[0] is not x:  # a trial asks for both averages, and has one
            with threadpool_limits(self.scene.threads):
                scores = torch.from_numpy(self.scores(np.asarray(x))).float()
            self._scored = x, self._parts["finish"](scores) if "finish" in self._parts else scores
        return self._scored[1]

    def averaged_weights(self) -> dict[str, torch.Tensor]:
        """All that predicts, as bytes: the estimator under the name of its form (see ``estimator_file.py``), the
        encoder, and ``shift`` (C,), which the method adds to scores. MethodError where one cannot be saved."""
        finish = self._parts.get("finish", lambda scores: scores)
        shift = shift_of(finish, self.scene.classes, type(self.recipe.finish).__name__)
        return as_tensors(*saved(self.estimator), self.encoder.steps, shift)

    def state(self) -> dict[str, Any]:
        """It is fitted or it is not: there is no state between."""
        return {"done": self.done}

    def restore(self, state: dict[str, Any]) -> None:
        """A fit begins anew."""


def scores_of(estimator: Any, x: np.ndarray) -> np.ndarray:
    """Scores (N, C) of encoded rows: logarithms of probabilities, or margins where it has no probabilities."""
    if hasattr(estimator, "predict_proba"):
        return np.log(np.maximum(estimator.predict_proba(x), SMALLEST))
    margins = np.asarray(estimator.decision_function(x), np.float64)
    return np.stack([np.zeros_like(margins), margins], axis=1) if margins.ndim == 1 else margins


def folds(
    y: np.ndarray, number: int, seed: int, groups: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Parts of rows, class by class: of each the rows outside it and its own. Of grouped rows whole groups stand in one
    part, which the classes share as evenly as they allow.

    Args:
        y: The labels of the rows.
        number: How many parts; of fewer groups as many as there are.
        seed: Of the draw.
        groups: Of which group each row is.

    Raises:
        MethodError: where a part would leave none of a class: it has a single row, or its rows are of too few groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # see ``Encoder``

    if (few := np.bincount(y)).min() < 2:
        raise MethodError(f"class {int(few.argmin())} has one row: none can be held out to choose by")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class with fewer rows than parts, some parts have none
        if groups is None:
            yield from StratifiedKFold(number, shuffle=True, random_state=seed % 2**32).split(np.empty(len(y)), y)
            return
        number = min(number, len(np.unique(groups)))
        if number < 2:
            raise MethodError("all training rows are of one group: none can be held out to choose by")
        parts = StratifiedGroupKFold(number, shuffle=True, random_state=seed % 2**32).split(y, y, groups)
        for kept, held in parts:
            left = np.bincount(y[kept], minlength=len(few))
            if left.min() < 1:
                raise MethodError(f"the rows of class {int(left.argmin())} are of too few groups to hold one out whole")
            if len(held):
                yield kept, held


def _loss(scores: np.ndarray, y: np.ndarray) -> float:
    """The mean negative log-likelihood of the training rows, of the scores as logits."""
    from scipy.special import log_softmax  # 0.1 s, which a network's trial need not wait for

    return -math.fsum(log_softmax(scores, axis=1)[np.arange(len(y)), y].tolist()) / len(y)
