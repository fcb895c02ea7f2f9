"""Numbers quoted from papers: shown beside ours, never mixed with them."""

from pathlib import Path

import pandas as pd

PUBLISHED = Path(__file__).with_name("published.csv")


def published(path: str | Path = PUBLISHED) -> pd.DataFrame:
    """The quoted rows, in the order of their source.

    Returns:
        Columns `source`, `method`, `dataset`, `setting`, `network`, `group`, `mean` and `stderr` (percent, as
        printed), `n` (trials), `selection` (how the reported model was chosen) and `note`.

    Source: the shipped file holds Table 5 of "Simplifying Neural Network Training Under Class Imbalance"
    (NeurIPS 2023, arXiv:2312.02517).
    """
    return pd.read_csv(path)
