"""BatchNorm's running statistics belong to one forward pass of a step: in the others they rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def resting_statistics(model: nn.Module) -> Iterator[None]:
    """Forward passes inside normalise by the batch, as in training, and leave the running statistics alone."""
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
