"""Rows that a sampler makes or drops, whether it acts on encoded ones or before categories are encoded."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....datasets.tables.encoder import Encoder
from ....methods.part import MethodError


def made_rows(sampler: Any, encoder: Encoder, raw: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The encoded rows and labels to learn from.

    Args:
        sampler: What a ``rows`` part builds.
        encoder: Fitted on the training rows.
        raw: The training rows as the data set has them (N, columns).
        y: Their labels (N,).

    Raises:
        MethodError: where no row of a class is left.
    """
    if getattr(sampler, "before_encoding", False):
        numbered, categories = encoder.numbered(raw)
        made, labels = sampler(numbered, y, categories)
        made = encoder.encoded(made)
    else:
        made, labels = sampler(encoder.transform(raw), y)
    left = np.bincount(labels, minlength=int(y.max()) + 1)
    if not left.all():
        raise MethodError(f"no row of class {int(left.argmin())} is left to learn from")
    return made, labels
