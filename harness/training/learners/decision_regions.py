"""What a trained network decides on planes through three training images of different classes: the regions of one
plane, and the share of each class on many."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch

from ....datasets.lock import locked
from ...spec.schema import Trial
from ..loop import EVALUATION_BATCH, TrainingLoop, autocast
from ..random_streams import derive_seed
from .contract import Learner

PLANES, GRID, PICTURE = 200, 24, 96  # planes whose shares are counted, and points along each side of these and of one
MARGIN = 0.1  # of the extent, on each side of the three images
NAMES = ("regions_shares", "regions_picture", "regions_corners", "regions_classes")


def decision_regions(run: Learner, trial: Trial) -> dict[str, np.ndarray]:
    """The arrays ``NAMES``: the share of each class on each plane (planes, C); the class at each point of the first
    plane (PICTURE, PICTURE), rows from below; where its three images stand there (3, 2), in shares of its width and
    height; and their classes (3,). Nothing of a trial of tuning, and of what is no network on images.

    The planes are the same for every method of the trial's seed: their images are drawn by it. Batches of points are
    made on the device.

    Args:
        run: The trained network, with its training images.
        trial: What was trained.

    Source: Somepalli et al., "Can Neural Nets Learn the Same Model Twice?" (2022), section 3.
    """
    if trial.stage == "tune" or trial.training.learner != "images" or not isinstance(run, TrainingLoop):
        return {}
    labels, classes = run.labels.numpy(), run.scene.classes
    triples = drawn_triples(labels, PLANES, derive_seed(trial.seed, "planes", 0))
    shares = np.zeros((PLANES, classes), np.float32)
    with locked(), torch.no_grad():
        for at, triple in enumerate(triples):
            plane = Plane.through(_pixels(run, triple))
            shares[at] = np.bincount(_decided(run, plane, GRID).ravel(), minlength=classes) / GRID**2
        first = Plane.through(_pixels(run, triples[0]))
        picture = _decided(run, first, PICTURE).astype(np.int16)
    return {
        "regions_shares": shares,
        "regions_picture": picture,
        "regions_corners": first.corners().cpu().numpy().astype(np.float32),
        "regions_classes": labels[triples[0]].astype(np.int16),
    }


def drawn_triples(labels: np.ndarray, planes: int, seed: int) -> np.ndarray:
    """(planes, 3): indices of images of three different classes; classes are drawn evenly, then an image of each.

    Args:
        labels: Of the training images (N,).
        planes: How many.
        seed: Of the draw.
    """
    random = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    chosen = [random.choice(len(members), 3, replace=False) for _ in range(planes)]
    return np.array([[random.choice(members[label]) for label in three] for three in chosen])


class Plane:
    """The plane through three images (3, D): an origin, two orthonormal directions (2, D), and the coordinates of the
    images in them (3, 2)."""

    def __init__(self, origin: torch.Tensor, directions: torch.Tensor, coordinates: torch.Tensor, shape: torch.Size):
        self.origin, self.directions, self.coordinates, self.shape = origin, directions, coordinates, shape

    @classmethod
    def through(cls, images: torch.Tensor) -> Plane:
        """The first image is the origin, the second lies on the first direction (Gram and Schmidt). Images in one line
        span no plane; the second direction is then zero."""
        flat = images.flatten(1).double()
        one, two = flat[1] - flat[0], flat[2] - flat[0]
        first = one / one.norm().clamp(min=1e-12)
        rest = two - (two @ first) * first
        second = rest / rest.norm().clamp(min=1e-12)
        directions = torch.stack([first, second])
        return cls(flat[0], directions, (flat - flat[0]) @ directions.T, images.shape[1:])

    @property
    def bounds(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The lowest and the highest coordinates (2,), with the margin around the three images."""
        low, high = self.coordinates.amin(0), self.coordinates.amax(0)
        return low - MARGIN * (high - low), high + MARGIN * (high - low)

    def corners(self) -> torch.Tensor:
        """(3, 2): where the images stand, in shares of the width and the height."""
        low, high = self.bounds
        return (self.coordinates - low) / (high - low).clamp(min=1e-12)

    def points(self, side: int, chosen: slice) -> torch.Tensor:
        """Some of the images at the points of a grid, row by row from below; as they are, also beyond what a pixel may
        hold."""
        low, high = self.bounds
        steps = torch.linspace(0, 1, side, dtype=torch.float64, device=low.device)
        ys, xs = torch.meshgrid(steps, steps, indexing="ij")
        grid = torch.stack([xs, ys], dim=-1).view(-1, 2)[chosen]
        return (self.origin + (low + grid * (high - low)) @ self.directions).view(-1, *self.shape)


def _pixels(run: TrainingLoop, triple: np.ndarray) -> torch.Tensor:
    """Three training images on the device, in [0, 1]."""
    return run.material.pixels(run.material.x[torch.from_numpy(triple).to(run.material.y.device)])


def _decided(run: TrainingLoop, plane: Plane, side: int) -> np.ndarray:
    """(side, side): the class of the largest logit at each point, by the averaged weights."""
    if run.training.ema:
        with run.average.swapped_in():
            return _largest(run, plane, side)
    return _largest(run, plane, side)


def _largest(run: TrainingLoop, plane: Plane, side: int) -> np.ndarray:
    run.model.eval()
    ends = [*range(0, side * side, EVALUATION_BATCH), side * side]
    parts = []
    for start, end in pairwise(ends):
        x = plane.points(side, slice(start, end)).to(run.material.mean.dtype)
        with autocast(run.scene.device, run.training.precision):
            logits = run.model(run.material.normalised(x.contiguous(memory_format=torch.channels_last), keep=False))
        parts.append(run.finish(logits.float()).argmax(dim=1).cpu())
    return torch.cat(parts).view(side, side).numpy()
