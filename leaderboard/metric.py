"""What the values of a tidy table are: their name, their sentence in the caption, and which way is better."""

from dataclasses import dataclass

GROUPS = ("few", "med", "many", "all")


@dataclass(frozen=True)
class Metric:
    """``text`` opens the caption, before ": mean ± ..."; ``top`` is the largest value that there may be."""

    name: str
    text: str
    larger_is_better: bool = True
    top: float = 100.0
    digits: int = 1  # after the point, where it is shown
    unit: str = "percentage points"  # of a difference
    kind: str = "percentage"


ACCURACY = Metric(
    "balanced_accuracy", "Accuracy in percent on the balanced test set, averaged over the classes of each group"
)
