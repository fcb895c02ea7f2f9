"""TableModel: a fitted estimator with its preprocessing in a file, and its predictions of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load, save
from threadpoolctl import threadpool_limits

from ...datasets.tables.columns import Column
from ...datasets.tables.encoder import Encoder
from ...datasets.user_tables.cells import MISSING, days
from ...methods.names import nearest
from ...methods.part import MethodError
from ..errors import ModelError
from ..spec.canonical import CanonicalModel
from ..spec.schema import Trial
from ..storage.files import Files
from ..storage.record import Provenance
from ..training.learners.estimator_file import opened, skops_opened
from ..training.learners.estimator_fit import scores_of
from ..training.learners.sound_trees import Unsound
from .description import Calibration, ClassName, parsed
from .predictions import Predictions, Predictor

WORD = "tailboard.table_model"  # of the file's header, under which the description stands
PARTS = ("encoder", "shift")


class SavedColumn(CanonicalModel, frozen=True):
    """A column of the rows that the model takes; ``categories`` are their names, in the order of their numbers."""

    name: str = Field(min_length=1, max_length=1000)
    kind: Literal["number", "category", "date", "weight"]
    categories: tuple[str, ...] = ()


class TableDescription(CanonicalModel, frozen=True):
    """A model of a table: its trial, the columns that it takes and the classes that it tells apart.

    ``form`` says how the estimator is written, ``sha256`` is the hash of it, the encoder and the shift. The rest is as
    of :class:`~tailboard.harness.prediction.description.Description`.
    """

    version: Literal[1] = 1
    trial: Trial
    classes: tuple[ClassName, ...] = Field(min_length=2, max_length=1000)
    counts: tuple[int, ...]
    columns: tuple[SavedColumn, ...] = Field(min_length=1, max_length=100_000)
    form: Literal["xgboost", "lightgbm", "catboost", "skops", "mlp"]
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    calibration: Calibration = Calibration()
    data: Provenance
    versions: dict[str, str] = {}
    repeats: bool | None = None

    @model_validator(mode="after")
    def _whole(self) -> TableDescription:
        if not len(self.classes) == len(set(self.classes)) == len(self.counts) or min(self.counts) < 1:
            raise ValueError("classes and counts must tell of the same classes, each once")
        if len({column.name for column in self.columns}) < len(self.columns):
            raise ValueError("columns must tell of each column once")
        if all(column.kind == "weight" for column in self.columns):
            raise ValueError("columns must tell of one to learn from")
        return self


@dataclass(frozen=True)
class TableModel(Predictor):
    """A fitted estimator with all that it needs to predict rows (see ``tailboard.load_model``)."""

    description: TableDescription
    tensors: Mapping[str, torch.Tensor]
    encoder: Encoder
    estimator: Any

    @classmethod
    def of(cls, description: TableDescription, tensors: Mapping[str, torch.Tensor]) -> TableModel:
        """The model of what a file holds. ModelError where that cannot be evaluated, or a library is missing."""
        if set(tensors) != {description.form, *PARTS} or digest(tensors) != description.sha256:
            raise ModelError("what it holds is damaged: it has not the hash of its description")
        shift = tensors["shift"]
        if shift.shape != (len(description.classes),) or shift.dtype != torch.float32 or not shift.isfinite().all():
            raise ModelError("its shift is none of its classes")
        columns = tuple(Column(each.name, each.kind) for each in description.columns)
        row = np.zeros((1, len(columns)))
        try:
            encoder = Encoder.of(columns, skops_opened(_bytes(tensors["encoder"])))
            features, threads = _features(encoder, row), description.trial.threads
            estimator = opened(description.form, _bytes(tensors[description.form]), features, threads)
            model = cls(description, tensors, encoder, estimator)
            model.logits(row)
        except (MethodError, ModelError) as error:
            raise ModelError(str(error)) from None
        except Exception as error:
            raise ModelError(f"it cannot be evaluated: {' '.join(str(error).split())[:300]}") from None
        return model

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that a row must have."""
        return tuple(column.name for column in self.description.columns if column.kind != "weight")

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Scores (N, C) in float32 of rows as :meth:`rows` gives them: of the test rows those of the trial, bit for
        bit. ModelError where the estimator gives none."""
        with threadpool_limits(self.description.trial.threads):
            scores = torch.from_numpy(scores_of(self.estimator, self.encoder.transform(x))).float()
        if scores.shape != (len(x), len(self.classes)):
            raise ModelError(f"scores of shape {tuple(scores.shape)} where {(len(x), len(self.classes))} are expected")
        return (scores + self.tensors["shift"]).numpy()

    def rows(self, table: Any, first: int = 1) -> np.ndarray:
        """Rows (N, columns) of a table.

        Args:
            table: A DataFrame, or the values of each column by its name; other columns are passed over.
            first: The number of its first row, for errors.

        Raises:
            ModelError: where a column is missing, a value is no number, or columns are of different lengths.
        """
        names = [str(name) for name in table]
        for name in self.columns:
            if name not in names:
                raise ModelError(f"the table has no column {name!r}" + nearest(name, names))
        columns = {
            column.name: _values(column, _listed(table[column.name]), first)
            for column in self.description.columns
            if column.kind != "weight"  # rows to be predicted need none
        }
        lengths = {len(values) for values in columns.values()}
        if len(lengths) > 1:
            raise ModelError("the columns of the table have different lengths")
        weights = np.ones(max(lengths, default=0))
        return np.column_stack([columns.get(str(column.name), weights) for column in self.description.columns])

    def predict(self, table: Any, prior: str | Mapping[str, float] | None = None) -> Predictions:
        """Predict the classes of rows.

        Args:
            table: As in :meth:`rows`.
            prior: As in :meth:`Model.predict`.

        Raises:
            ModelError: as :meth:`rows`, for a prior that is none, and where there is no row.
        """
        x = self.rows(table)
        if not len(x):
            raise ModelError("there is no row to predict")
        return self.predictions(x, self.shares(prior))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a file, whole or not at all. OSError where that cannot be done."""
        path = Path(path)
        data = save(dict(self.tensors), {WORD: self.description.model_dump_json()})
        Files(path.parent).write(path.name, data)


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """The SHA-256 of tensors, in the order of their names."""
    sha256 = hashlib.sha256()
    for name in sorted(tensors):
        sha256.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        sha256.update(tensors[name].contiguous().numpy().tobytes())
    return sha256.hexdigest()


def read(data: bytes, text: str) -> TableModel:
    """The model of a file.

    Args:
        data: All of it, safetensors.
        text: The description that its header holds.

    Raises:
        ModelError: where it is no model of rows, or a damaged one.
    """
    description = parsed(TableDescription, text)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, RuntimeError) as error:
        raise ModelError(str(error)) from None
    return TableModel.of(description, tensors)


def _bytes(tensor: torch.Tensor) -> bytes:
    if tensor.dtype != torch.uint8 or tensor.ndim != 1:
        raise Unsound("bytes are expected")
    return tensor.numpy().tobytes()


def _features(encoder: Encoder, row: np.ndarray) -> int:
    """The numbers of an encoded row. Unsound where it gives none."""
    encoded = encoder.transform(row)
    if encoded.ndim != 2 or len(encoded) != 1 or not np.isfinite(encoded).all():
        raise Unsound("its encoder gives no numbers")
    return encoded.shape[1]


def _listed(values: Any) -> list[Any]:
    """The values of a column; of pandas' ways to say that one is missing (NaN, NaT, NA) each is None."""
    if not hasattr(values, "isna"):
        return list(values)
    return [None if missing else value for value, missing in zip(values, values.isna(), strict=True)]


def _values(column: SavedColumn, values: list[Any], first: int) -> np.ndarray:
    texts = [
        "" if value is None or (isinstance(value, float) and isnan(value)) else str(value).strip() for value in values
    ]
    if column.kind == "category":
        place = {name: float(number) for number, name in enumerate(column.categories)}
        other = float(len(place))  # what no training row had
        return np.array([np.nan if text in MISSING else place.get(text, other) for text in texts], np.float64)
    if column.kind == "date":
        return _days(column, texts, first)
    numbers = np.empty(len(texts))
    for number, text in enumerate(texts):
        try:
            numbers[number] = np.nan if text in MISSING else float(text)
        except ValueError:
            raise ModelError(f"row {first + number}: {column.name} is {text[:80]!r}, no number") from None
    if np.isinf(numbers).any():
        row = first + int(np.flatnonzero(np.isinf(numbers))[0])
        raise ModelError(f"row {row}: {column.name} is infinite; leave it empty where it is not known")
    return numbers


def _days(column: SavedColumn, texts: list[str], first: int) -> np.ndarray:
    """The days of dates, as the rows that the model was fitted on have them."""
    numbers = np.full(len(texts), np.nan)
    for number, text in enumerate(texts):
        if text not in MISSING:
            day = days([text])
            if day is None:
                raise ModelError(f"row {first + number}: {column.name} is {text[:80]!r}, no date such as 2026-01-31")
            numbers[number] = day[0]
    return numbers
