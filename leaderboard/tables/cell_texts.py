"""What the cells of a summary say: the mean with its n, or what became of the seeds, and the marks that explain it."""

import pandas as pd

from .grid import marks, plus_minus

USUAL_SEEDS = 5  # n is shown where it differs


class CellTexts:
    """The texts of the cells of one table.

    Args:
        cells: Rows of `results.summarise`, of one metric or several.
        error: The column of what follows ±.
    """

    def __init__(self, cells: pd.DataFrame, error: str = "stderr"):
        # That all are missing is what the cell says already; why, where more is known, goes into a footnote.
        said = cells["status"].isin(["missing", "complete"]) & cells["reason"].str.contains(":")
        told = cells["status"].isin(["incomplete", "failed"]) | said
        self._marks = marks(cells.loc[told, "reason"])
        self._error = error

    @property
    def footnotes(self) -> list[str]:
        """Each mark with its reason."""
        return [f"{mark} {reason}" for reason, mark in self._marks.items()]

    def text(self, cell, digits: int = 1) -> str:
        """Such as "29.1 ± 0.4", "29.1 ± 0.4 (n=3)¹", "failed 5/5¹", "missing 5/5" or "n/a (0 classes)"."""
        mark = self._marks.get(cell.reason, "")
        match cell.status:
            case "n/a":
                return f"n/a ({cell.reason})"
            case "missing":
                return f"missing {cell.planned}/{cell.planned}{mark}"
            case "failed":
                return f"failed {cell.failed}/{cell.planned}{mark}"
        count = "" if cell.n == USUAL_SEEDS and cell.status == "complete" else f" (n={cell.n})"
        return plus_minus(cell.mean, getattr(cell, self._error), digits=digits) + count + mark
