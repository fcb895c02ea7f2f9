"""The rows of the paper's Table 5, each a recipe (arXiv 2312.02517, appendix A.9)."""

from __future__ import annotations

from .losses import LDAM, CosineHead, Focal
from .optimizers.sharpness import SAMA
from .recipe import Recipe, register
from .sampling.balance import DeferredResampling, DeferredReweighting, Resampling, Reweighting
from .sampling.m2m import M2m
from .stages.joint_ssl import JointSSL

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
    description="less weight on what is already classified well; without label smoothing",
    source="Lin et al. 2017, arXiv 1708.02002",
)

register(
    "LDAM-DRW",
    Recipe(head=CosineHead(), loss=LDAM(), weights=DeferredReweighting()),
    description="larger margins for rarer classes, re-weighted in the last fifth of training; without label smoothing",
    source="Cao et al. 2019, arXiv 1906.07413",
)

m2m = register(
    "M2m",
    Recipe(sampler=DeferredResampling(), mixer=M2m()),
    description="in the last fifth of training, images of frequent classes turned into rare ones",
    source="Kim et al. 2020, arXiv 2004.00431; M2m's train.py",
    cost=3.1,
)

sam_a = register(
    "SAM-A",
    Recipe(step=SAMA()),
    description="sharpness-aware minimisation whose climb gives rare classes more weight",
    source="appendix A.6; the authors' model_wrapper.py",
    cost=2.0,
)

joint_ssl = Recipe(extra=JointSSL())

joint_ssl_sam_a = register(
    "Joint-SSL + SAM-A",
    joint_ssl | sam_a,
    description="self-supervision beside the supervised loss, and SAM-A",
    source="appendix A.5 and A.6",
    cost=6.5,
)

register(
    "Joint-SSL + SAM-A + M2m",
    joint_ssl_sam_a | m2m,
    description="all three; SAM-A climbs evenly once M2m draws the classes equally often",
    source="appendix A.9",
    cost=8.6,
)
