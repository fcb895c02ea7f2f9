"""Encoder: from the rows of a table to the numbers that estimators and networks take, fitted on training rows only.

It is a pipeline of scikit-learn's. skrub's TableVectorizer would choose each column's encoding by the values that it
is fitted on (how many categories, how many are missing), so that two seeds of one row could encode differently; here
the columns' kinds are fixed by the data set, and only medians, deviations and categories are learnt from the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .columns import Column

MOST_CATEGORIES = 40  # of a column; the rarer ones share a place


class Encoder:
    """Numbers and dates: the median where one is missing, a column that says so where any is missing among the training
    rows, then mean 0 and deviation 1. Categories: a column of 0 and 1 for each of the 40 most frequent (missing is
    one), and one for all others, also for those that no training row has."""

    def __init__(self, columns: Sequence[Column]) -> None:
        from sklearn.compose import ColumnTransformer  # a second of imports, which trials on images do without
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        self.columns = tuple(columns)
        numbers, categories, self._weight = (
            [place for place, column in enumerate(columns) if column.kind in kinds]
            for kinds in (("number", "date"), ("category",), ("weight",))
        )
        steps: list[tuple[str, Any, list[int]]] = []
        if numbers:
            imputer = SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True)
            steps.append(("numbers", make_pipeline(imputer, StandardScaler()), numbers))
        if categories:
            onehot = OneHotEncoder(
                handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False
            )
            steps.append(("categories", onehot, categories))
        self._steps = ColumnTransformer(steps)

    @classmethod
    def of(cls, columns: Sequence[Column], steps: Any) -> Encoder:
        """An encoder of such columns with the ``steps`` of another that was fitted."""
        made = cls(columns)
        made._steps = steps
        return made

    @property
    def steps(self) -> Any:
        """All that was learnt: a transformer of scikit-learn's."""
        return self._steps

    def fit(self, x: np.ndarray) -> Encoder:
        """Learn from training rows (N, columns)."""
        self._steps.fit(x)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """Rows (N, columns) as float64 (N, features)."""
        return np.ascontiguousarray(self._steps.transform(x), dtype=np.float64)

    def numbered(self, x: np.ndarray) -> tuple[np.ndarray, list[int]]:
        """Rows (N, columns) with the numbers encoded and each category as its position, -1 where it is missing, for
        what makes rows before categories are encoded; and the places that hold categories or say what was missing."""
        parts, apart = [], list[int]()
        for name, step, columns in self._steps.transformers_:
            if name == "remainder":
                continue
            begin = sum(part.shape[1] for part in parts)
            values = np.nan_to_num(x[:, columns], nan=-1.0) if name == "categories" else step.transform(x[:, columns])
            first = 0 if name == "categories" else len(columns)  # behind the numbers: which of them were missing
            apart += range(begin + first, begin + values.shape[1])
            parts.append(values)
        return np.hstack(parts), apart

    def encoded(self, z: np.ndarray) -> np.ndarray:
        """Rows as :meth:`numbered` gives them, encoded as :meth:`transform` does."""
        parts, begin = [], 0
        for name, step, columns in self._steps.transformers_:
            if name == "remainder":
                continue
            of_categories = name == "categories"
            width = len(columns) if of_categories else len(step.get_feature_names_out([f"{c}" for c in columns]))
            values = z[:, begin : begin + width]
            parts.append(step.transform(np.where(values < 0, np.nan, values)) if of_categories else values)
            begin += width
        return np.ascontiguousarray(np.hstack(parts), dtype=np.float64)

    def weights(self, x: np.ndarray) -> np.ndarray | None:
        """The weight of each row (N,), scaled to a mean of 1; None where the table has no column of weights."""
        if not self._weight:
            return None
        weights = x[:, self._weight[0]]
        return weights / weights.mean()
