"""BatchNorm's running statistics belong to one forward pass of a step: in the others they rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def resting_statistics(model: torch.nn.Module) -> Iterator[None]:
    """Forward passes inside normalise by the batch, as in training, and leave the running statistics alone."""
    kind = torch.nn.modules.batchnorm._BatchNorm
    norms = [m for m in model.modules() if isinstance(m, kind) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
