"""Which trial of a store a model is made of: by the name of a method, or by a key."""

from __future__ import annotations

from dataclasses import dataclass

from ...methods.names import nearest
from ..errors import ModelError, StoreError
from ..planning.reported import merge_rows, report_rows, row_label
from ..spec.labels import Labels, label, setting_label
from ..spec.schema import PROTOCOL, Trial
from ..storage.reader import StoreReader
from ..tuning.results import search_results

SHOWN = 10  # rows or methods that an error names


@dataclass(frozen=True)
class Choice:
    """A complete trial, and the text of each plugin of its store."""

    trial: Trial
    plugins: dict[str, str]


def by_key(store: StoreReader, key: str) -> Choice:
    """The trial of a key. ModelError where the store has none that is complete."""
    plugins = {digest: text for spec in store.plans() for digest, text in spec.plugins.items()}
    try:
        record = store.record(key)
    except (FileNotFoundError, StoreError) as error:
        why = "" if isinstance(error, FileNotFoundError) else f" ({error})"
        raise ModelError(
            f"--key: {store} has no trial {key!r}{why}; tailboard report {store} --format csv lists the keys"
        ) from None
    _check(record.trial, record.status, record.reason, "--key")
    return Choice(record.trial, plugins)


def by_method(store: StoreReader, name: str) -> Choice:
    """The trial of a method's row at the first seed: none is chosen by its accuracy on the test images.

    The name is that of a row, with its values where the store has several of one method.

    Raises:
        ModelError: where no row or several have the name, or the row has no complete trial.
    """
    found: dict[tuple[str, str, str], list[Choice]] = {}
    methods: dict[str, str] = {}
    for spec in store.plans():
        rows = merge_rows(report_rows(spec, search_results(spec, store, importance=False)))
        labels = Labels([row.first.row for row in rows])
        for row in rows:
            shown, trial = row_label(row.first, labels), row.first.row
            methods[shown] = trial.method.name
            place = shown, f"{trial.data.name}, {setting_label(trial.data)}", labels.protocol(trial)
            known = [] if row.first.pending else [each.trial for each in row.each()]
            found.setdefault(place, []).extend(Choice(each, spec.plugins) for each in known)
    right = _named(name, methods)
    places = [place for place in found if place[0] in right]
    if len(places) > 1:
        rows = "; ".join(f"{', '.join(place)}: --key {_first(found[place])}" for place in places[:SHOWN])
        raise ModelError(f"--method: {name!r} is {len(places)} rows of {store}: {rows}")
    choices = [choice for choice in found[places[0]] if store.has(f"records/{choice.trial.key}.json")]
    if not choices:
        raise ModelError(f"--method: {places[0][0]} has no finished trial in {store} yet: the same run trains it")
    results = [(choice, store.result(choice.trial.key)) for choice in choices]
    best = next((choice for choice, result in results if result.status == "complete"), None)
    if best is None:
        _check(choices[0].trial, results[0][1].status, results[0][1].reason, "--method")
    assert best is not None  # noqa: S101  (for the type checker)
    _check(best.trial, "complete", "", "--method")
    return best


def _first(choices: list[Choice]) -> str:
    return choices[0].trial.key if choices else "(not known yet)"


def _named(name: str, methods: dict[str, str]) -> set[str]:
    """The labels of the rows that a name stands for: that of a row or, where no row has it, that of a method."""
    right = {shown for shown in methods if shown.casefold() == name.casefold()}
    right = right or {shown for shown, method in methods.items() if method.casefold() == name.casefold()}
    if not right:
        there = ", ".join([*methods][:SHOWN])
        raise ModelError(f"--method: the store has no row {name!r}{nearest(name, [*methods])}; it has {there}")
    return right


def _check(trial: Trial, status: str, reason: str, option: str) -> None:
    """ModelError where a trial has no network, or one that this version would not train again."""
    if status != "complete":
        raise ModelError(f"{option}: {label(trial)} is {status}" + (f": {reason}" if reason else ""))
    if trial.protocol != PROTOCOL:
        raise ModelError(
            f"{option}: {label(trial)} was trained under protocol {trial.protocol}, and this version trains under "
            f"protocol {PROTOCOL}, whose numbers are others: run its spec again"
        )
