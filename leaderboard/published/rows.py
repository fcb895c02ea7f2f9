"""Numbers quoted from papers: shown beside ours, never mixed with them."""

from pathlib import Path

import pandas as pd

PUBLISHED = Path(__file__).with_name("published.csv")


PAPER = "Simplifying Neural Network Training Under Class Imbalance"  # how the name of its source begins


def published(path: str | Path = PUBLISHED) -> pd.DataFrame:
    """The quoted rows, in the order of their source.

    Returns:
        Columns `source`, `method`, `dataset`, `setting`, `network`, `epochs` and `augmentation` (empty where not
        stated), `group`, `mean` and `stderr` (percent, as printed; no error where none is), `n` (trials), `selection`
        (how the reported model was chosen, or "not stated") and `note`.

    Source: the shipped file holds Table 5 of "Simplifying Neural Network Training Under Class Imbalance"
    (NeurIPS 2023, arXiv:2312.02517), and rows of the sources that it names, none of them rerun here.
    """
    return pd.read_csv(path)
