"""Model: a trained network in a file, and its predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...datasets.files import read_bytes
from ...datasets.user_images import pictures
from ..errors import ModelError
from ..registry.networks import Network
from ..training.device_images import DeviceData
from ..training.loop import EVALUATION_BATCH, evaluated
from . import model_file
from .description import Description
from .predictions import Predictions, Predictor
from .table_model import TableModel

LARGEST_BATCH = 1 << 23  # numbers of all images that are predicted at a time
Picture = str | PathLike[str] | Image.Image | np.ndarray


@dataclass(frozen=True)
class Model(Predictor):
    """A trained network with all that it needs to predict (see :func:`load_model`)."""

    description: Description
    network: Network

    def pixels(self, picture: Picture, name: str = "the image") -> np.ndarray:
        """An image as the network takes it, uint8 (channels, height, width), brought to size as in training.

        Args:
            picture: A path, a PIL image, or uint8 (height, width) or (height, width, channels).
            name: What errors call it, where it has no path.

        Raises:
            DataError: for a file that is no image, or one that cannot be used. ModelError for another kind of array.
            OSError: where a file cannot be read.
        """
        shape = self.description.shape
        if isinstance(picture, Image.Image):
            return pictures.of_image(picture, name, shape)
        if isinstance(picture, np.ndarray):
            layout = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in pictures.ARRAY_MODES)
            if picture.dtype != np.uint8 or not layout or not picture.size:
                raise ModelError(
                    f"{name}: uint8 of shape (height, width) or (height, width, 1, 3 or 4 channels) is expected, not "
                    f"{picture.dtype} of shape {picture.shape}"
                )
            return pictures.of_array(picture, shape)
        path = Path(picture)
        return pictures.pixels(read_bytes(path, pictures.MOST_BYTES), str(path), shape)

    def logits(self, x: np.ndarray) -> np.ndarray:
        """Logits (N, C), float32, of images as :meth:`pixels` gives them, uint8 (N, channels, height, width): of the
        test images those that the trial has, bit for bit on a CPU and with as many threads."""
        images = torch.from_numpy(np.require(x, requirements=["C", "W"]))  # torch warns of what cannot be written to
        precision = self.description.trial.training.precision
        return evaluated(self.network, self._material, self.finish, images, precision).numpy()

    def predict(
        self, images: Picture | Sequence[Picture], prior: str | Mapping[str, float] | None = None
    ) -> Predictions:
        """Predict the classes of images.

        Args:
            images: One image or several (see :meth:`pixels`); an array (N, height, width, channels) holds several.
            prior: How frequent the classes are where the model is used: ``balanced``, ``train`` (as in training) or
                the share of each class. None leaves what the network's scores carry.

        Raises:
            DataError, ModelError, OSError: as :meth:`pixels`, and for a prior that is none.
        """
        one = isinstance(images, (str, PathLike, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim < 4)
        several: Sequence[Any] = [images] if one else images  # type: ignore[assignment,list-item]
        if not len(several):
            raise ModelError("there is no image to predict")
        shares, parts = self.shares(prior), []
        for start in range(0, len(several), self.batch_size):
            chunk = enumerate(several[start : start + self.batch_size], start)
            parts.append(self.predictions(np.stack([self.pixels(each, f"image {n}") for n, each in chunk]), shares))
        found = [np.concatenate([getattr(part, name) for part in parts]) for name in ("logits", "probabilities")]
        return Predictions(self.classes, *found)

    @property
    def batch_size(self) -> int:
        """How many images are predicted at a time, so that memory is bounded whatever their size."""
        return max(1, min(EVALUATION_BATCH, LARGEST_BATCH // prod(self.description.shape)))

    @cached_property
    def finish(self) -> Any:
        """What the method makes of the logits."""
        return model_file.finish_of(self.description, self.network)

    @cached_property
    def _material(self) -> DeviceData:
        mean, std = (torch.tensor(each, dtype=torch.float32) for each in (self.description.mean, self.description.std))
        return DeviceData(torch.empty(0), torch.empty(0), mean, std)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the model to a file, whole or not at all. OSError where that cannot be done."""
        model_file.write(Path(path), self.description, self.network.state_dict())


def load_model(path: str | PathLike[str]) -> Model | TableModel:
    """A model that ``tailboard train`` wrote: of images, or of the rows of a table. Nothing in the file is run.

    Args:
        path: The file.

    Raises:
        ModelError: where it is no model, or a damaged one.
    """
    held = model_file.read(Path(path))
    return held if isinstance(held, TableModel) else Model(*held)
