"""Joint-SSL: VICReg beside the supervised loss (appendix A.5 of arXiv 2312.02517; Bardes et al., arXiv 2105.04906).

The three terms are those of the authors' main_vicreg.py (facebookresearch/vicreg). They take embeddings (B, K) of
at least two images in at least float32.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..part import Part, Scene, hyper
from ..range import Range

if TYPE_CHECKING:
    from .vicreg import VICReg


def invariance(one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
    """The mean squared difference between two views' embeddings (B, K), over both axes."""
    return torch.nn.functional.mse_loss(one, two)


def variance(z: torch.Tensor) -> torch.Tensor:
    """How far each dimension's standard deviation over the batch falls short of 1, on average; z is (B, K)."""
    return (1 - (z.var(dim=0) + 1e-4).sqrt()).relu().mean()


def covariance(z: torch.Tensor) -> torch.Tensor:
    """The squared off-diagonal entries of the covariance matrix of z (B, K), summed and divided by K.

    All its entries, squared, add up to those of the B x B Gram matrix, which is far smaller where K is large.
    """
    z = z - z.mean(dim=0)
    gram, diagonal = z @ z.T, z.square().sum(dim=0)
    return (gram.square().sum() - diagonal.square().sum()) / (len(z) - 1) ** 2 / z.shape[1]


@dataclass(frozen=True)
class JointSSL(Part):
    """L_supervised + VICReg / lambda, or, with ``scaling="literal"``, the appendix's lambda L_supervised + VICReg.

    The two have one minimum; the first leaves the loss as large as ERM's, so that learning rate and weight decay mean
    the same. With a literal lambda of 0 the features learn by VICReg alone. ``views`` of each image: 3 is two for
    VICReg beside the routine's own, augmented and mixed; 2 trains the classifier on VICReg's first view, without
    CutMix. ``width`` is the size K of the embeddings and of the two hidden layers of the expander, which is dropped
    after training and takes no part in the moving average.

    ``form="official"`` adds the covariance terms of the two views and averages their variance terms and the squared
    differences over B and K. ``"appendix"`` takes one covariance, of the 2B embeddings of both, and divides the squared
    differences by B alone, so they weigh K times as much. Its gamma is at once the target of the standard deviations
    and the weight of the differences; here the target is 1, and ``invariance=1`` gives the equation to the letter.
    """

    lambda_: float = hyper(25.0, "ours: the same as adding VICReg at 1, 1, 0.04; not in the paper", Range(1, 200, True))
    views: int = hyper(3, "ours: the supervised loss keeps the routine's augmentation")
    form: str = hyper("official", "main_vicreg.py:198-219; the appendix's equation is another")
    scaling: str = hyper("divided", "ours; the appendix multiplies the supervised loss")
    width: int = hyper(2048, "solo-learn, cifar/vicreg.yaml", Range(choices=(512, 2048, 8192)))
    invariance: float = hyper(25.0, "main_vicreg.py:58-64: sim_coeff")
    variance: float = hyper(25.0, "main_vicreg.py:58-64: std_coeff")
    covariance: float = hyper(1.0, "main_vicreg.py:58-64: cov_coeff", Range(choices=(0.2, 1.0, 5.0)))
    neutral = {"lambda": math.inf}
    fusable = True

    def __post_init__(self) -> None:
        self.require(self.views in (2, 3), "views must be 2 or 3")
        self.require(self.form in ("official", "appendix"), "form must be 'official' or 'appendix'")
        self.require(self.scaling in ("divided", "literal"), "scaling must be 'divided' or 'literal'")
        least = "at least 0" if self.scaling == "literal" else "positive"
        self.require(self.lambda_ > 0 or (self.scaling == "literal" and self.lambda_ == 0), f"lambda must be {least}")
        self.require(self.scaling == "divided" or self.lambda_ < math.inf, "a literal lambda must be finite")
        self.require(self.width >= 1, "width must be at least 1")

    def build(self, scene: Scene) -> VICReg:
        from .vicreg import VICReg

        literal = self.scaling == "literal"
        return VICReg(
            scene.model.width,  # type: ignore[arg-type]
            self.width,
            self.loss,
            divisor=1.0 if literal else self.lambda_,
            supervised_weight=self.lambda_ if literal else 1.0,
            views=self.views,
        )

    def loss(self, one: torch.Tensor, two: torch.Tensor) -> torch.Tensor:
        """VICReg of the embeddings (B, K) of two views of the same images, in the same order."""
        official = self.form == "official"
        stacks = (one, two) if official else (torch.cat([one, two]),)
        spread = sum(variance(z) for z in stacks) / len(stacks)
        overlap = sum(covariance(z) for z in stacks)
        apart = invariance(one, two) * (1 if official else one.shape[1])
        return self.invariance * apart + self.variance * spread + self.covariance * overlap


def __getattr__(name: str) -> Any:
    """``VICReg`` stood here, and plugins in bundles may ask for it; its file needs torch."""
    if name != "VICReg":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .vicreg import VICReg

    return VICReg
