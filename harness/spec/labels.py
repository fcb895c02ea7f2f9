"""The words for a trial in tables and messages: its method, its setting, its protocol."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .schema import Data, Pretraining, Spec, Trial
from .user_files.contents import Contents


def method_label(trial: Trial) -> str:
    """The method's name, with the values that were changed: ``Focal Loss (loss.gamma=2)``."""
    values = ", ".join(f"{name}={value}" for name, value in trial.method.values.items())
    return f"{trial.method.name} ({values})" if values else trial.method.name


def setting_label(data: Data) -> str:
    """The long tail in words: ``IF 100``, ``step, IF 10, head 300``; of a user's images their size too, ``64x64``."""
    words = [] if data.profile == "exp" else [data.profile]
    if data.majority and data.minority:
        return f"majority {data.majority}, minority {data.minority}"
    factor = f"{data.imbalance_factor:g}"
    exact = float(factor) == data.imbalance_factor or data.profile == "natural"
    if data.profile != "natural" or data.contents:  # of the catalog's natural tables no word tells the factor
        words.append(f"IF {factor if exact else repr(data.imbalance_factor)}")
    words += [f"total {data.total}"] if data.total else []
    size = ["{2}x{1}".format(*data.contents.shape)] if isinstance(data.contents, Contents) else []
    return ", ".join(words + ([f"head {data.head}"] if data.head else []) + size)


def examples_of(specs: Iterable[Spec]) -> str:
    """What their data sets hold, for captions: ``images``, ``rows`` of tables, or ``examples`` where there are both."""
    kinds = {data.is_table for spec in specs for data in spec.data}
    return "examples" if len(kinds) > 1 else "rows" if kinds == {True} else "images"


def network_label(trial: Trial) -> str:
    """The network's or estimator's name, with the values that were changed, as in ``xgboost (max_depth=6)``, and the
    start of the SHA-256 of the weights that it starts from."""
    values = ", ".join(f"{name}={value}" for name, value in sorted((trial.network_values or {}).items()))
    name = f"{trial.network} ({values})" if values else trial.network
    return f"{name} from {weights_label(trial)}" if trial.weights else name


def learner_label(trial: Trial) -> str:
    """What learns: the method and the network that it trains."""
    return f"{method_label(trial)} on {network_label(trial)}"


def weights_label(trial: Trial) -> str:
    """What its network starts from: ``random``, the start of a file's SHA-256, or the method and the data of its
    pretraining, with its epochs."""
    start = trial.weights
    if isinstance(start, Pretraining):
        method = method_label(trial.model_copy(update={"method": start.method}))
        return f"{method} on {start.data.title}, {setting_label(start.data)}, {start.training.epochs} epochs"
    return start[:8] if start else "random"


def label(trial: Trial) -> str:
    """A trial in words: method, data set, setting and seed."""
    draws = ", independent draws" if trial.independent else ""
    return f"{method_label(trial)}, {trial.data.title}, {setting_label(trial.data)}, seed {trial.seed}{draws}"


class Labels:
    """Words for the protocol and the method of each trial. All that differs among the trials is told, so that no two
    of one seed stand in one cell, whatever plans and stores they come from."""

    def __init__(self, trials: Iterable[Trial]) -> None:
        routines, versions, fused = {}, {}, {}
        for trial in trials:
            routines.setdefault(_routine(trial), trial)
            versions.setdefault(method_label(trial), set()).add(trial.method.plugin)
            fused.setdefault((method_label(trial), network_label(trial)), set()).add(trial.fused)
        fields = {routine: _fields(trial) for routine, trial in routines.items()}
        words = dict.fromkeys(["epochs", *_OWN, *(name for values in fields.values() for name in values)])
        differ = [n for n in words if len({str(f[n]) for f in fields.values() if n in f}) > 1]
        tell = dict.fromkeys(["epochs", *differ])
        self._protocols = {
            routine: [f"{values[n]} epochs" if n == "epochs" else f"{n} {values[n]}" for n in tell if n in values]
            for routine, values in fields.items()
        }
        self._versions = {label for label, plugins in versions.items() if len(plugins) > 1}
        self._differently_fused = {labels for labels, seeds in fused.items() if len(seeds) > 1}

    def protocol(self, trial: Trial) -> str:
        """The network and the training of a trial in words, as far as they differ among the labelled trials."""
        return ", ".join([network_label(trial), *self._protocols[_routine(trial)]])

    def method(self, trial: Trial) -> str:
        """The method's label, with the start of its file's SHA-256 where two versions of a plugin are compared, and the
        fused seeds where these are compared with others, or with seeds trained alone."""
        label = method_label(trial)
        fused = (label, network_label(trial)) in self._differently_fused and trial.fused
        words = f"{label} [{(trial.method.plugin or 'built in')[:8]}]" if label in self._versions else label
        return f"{words} [seeds {', '.join(map(str, trial.fused or ()))} fused]" if fused else words


_OWN = ("threads", "val_per_class", "stage", "protocol")  # of a trial, beside its training


def _routine(trial: Trial) -> tuple[str | int, ...]:
    return trial.training.canonical, *(getattr(trial, name) for name in _OWN)


def _fields(trial: Trial) -> dict[str, Any]:
    return trial.training.model_dump(exclude={"kind"}) | {name: getattr(trial, name) for name in _OWN}
