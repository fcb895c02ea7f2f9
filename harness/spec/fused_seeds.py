"""Seeds that are trained as one: which may be, and why others are not."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from .training import Routine

MOST_FUSED = 32  # seeds: their networks are in memory at once


def _ascending(seeds: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
    if list(seeds) != sorted(set(seeds)):
        raise ValueError("fused seeds ascend, each once")
    if info.data.get("seed", seeds[0]) not in seeds:
        raise ValueError("a trial's seed is one of those that it is fused with")
    return seeds


FusedSeeds = Annotated[
    tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=2, max_length=MOST_FUSED), AfterValidator(_ascending)
]


def obstacle(network: str, training: Routine) -> str:
    """Why seeds of a network are not fused, whatever the method; empty where they are."""
    if training.learner != "images":
        return "only networks on images are fused"
    if getattr(training, "compile", False):
        return "a compiled network (training.compile) is one seed's"
    if network.startswith("timm:"):
        return "a network of timm may draw numbers of its own, such as dropout's"
    return ""
