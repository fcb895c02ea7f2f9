"""What a line of the page took for what: the confusion matrices of its seeds, added up."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from ..confusion import Confusion
from .model import Evidence

MATRIX_UP_TO = 20  # classes; of more, only the confusions that most of a class's images fall to
MOST = 40


def mistakes(evidences: Sequence[Evidence]) -> dict[str, Any] | None:
    """The images of each class that were taken for each, over all seeds whose records tell.

    Returns:
        ``seeds``, how many those are, and either ``matrix``, a list for each class, or ``worst``, at most MOST
        triples (class, what it was taken for, images), the largest share of its class first. None where no record
        tells.
    """
    tests = Counter(evidence.tests for evidence in evidences if evidence.confusion).most_common(1)
    matrices = []
    for evidence in evidences:
        if evidence.confusion and evidence.tests == tests[0][0]:
            with suppress(ValueError):  # a stranger's
                matrices.append(Confusion.unpacked(evidence.confusion, evidence.tests))
    if not matrices:
        return None
    classes = matrices[0].classes
    places = np.concatenate([matrix.true * classes + matrix.predicted for matrix in matrices])
    found, at = np.unique(places, return_inverse=True)
    images = np.bincount(at, np.concatenate([matrix.images for matrix in matrices])).astype(int)
    true, predicted = np.divmod(found, classes)
    if classes <= MATRIX_UP_TO:
        dense = np.zeros((classes, classes), int)
        dense[true, predicted] = images
        return {"seeds": len(matrices), "matrix": dense.tolist()}
    wrong = true != predicted
    true, predicted, images = true[wrong], predicted[wrong], images[wrong]
    order = np.argsort(-images / matrices[0].tested[true], kind="stable")[:MOST]
    return {"seeds": len(matrices), "worst": np.stack([true, predicted, images], axis=1)[order].tolist()}
