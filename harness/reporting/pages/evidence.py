"""What stands behind each row of a report, from the records: what was classified rightly, where, and how to train it
again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from math import fsum, inf, isfinite
from shlex import quote
from typing import Any

import yaml

from ....datasets.builtin import catalog
from ....leaderboard.html.model import Evidence
from ...errors import StoreError
from ...metrics.shots import class_groups
from ...spec.labels import label
from ...spec.presets import PRESETS_OF
from ...spec.schema import PROTOCOL, Shots, Trial, prerequisites
from ...spec.training import AnyTraining
from ...spec.user_files.weights_file import network_words
from ...spec.yaml_format import Dumper
from ...storage.reader import StoreReader
from ...storage.record import Record, Weights

READERS = 8  # at a time: a bucket answers slowly, and to many at once


def evidence(
    stores: Sequence[StoreReader],
    keys: Iterable[str],
    by: Shots | None = None,
    sources: Mapping[str, int] | None = None,
    weights: Weights = "last_ema",
) -> dict[str, Evidence]:
    """What the stores' records tell of trials.

    Args:
        stores: Where they are.
        keys: Of the trials. One without a record, or with a damaged one, is left out: the rows have said so already.
        by: How the report counts its groups, as :func:`gather.gather` is given it.
        sources: Of which store a trial is, where it is not the first.
        weights: Those whose hits are counted.

    Returns:
        The evidence, by key.
    """
    evidences: dict[str, Evidence] = {}
    keys, numbers = list(keys), sources or {}
    for number, store in enumerate(stores):
        shots, finished = by or store.plans()[0].shots, store.finished()
        of_store = [key for key in keys if key in finished and numbers.get(key, 0) == number]
        with ThreadPoolExecutor(READERS) as readers:
            about = (repeat(each) for each in (shots, weights, finished))
            read = zip(of_store, readers.map(_evidence, repeat(store), of_store, *about), strict=True)
            evidences |= {key: evidence for key, evidence in read if evidence}
    return evidences


def _evidence(store: StoreReader, key: str, by: Shots, weights: Weights, finished: set[str]) -> Evidence | None:
    try:
        record = store.record(key)
    except (StoreError, FileNotFoundError):
        return None
    data = record.trial.data
    known = data.contents or catalog().get(data.name)
    names = data.classes or (known.classes if known else ())
    starts = _starts(store, record, finished)
    accuracy = record.accuracy.get(weights, ()) if record.status == "complete" else ()
    tested = len(accuracy) == len(record.test_counts) == len(record.counts)
    return Evidence(
        counts=record.counts,
        tests=record.test_counts,
        right=tuple(round(a * n / 100) for a, n in zip(accuracy, record.test_counts, strict=True)) if tested else (),
        classes=names if len(names) == len(record.counts) else (),
        groups=class_groups(record.counts, by) if record.counts else (),
        facts=_facts(record.environment),
        values=record.values,
        rerun=rerun(record.trial, str(record.environment.get("device", ""))),
        log=record.log,
        course=_course(record),
        finished=record.finished,
        starts="; ".join(f"{words} ({seconds:.1f} s)" for words, seconds in starts.items()),
        start_seconds=fsum(starts.values()),
        confusion=record.confusion if accuracy and weights == "last_ema" else "",
        curve=_curve(store, record),
    )


def _starts(store: StoreReader, record: Record, finished: set[str]) -> dict[str, float]:
    """The trials whose networks a trial started from, in words, as far as the store has them, with their seconds of
    training. No plugin is run, so none is known of its methods."""
    from ....methods.part import MethodError  # imports torch, as the next does
    from ...registry.methods import recipe_of

    if record.trial.method.plugin:
        return {}
    try:
        starts = prerequisites(record.trial, recipe_of(record.trial, {}).needs())
        return {label(start): store.result(start.key).train_seconds for start in starts if start.key in finished}
    except (MethodError, StoreError):  # a method of another version of ours; a record that is damaged
        return {}


def _facts(environment: dict[str, Any]) -> dict[str, str]:
    """The environment in words, one for each thing."""
    flat = {name: value for name, value in environment.items() if not isinstance(value, dict) and value != ""}
    packages = environment.get("packages")
    if isinstance(packages, dict):
        flat["packages"] = ", ".join(f"{name} {version}" for name, version in packages.items())
    return {name.replace("_", " "): str(value) for name, value in flat.items()}


def _course(record: Record) -> str:
    words = [f"{record.started} to {record.finished}" if record.started else record.finished]
    words += [f"{record.epochs} epochs"] if record.trial.training.learner != "estimator" else []
    words += [f"{record.wall_seconds:.1f} s in all"]
    words += [f"{record.attempts} attempts"] if record.attempts > 1 else []
    return ", ".join(filter(None, words))


def _curve(store: StoreReader, record: Record) -> tuple[tuple[int, float], ...]:
    """The training loss of each epoch, as far as the store holds it beside the record."""
    try:
        arrays = store.arrays(record.key, "history_")
        epochs, losses = arrays["history_epoch"], arrays["history_loss"]
    except (StoreError, FileNotFoundError, KeyError):
        return ()
    if epochs.ndim != 1 or epochs.shape != losses.shape:
        return ()  # not written by us
    points = zip(epochs.tolist(), losses.tolist(), strict=True)
    return tuple((int(epoch) + 1, loss) for epoch, loss in points if isfinite(loss))


def rerun(trial: Trial, device: str = "cpu") -> tuple[str, str]:
    """The command that trains a trial again, as the texts before and after its seed: one line for a POSIX shell.

    It writes a spec of this trial alone, whose key is the same, and runs it into a store of its own. A plugin's file
    must lie beside it, under the name that the spec gives.
    """
    spec = _spec(trial, device) | {"seeds": [0]}
    text = yaml.dump(spec, Dumper=Dumper, default_flow_style=True, width=inf, sort_keys=False)
    before, _, after = text.strip().rpartition("[0]")
    command = f"printf '%s\\n' {quote(f'{before}[]{after}')} > again.yaml && tailboard run again.yaml"
    before, _, after = command.rpartition("[]")
    other = "" if trial.protocol == PROTOCOL else f"  # with a tailboard of protocol {trial.protocol}"
    return f"{before}[", f"]{after}{other}"


def _spec(trial: Trial, device: str) -> dict[str, Any]:
    base = trial.base or trial.training
    method: dict[str, Any] = {"name": trial.method.name}
    if trial.method.values:
        method["values"] = trial.method.values
    if trial.method.plugin:
        method["plugin"] = f"plugin-{trial.method.plugin[:8]}.py"
    routine = {name: value for name, value in _words(trial.training).items() if value != getattr(base, name)}
    gpu = {"gpu": 1} if device == "cuda" else {}
    return {
        "name": "again",
        "data": [{name: value for name, value in trial.data.model_dump().items() if value is not None}],
        "methods": [method | ({"training": routine} if routine else {})],
        "network": network_words(trial.network, trial.network_values, trial.weights),
        "training": _routine(base, "bfloat16" if gpu else "float32"),
        "resources": {"cpu": trial.threads, **gpu},
    }


def _words(training: AnyTraining) -> dict[str, Any]:
    return {field: getattr(training, field) for field in type(training).model_fields}


def _routine(training: AnyTraining, precision: str) -> dict[str, Any]:
    """The routine in the fewest words: the preset that it is nearest to, and what differs."""
    fields = {name: field.get_default() for name, field in type(training).model_fields.items()}
    defaults = {name: {"precision": precision} | preset for name, preset in PRESETS_OF[training.learner].items()}
    words = [
        {"preset": name}
        | {field: value for field, value in _words(training).items() if value != preset.get(field, fields[field])}
        for name, preset in defaults.items()
    ]
    return min(words, key=len)
