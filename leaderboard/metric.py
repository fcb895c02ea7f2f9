"""What the values of a tidy table are: their name, their sentence in the caption, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

GROUPS = ("few", "med", "many", "all")
BALANCED = " on the balanced test set"


@dataclass(frozen=True)
class Metric:
    """``text`` opens the caption, before ": mean ± ..."; ``low`` and ``top`` are the least and the largest value that
    there may be; ``label`` names it in few words, for headings and axes; ``weights`` says which of a network were
    scored, ``examples`` what a test set holds; ``lacks`` names the data sets that do not have it, each with the reason;
    ``of_hits`` says whether it is the mean of the classes' accuracies, which a page counts from their images."""

    name: str
    text: str
    larger_is_better: bool = True
    top: float = 100.0
    digits: int = 1  # after the point, where it is shown
    unit: str = "percentage points"  # of a difference
    kind: str = "percentage"
    weights: str = "networks: their moving average, EMA"
    low: float = 0.0
    label: str = "accuracy averaged over classes"
    lacks: tuple[tuple[str, str], ...] = ()
    of_hits: bool = True
    examples: str = field(default="images", compare=False)  # or "rows", of a table

    @property
    def unbalanced(self) -> Metric:
        """The same, of test sets that are not balanced."""
        return replace(self, text=self.text.replace(BALANCED, ""))


ACCURACY = Metric("balanced_accuracy", f"Accuracy in percent{BALANCED}, averaged over the classes of each group")
