"""Which trial of a store a model is made of: by the name of a method, or by a key.

A store may be a stranger's, and a model is made by training: a plugin's code runs only where the user trusts it.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass

from ...methods.names import nearest
from ..errors import ModelError, Untrusted
from ..planning.reported import ReportRow, merge_rows, report_rows, row_label
from ..spec.labels import Labels, label, setting_label
from ..spec.schema import PROTOCOL, Trial
from ..storage import paths
from ..storage.reader import StoreReader
from ..tuning.results import search_results

SHOWN = 10  # rows or methods that an error names


@dataclass(frozen=True)
class Choice:
    """A complete trial, and the text of its method's plugin by its SHA-256, where it has one."""

    trial: Trial
    plugins: dict[str, str]


@dataclass(frozen=True)
class Trust:
    """The plugins whose code may run: those with one of the texts ``known``, or with ``every`` whatever there are."""

    known: Collection[str] = ()
    every: bool = False


NOBODY = Trust()


def by_key(store: StoreReader, key: str, trust: Trust = NOBODY) -> Choice:
    """The trial of a key.

    Args:
        store: Where it is.
        key: Its key.
        trust: Which plugins may run.

    Raises:
        ModelError: where the store has none that is complete.
        Untrusted: where its method is a plugin's, and may not run.
    """
    if key not in store.finished():
        raise ModelError(
            f"--key: {store} has no finished trial {key!r}; tailboard report {store} --format csv lists the keys"
        )
    return _checked(store, key, "--key", trust)


def by_method(store: StoreReader, name: str, trust: Trust = NOBODY) -> Choice:
    """The trial of a method's row at the first seed whose trial is complete: none is chosen by its test accuracy.

    Args:
        store: Where it is.
        name: That of a row, with its values where the store has several of one method.
        trust: Which plugins may run.

    Raises:
        ModelError: where no row or several have the name, or the row has no complete trial.
        Untrusted: where the method is a plugin's, and may not run.
    """
    specs = store.plans()
    rows = merge_rows(row for spec in specs for row in report_rows(spec, search_results(spec, store, importance=False)))
    labels = Labels(row.first.row for row in rows)
    shown = [row_label(row.first, labels) for row in rows]
    right = _named(name, {text: row.first.row.method.name for text, row in zip(shown, rows, strict=True)})
    rows = [row for text, row in zip(shown, rows, strict=True) if text in right]
    if len(rows) > 1:
        told = "; ".join(_told(row, labels) for row in rows[:SHOWN])
        raise ModelError(f"--method: {name!r} is {len(rows)} rows of {store}: {told}")
    first, keys, finished = rows[0].first, rows[0].keys, store.finished()
    ended = [key for key in keys if key in finished]
    if not ended:
        why = first.why or "the same run trains it"
        raise ModelError(f"--method: {row_label(first, labels)} has no finished trial in {store} yet ({why})")
    complete = [key for key in ended if store.result(key).status == "complete"]
    return _checked(store, (complete or ended)[0], "--method", trust)


def _told(row: ReportRow, labels: Labels) -> str:
    """A row with all that tells it from others, and the key of its first trial."""
    trial = row.first.row
    words = row_label(row.first, labels), trial.data.title, setting_label(trial.data), labels.protocol(trial)
    return f"{', '.join(words)}: --key {row.keys[0] or '(tuning is not finished)'}"


def _named(name: str, methods: dict[str, str]) -> set[str]:
    """The labels of the rows that a name stands for: that of a row or, where no row has it, that of a method."""
    right = {shown for shown in methods if shown.casefold() == name.casefold()}
    right = right or {shown for shown, method in methods.items() if method.casefold() == name.casefold()}
    if not right:
        there = ", ".join([*methods][:SHOWN])
        raise ModelError(f"--method: the store has no row {name!r}{nearest(name, [*methods])}; it has {there}")
    return right


def _checked(store: StoreReader, key: str, option: str, trust: Trust) -> Choice:
    """ModelError where a trial has no network, or one that this version would not train again; Untrusted where training
    it would run a plugin that nobody vouches for."""
    record = store.record(key)
    trial = record.trial
    if record.status != "complete":
        why = f": {record.reason}" if record.reason else ""
        raise ModelError(f"{option}: {label(trial)} is {record.status}{why}")
    if trial.protocol != PROTOCOL:
        raise ModelError(
            f"{option}: {label(trial)} was trained under protocol {trial.protocol}, and this version trains under "
            f"protocol {PROTOCOL}, whose numbers are others: run its spec again"
        )
    return Choice(trial, _plugin(store, trial, option, trust))


def _plugin(store: StoreReader, trial: Trial, option: str, trust: Trust) -> dict[str, str]:
    """The text of a trial's plugin by its SHA-256; empty where it has none."""
    digest = trial.method.plugin
    if not digest:
        return {}
    spec = next((spec for spec in store.plans() if digest in spec.plugins), None)
    if spec is None:
        raise ModelError(f"{option}: no plan of {store} holds the plugin of {label(trial)}, {digest}")
    if not trust.every and spec.plugins[digest] not in trust.known:
        place = shlex.quote(f"{store}/{paths.plan(spec.name)}")
        raise Untrusted(
            f"{option}: training {trial.method.name} would run code that the store brings, as you: plugin {digest[:8]}."
            f" Read it (jq -r '.plugins[]' {place}), then say --trust-plugins; or name your own copy with --plugin"
        )
    return {digest: spec.plugins[digest]}
