"""Whether what was opened can be evaluated: libraries follow the numbers in a tree, or a machine's vectors, and do not
look whether they lead out of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

OBJECTIVES = ("binary:logistic", "multi:softprob")


class Unsound(ValueError):
    """The bytes are no estimator that can be evaluated."""


def _check_nodes(left: Any, right: Any, inner: Any, split: Any, features: int) -> None:
    """Unsound where a node's children are not behind it, or it splits by a feature that there is not.

    Args:
        left, right: The children of each node (K,).
        inner: Whether each has any (K,).
        split: The feature that each splits by (K,).
        features: How many there are.
    """
    left, right, inner, split = (np.asarray(each, np.int64) for each in (left, right, inner, split))
    if not left.shape == right.shape == inner.shape == split.shape or left.ndim != 1 or not left.size:
        raise Unsound("a tree's nodes do not fit together")
    place, inner = np.arange(len(left)), inner.astype(bool)
    for child in (left, right):
        if not ((child > place) & (child < len(left)))[inner].all():
            raise Unsound("a tree's node leads out of it")
    if not ((split >= 0) & (split < features))[inner].all():
        raise Unsound(f"a tree splits by a feature beyond the {features} of a row")


def check_xgboost(model: Mapping[str, Any], features: int) -> None:
    """Unsound where a model of XGBoost, as its JSON has it, holds a tree that leads out of itself, or is of another
    kind than ours.

    Args:
        model: The JSON.
        features: The numbers of an encoded row.
    """
    learner = model["learner"]
    gradient, about = learner["gradient_booster"], learner["learner_model_param"]
    if gradient["name"] != "gbtree" or learner["objective"]["name"] not in OBJECTIVES:
        raise Unsound("it is no classifier of trees")
    if int(about["num_feature"]) != features or not 0 <= int(about["num_class"]) < 1001:
        raise Unsound(f"it takes {about['num_feature']} features, and a row has {features}")
    held = gradient["model"]
    classes = max(1, int(about["num_class"]))
    if len(held["trees"]) != len(held["tree_info"]) or not set(held["tree_info"]) <= set(range(classes)):
        raise Unsound("its trees are not of its classes")
    for tree in held["trees"]:
        left, right = tree["left_children"], tree["right_children"]
        sizes = {len(tree[word]) for word in ("split_conditions", "base_weights", "default_left", "parents")}
        if sizes != {len(left)} or int(tree["tree_param"]["num_nodes"]) != len(left) or any(tree["categories"]):
            raise Unsound("a tree's nodes do not fit together")
        _check_nodes(left, right, np.asarray(left) != -1, tree["split_indices"], features)


def check_lightgbm(text: str, features: int) -> None:
    """The same of a model of LightGBM, as its text has it.

    Args:
        text: The text.
        features: The numbers of an encoded row.

    Raises:
        Unsound: as :func:`check_xgboost`.
    """
    first, *trees = text.partition("\nend of trees")[0].split("\nTree=")
    words = _words(first)
    if "tree_sizes" in words or int(words["max_feature_idx"]) + 1 != features or not trees:
        raise Unsound(f"it takes {words['max_feature_idx']} features, and a row has {features}")
    if not words["objective"].startswith(("binary ", "multiclass ")) or int(words["num_class"]) > 1000:
        raise Unsound("it is no classifier")
    if words["num_tree_per_iteration"] != words["num_class"] or len(trees) % int(words["num_class"]):
        raise Unsound("its trees are not of its classes")
    for tree in trees:
        held = _words(tree)
        leaves = int(held["num_leaves"])
        if held["num_cat"] != "0" or held.get("is_linear", "0") != "0":
            raise Unsound("a tree is of another kind than ours")
        if len(held["leaf_value"].split()) != leaves:
            raise Unsound("a tree's leaves do not fit together")
        if leaves > 1:
            _check_leafwise(held, leaves, features)


def _words(lines: str) -> dict[str, str]:
    """The values of lines ``name=value``."""
    parted = (line.partition("=") for line in lines.split("\n"))
    return {name: value for name, _, value in parted}


def _check_leafwise(held: Mapping[str, str], leaves: int, features: int) -> None:
    """A child of 0 or more is a node, and ~n the leaf n: leaves are put behind the nodes."""
    inner = leaves - 1
    columns = [np.array(held[word].split(), np.float64) for word in ("split_feature", "left_child", "right_child")]
    others = {len(held[word].split()) for word in ("threshold", "decision_type")}
    if {len(column) for column in columns} | others != {inner}:
        raise Unsound("a tree's nodes do not fit together")
    split, left, right = (np.pad(column.astype(np.int64), (0, leaves)) for column in columns)
    left, right = (np.where(child < 0, inner + ~child, child) for child in (left, right))
    _check_nodes(left, right, np.arange(inner + leaves) < inner, split, features)


def check_estimator(made: Any, features: int) -> None:
    """The same of what skops opened, and of the vectors of a support vector machine.

    Args:
        made: The estimator.
        features: The numbers of an encoded row.

    Raises:
        Unsound: where one leads out of itself, or it is no classifier.
    """
    if not hasattr(made, "fit") or not (hasattr(made, "predict_proba") or hasattr(made, "decision_function")):
        raise Unsound("it is no classifier")
    for part in _parts(made):
        kind = type(part).__name__
        if kind == "Tree":
            if part.n_features > features or part.n_outputs != 1:
                raise Unsound("a tree is of other rows")
            inner = part.children_left != -1
            _check_nodes(part.children_left, part.children_right, inner, part.feature, features)
        elif kind == "TreePredictor":
            nodes = part.nodes
            if nodes["is_categorical"].any():
                raise Unsound("a tree is of another kind than ours")
            _check_nodes(nodes["left"], nodes["right"], nodes["is_leaf"] == 0, nodes["feature_idx"], features)
        elif kind == "SVC":
            _check_vectors(part, features)


def _check_vectors(svm: Any, features: int) -> None:
    classes, vectors = len(svm.classes_), len(svm.support_)
    pairs = classes * (classes - 1) // 2
    shapes = {
        "support_vectors_": (vectors, features),
        "_dual_coef_": (classes - 1, vectors),
        "_n_support": (classes,),
        "_intercept_": (pairs,),
    }
    if any(getattr(svm, name).shape != shape for name, shape in shapes.items()) or len(svm._probA) or len(svm._probB):
        raise Unsound("the vectors of the machine do not fit together")
    counts = np.asarray(svm._n_support)
    if counts.min() < 0 or counts.sum() != vectors or svm._sparse or svm.kernel not in ("linear", "rbf"):
        raise Unsound("the vectors of the machine do not fit together")


def _parts(made: Any) -> Iterator[Any]:
    """What stands in it at any depth, each once."""
    seen, waiting = set[int](), [made]
    while waiting:
        part = waiting.pop()
        if id(part) in seen or isinstance(part, (str, bytes, int, float, type(None))):
            continue
        seen.add(id(part))
        if isinstance(part, np.ndarray):
            waiting += list(part.flat) if part.dtype == object else []
            continue
        yield part
        if isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, Sequence):
            waiting += part
        else:
            waiting += getattr(part, "__dict__", {}).values()
