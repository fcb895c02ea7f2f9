"""Methods beside the paper's Table 5: the components of its appendix alone, and their nearest rivals."""

from __future__ import annotations

from .losses.logit_adjustment import AdjustedLoss, LogitAdjustment, TauNormalisation
from .losses.smoothing import NoSmoothing, Smoothing
from .optimizers.sharpness import SAM, ImbSAM
from .recipe import Recipe, register
from .sampling.balance import DeferredResampling, DeferredReweighting
from .sampling.mixup import Mixup
from .stages.retrain import Retrain
from .stages.thresholds import Threshold
from .table5 import joint_ssl

register(
    "SAM",
    Recipe(step=SAM()),
    description="sharpness-aware minimisation: descends by the slope at the worst point nearby",
    source="Foret et al. 2021, arXiv 2010.01412",
    cost=2.0,
)

register(
    "ImbSAM",
    Recipe(step=ImbSAM()),
    description="sharpness-aware minimisation of the tail classes' loss only",
    source="Zhou et al. 2023, arXiv 2308.07815",
    cost=2.67,
)

register(
    "ERM (smoothing off)",
    Recipe(smoothing=NoSmoothing()),
    description="without label smoothing, as Focal Loss and LDAM-DRW are trained",
    source="arXiv 2312.02517, appendix B, without its label smoothing",
)

register(
    "class-conditional smoothing",
    Recipe(smoothing=Smoothing()),
    description="labels of rare classes smoothed more",
    source="arXiv 2312.02517, appendix A.7",
)

register(
    "Logit adjustment",
    Recipe(finish=LogitAdjustment()),
    description="the log of the class's share taken off the logits after training",
    source="Menon et al. 2021, arXiv 2007.07314",
)

register(
    "Balanced Softmax",
    Recipe(loss=AdjustedLoss()),
    description="the log of the class's share added to the logits in the loss",
    source="Ren et al. 2020, arXiv 2007.10740; Menon et al. 2021, arXiv 2007.07314",
)

register(
    "Threshold",
    Recipe(finish=Threshold()),
    description="of two classes the rarer from the score on that is best on held-out training rows",
    source="Provost 2000; scikit-learn's TunedThresholdClassifierCV",
    cost=5.0,
)

register(
    "tau-normalisation",
    Recipe(finish=TauNormalisation()),
    description="class vectors of the trained head brought to one length",
    source="Kang et al. 2020, arXiv 1910.09217",
)

register(
    "Joint-SSL",
    joint_ssl,
    description="VICReg beside the supervised loss",
    source="appendix A.5; Bardes et al. 2022, arXiv 2105.04906",
    cost=3.2,
)

register(
    "Mixup-DRW",
    Recipe(mixer=Mixup(), weights=DeferredReweighting()),
    description="images and labels blended, re-weighted in the last fifth of training",
    source="Zhang et al. 2018, arXiv 1710.09412; Cao et al. 2019, arXiv 1906.07413",
)

register(
    "cRT",
    Recipe(sampler=DeferredResampling(), step=Retrain()),
    description="a new head on resting features and balanced draws, in the last fifth of training",
    source="Kang et al. 2020, arXiv 1910.09217",
    cost=0.9,
)
