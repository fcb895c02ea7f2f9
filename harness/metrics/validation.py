"""The metrics that a search may look for: ``val/NAME``, of all classes at the shares of the validation images, and
``val/few``, ``val/med`` and ``val/many``, the mean accuracies of those groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...leaderboard.metric import ACCURACY, GROUPS
from ...methods.names import nearest
from ..errors import ReportError, SpecError, StoreError
from ..spec.labels import setting_label
from ..spec.schema import Data, Shots
from ..storage import paths
from ..storage.record import Record
from .classes import class_names, class_number, class_ranks, positive_class
from .definitions import DEFINITIONS, Definition
from .scores import Scored, confusion_of, per_class_accuracy
from .shots import class_groups, class_members

SHOTS = GROUPS[:3]
TUNED = [name for name, about in DEFINITIONS.items() if about.tuned]
METRICS = [f"val/{name}" for name in (ACCURACY.name, *SHOTS, *(name for name in TUNED if name != ACCURACY.name))]
MOST_SCORES = 2**27  # images x classes: beyond, what needs the logits would take longer than a short training


def check_name(metric: str) -> None:
    """SpecError where no trial reports it, whatever the data."""
    word, colon, of = metric.partition(":")
    about = DEFINITIONS.get(word.removeprefix("val/"))
    named = about is not None and about.of == "class" and about.source != "logits" and of  # a record has no logits
    if word not in METRICS or (colon and not named):
        known = nearest(metric, METRICS)
        raise SpecError(f"tune.metric: no trial reports {metric!r}{known}; there are {', '.join(METRICS)}")


def check(metric: str, data: Data, counts: tuple[int, ...], by: Shots) -> None:
    """Refuse a metric that no trial on this data reports.

    Args:
        metric: As in ``tune.metric``.
        data: What is learned from.
        counts: The training images of each class.
        by: How the classes are grouped.

    Raises:
        SpecError: with the reason.
    """
    group, of, names = group_of(metric), metric.partition(":")[2], class_names(data, len(counts))
    where = f"{data.title}, {setting_label(data)}"
    if group != "all" and group not in class_groups(counts, by):
        raise SpecError(f"tune.metric: no trial reports {metric!r}: {where} has no class in {group!r}")
    try:
        class_number(of or "0", data)
    except ReportError as error:
        raise SpecError(str(error).replace("--metric", "tune.metric")) from error
    if why := _definition(metric).lacks(of, len(names), class_ranks(names)):
        raise SpecError(f"tune.metric: no trial reports {metric!r} of {where}: it is {why}")


def group_of(metric: str) -> str:
    """The shot group that a metric is of, or all."""
    word = metric.removeprefix("val/")
    return word if word in SHOTS else "all"


def _definition(metric: str) -> Definition:
    word = metric.removeprefix("val/").partition(":")[0]
    return DEFINITIONS[ACCURACY.name if word in SHOTS else word]


def validation_scores(logits: np.ndarray, labels: np.ndarray, counts: Sequence[int], data: Data) -> dict[str, float]:
    """Each metric that a search may look for and that needs the logits.

    Args:
        logits: (N, C), of the validation images.
        labels: (N,).
        counts: The training images of each class.
        data: What is learned from.

    Returns:
        The metrics by name, but for those that the data set does not have.
    """
    if logits.size > MOST_SCORES:
        return {}
    tested = np.bincount(labels, minlength=len(counts))
    accuracy, prior = per_class_accuracy(logits, labels), tested / len(labels)
    scored = Scored(accuracy, prior, positive_class(counts), logits=logits.astype(float), labels=labels)
    scores = {}
    for name in TUNED:
        about = DEFINITIONS[name]
        if about.source == "logits" and not about.lacks("", len(counts), class_ranks(class_names(data, len(counts)))):
            at = (scored.positive,) if about.of == "class" else range(len(counts))
            scores[name] = about.values(scored, {"all": at})["all"]
    return scores


def measured(metric: str, record: Record, by: Shots) -> float:
    """The metric of tuning.

    Args:
        metric: As in ``tune.metric``.
        record: Of a trial that is complete or was stopped.
        by: How the classes are grouped.

    Returns:
        It, in percent.

    Raises:
        KeyError: where a group has no classes (see :func:`check`).
        StoreError: where a record of an earlier version lacks what it needs.
    """
    about, group = _definition(metric), group_of(metric)
    lacking = (
        f"{paths.record(record.key)}, of an earlier version, lacks what {metric} needs: tune in a store of its own"
    )
    if about.source == "logits":
        if about.name not in record.scores:
            raise StoreError(lacking)
        return record.scores[about.name]
    matrix = confusion_of(record) if about.source == "confusion" else None
    if about.source == "confusion" and matrix is None:
        raise StoreError(lacking)
    data, of = record.trial.data, metric.partition(":")[2]
    tested = np.array(record.test_counts or (1,) * len(record.counts), float)
    names = class_names(data, len(record.counts)) if about.ordered else ()
    scored = Scored(
        record.accuracy["last_ema"], tested / tested.sum(), positive_class(record.counts), class_ranks(names), matrix
    )
    one = class_number(of, data) if of else scored.positive
    at = (one,) if about.of == "class" else class_members(record.counts, by)[group]
    return about.values(scored, {group: at} if at else {}, of)[group]
