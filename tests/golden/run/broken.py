"""A method whose loss raises in the first step."""

from dataclasses import dataclass

from tailboard.methods.recipe import Part, Recipe, register


@dataclass(frozen=True)
class Broken(Part):
    """No loss at all."""

    def build(self, scene):
        def loss(logits, y, epsilon):
            raise ValueError("this loss always raises")

        return loss


register("Broken", Recipe(loss=Broken()), description="raises in its first step", source="none")
