"""The learner of a trial on a table: an estimator, or a network on encoded rows."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch

from ....datasets.rows import Rows
from ....datasets.split import Images
from ....datasets.tables.columns import Column
from ....datasets.tables.encoder import Encoder
from ....methods.part import MethodError, Scene
from ....methods.recipe import Recipe
from ...registry.datasets import dataset_of
from ...registry.estimators import MLP, learner_of
from ...registry.networks import rows_network
from ...spec.schema import Trial
from ...spec.training import TableTraining
from ..device_images import DeviceData
from ..loop import TrainingLoop
from ..random_streams import RandomStreams, derive_seed, initialisation
from .contract import Learner, check_columns, check_honoured
from .estimator_file import as_tensors
from .estimator_fit import EstimatorFit, estimator_scene
from .made_rows import made_rows
from .network_file import network_saved, shift_of


@dataclass(frozen=True)
class DeviceRows(DeviceData):
    """Encoded rows (N, F) on the device in float32; ``encoder`` was fitted on the training rows."""

    encoder: Encoder

    def prepared(self, x: torch.Tensor | Rows) -> torch.Tensor:
        """Rows (N, columns) encoded, (N, F)."""
        return torch.from_numpy(self.encoder.transform(np.asarray(x))).float()

    def pixels(self, x: torch.Tensor) -> torch.Tensor:
        """Encoded rows as they are."""
        return x.to(self.mean.dtype)

    def normalised(self, pixels: torch.Tensor, keep: bool = True) -> torch.Tensor:
        """Encoded rows as they are: the encoder has scaled them."""
        return pixels


class RowsTraining(TrainingLoop):
    """The training of a network on the rows of a table."""

    def averaged_weights(self) -> dict[str, torch.Tensor]:
        """All that predicts, as bytes: the network under ``mlp``, the encoder, and ``shift`` (C,), which the method
        adds to scores. MethodError where one cannot be saved."""
        assert isinstance(self.material, DeviceRows)  # noqa: S101  (for the type checker)
        shift = shift_of(lambda scores: self.finish(scores.to(self.scene.device)).cpu(), self.scene.classes,
                         type(self.recipe.finish).__name__)  # fmt: skip
        with self.average.swapped_in() if self.training.ema else nullcontext():
            return as_tensors("mlp", network_saved(self.model), self.material.encoder.steps, shift)


def table_learner(
    trial: Trial,
    rows: Images,
    counts: tuple[int, ...],
    method: Recipe,
    device: torch.device,
    columns: tuple[Column, ...] = (),
) -> Learner:
    """The learner at its start.

    Args:
        trial: Says which learner, with which values.
        rows: Its training rows.
        counts: Those of each class.
        method: Its recipe.
        device: Where a network is trained.
        columns: Those of the rows; of the trial's data set if not given.

    Raises:
        MethodError: where the method cannot be honoured.
    """
    columns, seed, part = columns or dataset_of(trial.data).columns, seed_of(trial), learner_of(trial)
    check_columns(method, columns)
    if isinstance(part, MLP):
        return _network(trial, part, rows, columns, counts, method, device)
    assert part is not None  # noqa: S101  (for the type checker)
    return EstimatorFit(method, part, rows, columns, estimator_scene(counts, seed, trial.threads), seed)


def seed_of(trial: Trial) -> int:
    """What the trial's streams begin with."""
    return derive_seed(trial.seed, "independent", 0) if trial.independent else trial.seed


def _network(
    trial: Trial,
    part: MLP,
    rows: Images,
    columns: tuple[Column, ...],
    counts: tuple[int, ...],
    method: Recipe,
    device: torch.device,
) -> TrainingLoop:
    check_honoured(method, "table")
    assert isinstance(trial.training, TableTraining)  # noqa: S101  (for the type checker)
    streams, encoder = RandomStreams(seed_of(trial)), Encoder(columns).fit(np.asarray(rows.x))
    if encoder.weights(np.asarray(rows.x)) is not None:
        raise MethodError("a network takes no weights of rows yet: leave the column of weights out")
    x, y = encoder.transform(np.asarray(rows.x)), rows.y
    made = None
    if method.rows:
        made = method.rows.build(estimator_scene(counts, seed_of(trial), trial.threads))
        x, y = made_rows(made, encoder, np.asarray(rows.x), y)
        counts = tuple(np.bincount(y, minlength=len(counts)).tolist())
    with initialisation(streams.seed, "network"):
        model = rows_network(x.shape[1], len(counts), part.width, part.depth, part.dropout)
    empty = torch.empty(0, device=device)
    material = DeviceRows(torch.from_numpy(x).float().to(device), torch.from_numpy(y).to(device), empty, empty, encoder)
    scene = Scene(
        counts=counts,
        epochs=trial.training.epochs,
        model=model,
        device=device,
        generator=streams,
        pretrained=lambda name, independent=False: model,
        threads=trial.threads,
    )
    return RowsTraining(method, trial.training, model, material, scene, streams, rows=made)
