"""The rows of the paper's Table 5, each a recipe (arXiv 2312.02517, appendix A.9)."""

from __future__ import annotations

from .balance import DeferredReweighting, Resampling, Reweighting
from .losses import LDAM, CosineHead, Focal
from .recipe import Recipe, register
from .sharpness import SAMA

register("ERM", Recipe(), description="empirical risk minimisation: the training routine alone", source="Table 5")

register(
    "Reweighting",
    Recipe(weights=Reweighting()),
    description="class-balanced weights of the loss",
    source="Cui et al. 2019, arXiv 1901.05555",
)

register(
    "Resampling",
    Recipe(sampler=Resampling()),
    description="every class drawn equally often",
    source="Kang et al. 2020, arXiv 1910.09217; the authors' run_train.py",
)

register(
    "Focal Loss",
    Recipe(loss=Focal()),
    description="less weight on what is already classified well",
    source="Lin et al. 2017, arXiv 1708.02002",
)

register(
    "LDAM-DRW",
    Recipe(head=CosineHead(), loss=LDAM(), weights=DeferredReweighting()),
    description="larger margins for rarer classes, re-weighted in the last fifth of training",
    source="Cao et al. 2019, arXiv 1906.07413",
)

register(
    "SAM-A",
    Recipe(step=SAMA()),
    description="sharpness-aware minimisation whose climb gives rare classes more weight",
    source="appendix A.6; the authors' model_wrapper.py",
    cost=2.0,
)
