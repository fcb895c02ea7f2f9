# hardest.py
from dataclasses import dataclass

from tailboard.methods.losses import cross_entropy
from tailboard.methods.recipe import Part, Range, Recipe, hyper, register


@dataclass(frozen=True)
class Hardest(Part):
    """Cross-entropy of the share of samples with the largest loss (Shrivastava et al. 2016, arXiv 1604.03540)."""

    share: float = hyper(0.5, "our choice", Range(0.1, 1.0))
    neutral = {"share": 1.0}

    def build(self, scene):
        def loss(logits, y, epsilon):
            each = cross_entropy(logits, y, epsilon)
            least = each.detach().quantile(1 - self.share)
            return each * (each >= least)

        return loss


register("Hardest", Recipe(loss=Hardest()), description="online hard example mining", source="arXiv 1604.03540")
