"""Need: a trained network that a part starts from. It imports no torch, since a plan names needs too."""

from __future__ import annotations

from typing import NamedTuple


class Need(NamedTuple):
    """The network of a registered method, trained on the same images with the same seed. An ``independent`` one has
    another initialisation and order than the trial that starts from it: it judges without having the same blind spots.
    """

    method: str
    independent: bool = False
