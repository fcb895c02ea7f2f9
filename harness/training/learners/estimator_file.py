"""A fitted estimator as bytes, and back without running anything: boosters in their libraries' own formats, what is of
scikit-learn or imbalanced-learn by skops, whose types must all be in a fixed list.

A stranger's bytes are looked through before a library that trusts them sees them: see ``sound_trees.py``.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ....methods.part import MethodError
from .network_file import network_opened, network_saved
from .sound_trees import Unsound, check_estimator, check_lightgbm, check_xgboost

TYPES = frozenset({
    *(("builtins", name) for name in ("dict", "list", "slice", "str", "tuple")),
    *(("numpy", name) for name in ("dtype", "float64", "float32", "int64", "int32", "uint64", "uint8", "ndarray")),
    ("collections", "OrderedDict"),
    ("numpy.random._generator", "Generator"),
    ("imblearn.ensemble._bagging", "BalancedBaggingClassifier"),
    ("imblearn.ensemble._easy_ensemble", "EasyEnsembleClassifier"),
    ("imblearn.ensemble._forest", "BalancedRandomForestClassifier"),
    ("imblearn.ensemble._weight_boosting", "RUSBoostClassifier"),
    ("imblearn.pipeline", "Pipeline"),
    ("imblearn.under_sampling._prototype_selection._random_under_sampler", "RandomUnderSampler"),
    *(("sklearn._loss._loss", name) for name in ("CyHalfBinomialLoss", "CyHalfMultinomialLoss")),
    *(("sklearn._loss.link", name) for name in ("Interval", "LogitLink", "MultinomialLogit")),
    *(("sklearn._loss.loss", name) for name in ("HalfBinomialLoss", "HalfMultinomialLoss")),
    ("sklearn.compose._column_transformer", "ColumnTransformer"),
    ("sklearn.ensemble._forest", "RandomForestClassifier"),
    ("sklearn.ensemble._hist_gradient_boosting.binning", "_BinMapper"),
    ("sklearn.ensemble._hist_gradient_boosting.gradient_boosting", "HistGradientBoostingClassifier"),
    ("sklearn.ensemble._hist_gradient_boosting.predictor", "TreePredictor"),
    ("sklearn.ensemble._weight_boosting", "AdaBoostClassifier"),
    *(("sklearn.impute._base", name) for name in ("MissingIndicator", "SimpleImputer")),
    ("sklearn.linear_model._logistic", "LogisticRegression"),
    ("sklearn.pipeline", "Pipeline"),
    ("sklearn.preprocessing._data", "StandardScaler"),
    ("sklearn.preprocessing._encoders", "OneHotEncoder"),
    ("sklearn.preprocessing._label", "LabelEncoder"),
    ("sklearn.svm._classes", "SVC"),
    ("sklearn.tree._classes", "DecisionTreeClassifier"),
    ("sklearn.tree._tree", "Tree"),
})  # fmt: skip
LOADERS = frozenset({
    *("DTypeNode", "DictNode", "JsonNode", "ListNode", "LossNode", "NdArrayNode", "ObjectNode", "RandomGeneratorNode"),
    *("SliceNode", "TreeNode", "TupleNode", "TypeNode", "CachedNode"),
})  # fmt: skip


class Form(NamedTuple):
    """How the estimators of one library are written and opened: ``opened(data, features, threads)``."""

    saved: Callable[[Any], bytes]
    opened: Callable[[bytes, int, int], Any]


def form_of(estimator: Any) -> str:
    """The name of the form of an estimator. MethodError where there is none that is safe to open."""
    library = type(estimator).__module__.partition(".")[0]
    if library in ("xgboost", "lightgbm", "catboost"):
        return library
    if (type(estimator).__module__, type(estimator).__name__) in TYPES:
        return "skops"
    raise MethodError(
        f"{type(estimator).__name__} cannot be saved: no format of its own is known here, and it is none of the "
        "types that skops may open"
    )


def saved(estimator: Any) -> tuple[str, bytes]:
    """The form's name and the bytes. MethodError where an estimator cannot be saved, with the reason."""
    form = form_of(estimator)
    return form, FORMS[form].saved(estimator)


def opened(form: str, data: bytes, features: int, threads: int = 1) -> Any:
    """The estimator of bytes that anyone may have written.

    Args:
        form: One of FORMS.
        data: The bytes.
        features: The numbers of an encoded row.
        threads: That its library may use.

    Raises:
        MethodError: where its library is not installed. Unsound where the bytes are no estimator on such rows.
    """
    try:
        return FORMS[form].opened(data, features, threads)
    except (Unsound, MethodError):
        raise
    except ModuleNotFoundError as error:
        raise MethodError(f'{error.name} is not installed: pip install "tailboard[tables]"') from None
    except Exception as error:
        raise Unsound(" ".join(f"{type(error).__name__}: {error}".split())[:300]) from None


def as_tensors(form: str, data: bytes, encoder: Any, shift: torch.Tensor) -> dict[str, torch.Tensor]:
    """All that predicts rows, as a model file holds it. MethodError where the encoder cannot be saved.

    Args:
        form: One of FORMS.
        data: The estimator in that form.
        encoder: What its rows are encoded by, of scikit-learn.
        shift: What the method adds to scores (C,).
    """
    parts = {form: data, "encoder": skops_saved(encoder)}
    held = {name: torch.frombuffer(bytearray(each), dtype=torch.uint8) for name, each in parts.items()}
    return held | {"shift": shift}


def skops_saved(made: Any) -> bytes:
    """What scikit-learn fitted, as skops writes it. MethodError without skops, or where a type is not in the list."""
    try:
        skops = import_module("skops.io")
    except ModuleNotFoundError:
        raise MethodError('skops is not installed: pip install "tailboard[tables]"') from None
    try:
        data = skops.dumps(made)
        _check_types(data)
    except Exception as error:
        raise MethodError(f"{type(made).__name__} cannot be saved: {error}") from None
    return data


def skops_opened(data: bytes) -> Any:
    """What :func:`skops_saved` wrote. Unsound where a type is not in the list, or anything is packed."""
    _check_types(data)
    return import_module("skops.io").loads(data, trusted=[f"{module}.{name}" for module, name in TYPES])


def _check_types(data: bytes) -> None:
    """Unsound at the first type or kind of node that is not in the lists, or where a file in it is packed: it would
    take more memory than the bytes tell."""
    with zipfile.ZipFile(io.BytesIO(data)) as held:
        if any(file.compress_type != zipfile.ZIP_STORED or file.file_size > len(data) for file in held.infolist()):
            raise Unsound("a file in it is packed")
        schema = json.loads(held.read("schema.json"))
    for node in _nodes(schema):
        kind = str(node.get("__module__")), str(node.get("__class__"))
        if kind not in TYPES or node["__loader__"] not in LOADERS:
            raise Unsound(f"{'.'.join(kind)} ({node['__loader__']}) is none of the types that are opened")


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if "__loader__" in found:
                yield found
            elif "__class__" in found or "__module__" in found:
                raise Unsound("a node names a type, and not how it is opened")
        if isinstance(found, (dict, list)):
            waiting += found.values() if isinstance(found, dict) else found


def _open_skops(data: bytes, features: int, threads: int) -> Any:
    made = skops_opened(data)
    check_estimator(made, features)
    return made


def _open_xgboost(data: bytes, features: int, threads: int) -> Any:
    check_xgboost(json.loads(data), features)
    made = import_module("xgboost").XGBClassifier(n_jobs=threads)
    made.load_model(bytearray(data))
    return made


class _LightGBM:
    """A booster with the probabilities that LGBMClassifier gives."""

    def __init__(self, data: bytes, threads: int) -> None:
        self._booster, self._threads = import_module("lightgbm").Booster(model_str=data.decode()), threads

    def predict_proba(self, x: np.ndarray) -> np.ndarray:
        """Of rows (N, F), (N, C)."""
        found = np.asarray(self._booster.predict(x, num_threads=self._threads))
        return np.stack([1.0 - found, found], axis=1) if found.ndim == 1 else found


def _open_lightgbm(data: bytes, features: int, threads: int) -> Any:
    check_lightgbm(data.decode("ascii"), features)
    return _LightGBM(data, threads)


def _save_lightgbm(estimator: Any) -> bytes:
    lines = estimator.booster_.model_to_string().split("\n")
    return "\n".join(line for line in lines if not line.startswith("tree_sizes=")).encode()  # it would be trusted


def _save_catboost(estimator: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        estimator.save_model(os.fspath(path), format="cbm")
        return path.read_bytes()


def _open_catboost(data: bytes, features: int, threads: int) -> Any:
    made = import_module("catboost").CatBoostClassifier()
    made.load_model(blob=data)
    if len(made.feature_names_) != features:
        raise Unsound(f"it takes {len(made.feature_names_)} features, and a row has {features}")
    return made


FORMS = {
    "xgboost": Form(lambda estimator: bytes(estimator.get_booster().save_raw("json")), _open_xgboost),
    "lightgbm": Form(_save_lightgbm, _open_lightgbm),
    "catboost": Form(_save_catboost, _open_catboost),
    "skops": Form(skops_saved, _open_skops),
    "mlp": Form(network_saved, network_opened),
}
