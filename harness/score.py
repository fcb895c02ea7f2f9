"""What a trained network comes to: the logits that are stored, and the accuracies that follow from them."""

from __future__ import annotations

import math

import numpy as np
import torch

from .train import Diverged, Run

LEAST = -65504.0  # of float16; a logit so far below the largest is a probability of 0 either way


def scored_logits(run: Run, x: torch.Tensor) -> dict[str, np.ndarray]:
    """The logits of the last weights. The labels stay outside: the method's head and finish see images only.

    Accuracies come from the logits as they are stored, so that a reader of the file finds the same; each row's largest
    is 0, where float16 is finest.
    """
    arrays: dict[str, np.ndarray] = {}
    for name, averaged in (("last_ema", True), ("last", False)):
        logits = run.logits(x, averaged)
        if not torch.isfinite(logits).all():
            raise Diverged(run.done * run.steps_per_epoch, [run.history[-1]["loss"], math.nan], run.history[-1]["lr"])
        below = logits - logits.amax(dim=1, keepdim=True)
        arrays[name] = below.clamp(min=LEAST).numpy().astype(np.float16)
    return arrays


def history_columns(run: Run) -> dict[str, np.ndarray]:
    """The lines of the history as one array a column; NaN where a line has no such column."""
    columns = dict.fromkeys(name for line in run.history for name in line)
    return {f"history_{name}": np.array([line.get(name, math.nan) for line in run.history]) for name in columns}


def per_class_accuracy(logits: np.ndarray, y: np.ndarray) -> tuple[float, ...]:
    """The share of each class's images, labels (N,), whose largest logit (N, C) is the right one, in percent."""
    right = logits.argmax(axis=1) == y
    return tuple(float(100 * right[y == label].mean()) for label in range(logits.shape[1]))
