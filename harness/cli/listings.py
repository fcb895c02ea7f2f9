"""Words and tables for the terminal, and the same facts for ``--json``: pure functions, nothing is printed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from tabulate import tabulate

from ...datasets.catalog import Dataset, catalog
from ...methods.plugin import load_plugin, read_plugin
from ...methods.recipe import Entry, registry
from ..monitoring.display import clock, places
from ..monitoring.watch import progress
from ..planning.reported import Tuned, planned, trials_of, tuned
from ..registry.networks import NETWORKS
from ..spec.labels import class_groups, method_label, setting_label
from ..spec.parser import read, shipped
from ..spec.schema import Shots, Spec, Trial
from ..storage.sqlite import address
from ..storage.store import STUDIES, Store, StoreError
from ..text import printable
from ..tracking.uri import masked, tracking_uri

LISTED = 20  # of the trials that run: a cluster may run hundreds


def table(rows: Sequence[dict[str, Any]]) -> str:
    # What a method or a record says may hold a terminal's control characters.
    rows = [{name: printable(str(value)) for name, value in row.items()} for row in rows]
    return tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True) if rows else "(none)"


def status_facts(store: Store) -> dict[str, Any]:
    """How far a store's plans are, the trials that did not end well, and where MLflow is."""
    plans = store.plans()
    found = {spec.name: tuned(spec, store) for spec in plans}
    shown = {one.key: one for spec in plans for one in planned(spec, found[spec.name])}.values()
    finished, broken = store.finished(), store.broken()
    started = store.names("checkpoints", ".pt")
    methods: dict[str, Counter[str]] = {}
    troubles, again = [], 0
    for one in shown:
        trial = one.trial
        state, reason = "failed" if one.failed else "missing", one.why or broken.get(trial.key, "")
        if trial.key in finished and not one.why:
            state, reason = _outcome(store, trial.key)
            again += state in ("failed", "diverged")
        elif trial.key in started:
            state = "started"
        methods.setdefault(method_label(trial), Counter())[state] += 1
        if reason:
            troubles.append(_trouble(trial, state, reason))
    beside = _beside(store, {one.trial.key for one in shown}, plans, found, broken)
    troubles += beside
    again += sum(trouble["state"] in ("failed", "diverged") for trouble in beside)
    return {
        "store": str(store),
        "planned": len(shown),
        "states": dict(sum(methods.values(), Counter())),
        "methods": {name: dict(states) for name, states in methods.items()},
        "troubles": troubles,
        "again": again,
        "studies": address(f"{store.root}/{STUDIES}") if store.local else f"{store}/{STUDIES}",
        "tuning": [line for one in found.values() for line in map(_search, one.values())],
        "mlflow": {
            "uri": masked(tracking_uri(plans[0], store)),
            "tracked": len(store.tracked() & finished),
            "finished": len(finished),
        },
        "run": _run(store),
    }


def _trouble(trial: Trial, state: str, reason: str, what: str = "") -> dict[str, Any]:
    where = ", ".join(filter(None, [trial.data.name, setting_label(trial.data), f"seed {trial.seed}", what]))
    return {"key": trial.key, "method": method_label(trial), "trial": where, "state": state, "reason": reason}


def _beside(
    store: Store,
    shown: set[str],
    plans: Sequence[Spec],
    found: Mapping[str, Mapping[str, Tuned]],
    broken: dict[str, str],
) -> list[dict[str, Any]]:
    """The troubles of trials that no row reports: tuning trials that the infrastructure broke (those that a method
    broke are the search's to tell), and trials that others start from."""
    tuning = {t.key: t for spec in plans for t in trials_of(spec, found[spec.name]) if t.stage == "tune"}
    troubles = [_trouble(tuning[key], "missing", broken[key], "tuning") for key in broken if key in tuning]
    for key in sorted(store.finished() - shown - tuning.keys()):
        state, reason = _outcome(store, key)
        if state in ("failed", "diverged"):
            troubles.append(_trouble(store.record(key).trial, state, reason, "others start from it"))
    return troubles


def _run(store: Store) -> dict[str, Any]:
    """What the store's driver tells, if one is at it."""
    told, driven, note = progress(store)
    return {"driven": driven, "note": note, "progress": told.model_dump(mode="json") if told else None}


def _search(one: Tuned) -> dict[str, Any]:
    states = Counter(c.state for c in one.configurations)
    best = f"{one.winner.value:.1f}" if one.winner and one.winner.value is not None else ""
    return {"search": one.search.name, "trials": one.search.tune.trials} | {
        state: states.get(state, 0) for state in ("complete", "pruned", "failed", "running")
    } | {one.search.tune.metric: best}  # fmt: skip


def _outcome(store: Store, key: str) -> tuple[str, str]:
    try:
        outcome = store.outcome(key)
    except (StoreError, FileNotFoundError) as error:
        return "damaged", f"{error}; the next run makes it again"
    return outcome.status, outcome.reason


def status_table(facts: dict[str, Any]) -> str:
    states = ("complete", "failed", "diverged", "damaged", "started", "missing")
    lines = [
        {"method": name} | {state: found.get(state, 0) for state in states} for name, found in facts["methods"].items()
    ]
    done = sum(facts["states"].get(state, 0) for state in ("complete", "failed", "diverged"))
    uri = facts["mlflow"]["uri"]
    text = f"{facts['store']}: {done} of {facts['planned']} trials are finished\n{_run_words(facts['run'])}\n"
    text += f"\n{table(lines)}"
    if facts["tuning"]:
        text += f"\n\n{table(facts['tuning'])}\nTo look at the searches: optuna-dashboard {quote(facts['studies'])}"
    if facts["troubles"]:
        go_on = f"tailboard run SPEC --store {quote(facts['store'])}"
        again = f"To run what failed or diverged again: {go_on} --retry-failed"
        text += f"\n\n{table(facts['troubles'])}\n{again if facts['again'] else f'To go on: {go_on}'}"
    text += f"\n\nMLflow has {facts['mlflow']['tracked']} of {facts['mlflow']['finished']} finished trials, at {uri}"
    if uri.startswith("sqlite:"):
        text += f"\nTo look at them: mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri {quote(uri)}"
    return text


def _run_words(run: dict[str, Any]) -> str:
    told = run["progress"]
    if told is None:
        return run["note"]
    elapsed = max(0.0, told["at"] - told["began"])
    words = [f"running: process {told['pid']} on {told['host']}, {clock({'elapsed': elapsed, 'left': told['left']})}"]
    words += [f"  {one['trial']}: {one['epoch']} of {one['epochs']} epochs" for one in told["running"][:LISTED]]
    more = len(told["running"]) - LISTED
    words += [f"  and {more} more"] if more > 0 else []
    return "\n".join(words + places(told))


def method_facts(plugins: Iterable[Path] = ()) -> list[dict[str, Any]]:
    entries = registry()
    for file in plugins:
        entries |= load_plugin(read_plugin(file))
    return [_method(entry) for entry in entries.values()]


def _method(entry: Entry) -> dict[str, Any]:
    values = [
        {
            "name": f"{slot}.{name}",
            "default": getattr(part, field.name),
            "range": str(field.metadata.get("search") or ""),
            "source": field.metadata.get("source", ""),
        }
        for slot, part in entry.recipe.parts().items()
        for name, field in part.hyperparameters().items()
    ]
    parts = {slot: type(part).__name__ for slot, part in entry.recipe.parts().items()}
    return {"name": entry.name, "description": entry.description, "source": entry.source, "cost": entry.cost,
            "parts": parts, "values": values}  # fmt: skip


def method_table(facts: list[dict[str, Any]]) -> str:
    blocks = []
    for method in facts:
        parts = ", ".join(f"{slot}: {part}" for slot, part in method["parts"].items()) or "none"
        head = f"{method['name']} - {method['description']}\n  {method['source']}; {method['cost']:g} ERM-steps a step"
        values = "\n".join("    " + line for line in table(method["values"]).splitlines())
        blocks.append(f"{head}\n  parts: {parts}" + (f"\n{values}" if method["values"] else ""))
    return "\n\n".join(blocks)


def dataset_facts() -> list[dict[str, Any]]:
    return [
        {"name": d.name, "classes": len(d.classes), "train": sum(d.available), "head": d.head,
         "shape": "x".join(map(str, d.shape)), "terms": d.terms, "description": d.description}
        for d in catalog().values()
    ]  # fmt: skip


def network_facts() -> list[dict[str, str]]:
    wide = {"name": "wrn-DEPTH-WIDTH", "description": "WideResNet, such as wrn-28-10"}
    return [{"name": name, "description": words} for name, (_, words) in NETWORKS.items()] + [wide]


def spec_facts() -> list[dict[str, Any]]:
    facts = []
    for name in shipped():
        spec = read(name)
        data = ", ".join(f"{d.name} ({setting_label(d)})" for d in spec.data)
        facts.append({"name": name, "data": data, "methods": len(spec.methods), "seeds": len(spec.seeds),
                      "network": ", ".join(spec.networks)})  # fmt: skip
    return facts


def profile_facts(dataset: Dataset, counts: Sequence[int], by: Shots | None) -> list[dict[str, Any]]:
    groups = class_groups(tuple(counts), by or Shots())
    return [
        {"class": label, "name": name, "images": n, "shots": group}
        for label, (name, n, group) in enumerate(zip(dataset.classes, counts, groups, strict=True))
    ]


def profile_table(facts: list[dict[str, Any]]) -> str:
    groups = Counter(line["shots"] for line in facts)
    shots = ", ".join(f"{group} {groups.get(group, 0)}" for group in ("many", "med", "few"))
    return f"{table(facts)}\n\n{sum(line['images'] for line in facts)} images; classes: {shots}"


LISTS = ("methods", "datasets", "networks", "specs")


def listing(what: str, plugins: Iterable[Path] = ()) -> tuple[list[dict[str, Any]], str]:
    """One of LISTS, as facts and as text."""
    if what == "methods":
        facts = method_facts(plugins)
        return facts, method_table(facts)
    facts = {"datasets": dataset_facts, "networks": network_facts, "specs": spec_facts}[what]()
    return facts, table(facts)
