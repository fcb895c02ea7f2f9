"""Which metrics make sense for images of the user's own, and the validation images that a search would carve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..spec.schema import Shots
from .classes import class_ranks, positive_class
from .shots import class_groups

SMALL = 50  # test images of a class: with fewer, one is more than two points of its accuracy


def advice(classes: Sequence[Mapping[str, Any]], grouped: bool, things: str = "images") -> dict[str, Any]:
    """What ``data inspect`` says beyond what was found.

    Args:
        classes: Of each its name ``class``, and how many ``train`` and ``test`` images it has.
        grouped: Whether images belong together.
        things: What the classes hold: images or rows.

    Returns:
        ``classes``, as they were given and with the ``shots`` of each; ``metrics``, by their words for ``--metric`` and
        each with why; and ``validation``, a sentence.
    """
    names = [str(each["class"]) for each in classes]
    trained, tested = ([int(each[part]) for each in classes] for part in ("train", "test"))
    shots = class_groups(tuple(trained), Shots())
    rows = [{**each, "shots": group} for each, group in zip(classes, shots, strict=True)]
    return {
        "classes": rows,
        "metrics": {name: why.replace("images", things) for name, why in sensible(names, trained, tested).items()},
        "validation": _validation(names, trained, grouped).replace("image", things.removesuffix("s")),
    }


def sensible(names: Sequence[str], trained: Sequence[int], tested: Sequence[int]) -> dict[str, str]:
    """The metrics that fit some classes.

    Args:
        names: Of the classes.
        trained: The training images of each.
        tested: The test images of each.

    Returns:
        The metrics, each with why; the table's own first.
    """
    metrics = {"balanced_accuracy": "each class counts alike; what the table shows unless you ask"}
    if len(names) == 2:
        rare = names[positive_class(trained)]
        metrics |= {
            "auroc": "whatever the threshold and however frequent the classes are",
            "average_precision": f"of {rare!r}, at the frequencies of the test set",
            "f1": f"of {rare!r}, at the threshold of the method",
            "recall_at_precision:0.9": f"how many of {rare!r} are recalled where nine of ten alarms are right",
        }
    else:
        metrics |= {"macro_f1": "punishes false alarms of rare classes too", "worst_class": "no class is given up"}
    if class_ranks(names):
        metrics["quadratic_kappa"] = "the names of the classes begin with numbers: an error by one grade is a small one"
    if len(set(tested)) > 1:
        metrics["accuracy"] = (
            "as frequent as in the test set; --prior train, or cat=0.9,dog=0.1, for another deployment"
        )
    if min(tested) < SMALL:
        name = names[tested.index(min(tested))]
        points = f"{100 / min(tested):.0f}" if min(tested) < 20 else f"{100 / min(tested):.1f}"
        metrics["balanced_accuracy"] += (
            f"; class {name!r} has few test images ({min(tested)}): one is {points} points of it"
        )
    return metrics


def _validation(names: Sequence[str], trained: Sequence[int], grouped: bool) -> str:
    smallest = min(trained)
    carved = max(1, smallest // 10)
    if carved >= smallest:
        return (
            f"no validation: class {names[trained.index(smallest)]!r} has one training image, so nothing can be tuned"
        )
    whole = ", whole groups" if grouped else ""
    return (
        f"validation, where something is tuned: {carved} of the training images of each class{whole}, carved before "
        "the long tail is cut"
    )
