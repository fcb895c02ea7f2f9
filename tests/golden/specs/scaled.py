from dataclasses import dataclass

from torch.nn.functional import cross_entropy

from tailboard.methods.recipe import Part, Range, Recipe, hyper, register


@dataclass(frozen=True)
class Scaled(Part):
    scale: float = hyper(1.0, "none", Range(0.5, 2.0))
    form: str = hyper("no", "none", Range(choices=("no", "1e3", "null")))

    def build(self, scene):
        return lambda logits, y, epsilon: cross_entropy(logits, y, reduction="none") * self.scale


register("Scaled", Recipe(loss=Scaled()))
