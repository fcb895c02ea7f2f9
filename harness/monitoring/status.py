"""``tailboard status``: how far a store is, what failed and why, as facts and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from shlex import quote
from typing import Any

from ...leaderboard.shown_setting import shown_setting
from ..errors import StoreError
from ..planning.reported import NOT_TRIED, reported_trials, searched_trials
from ..spec.labels import method_label, setting_label
from ..spec.schema import Trial
from ..storage import paths
from ..storage.sqlite import address
from ..storage.store import Store
from ..text import table
from ..tracking.uri import masked, tracking_uri
from ..tuning.results import SearchResult, search_results
from .display import addresses, clock
from .watch import progress

LISTED = 20  # of the trials that run: a cluster may run hundreds


def status_facts(store: Store) -> dict[str, Any]:
    """How far a store's plans are, the trials that did not end well, and where MLflow is."""
    plans = store.plans()
    results = {spec.name: search_results(spec, store, importance=False) for spec in plans}
    reported = [entry for spec in plans for entry in reported_trials(spec, results[spec.name])]
    every = {(entry.trial.key, entry.row.row_key, entry.pending): entry for entry in reported}.values()
    shown = [entry for entry in every if not entry.not_tried]
    finished, broken = store.finished(), store.broken()
    started = store.keys(paths.CHECKPOINTS)
    methods: dict[str, Counter[str]] = {}
    troubles, retryable = [], 0
    for entry in shown:
        trial = entry.trial
        state, reason = "failed" if entry.failed else "missing", entry.why or broken.get(trial.key, "")
        if trial.key in finished and not entry.why:
            state, reason = _outcome(store, trial.key)
            retryable += state in ("failed", "diverged")
        elif trial.key in started:
            state = "started"
        methods.setdefault(method_label(trial), Counter())[state] += 1
        if reason:
            troubles.append(_trouble(trial, state, reason))
    skipped = {entry.row.row_key: entry for entry in every if entry.not_tried}
    troubles += [
        _trouble(entry.trial, "not tried", entry.why.removeprefix(NOT_TRIED), entry.row.network)
        for entry in skipped.values()
    ]
    beside = _beside(store, {entry.trial.key for entry in shown}, results, broken)
    troubles += beside
    retryable += sum(trouble["state"] in ("failed", "diverged") for trouble in beside)
    return {
        "store": str(store),
        "planned": len(shown),
        "states": dict(sum(methods.values(), Counter())),
        "methods": {name: dict(states) for name, states in methods.items()},
        "troubles": troubles,
        "again": retryable,
        "studies": address(f"{store.root}/{paths.STUDIES}") if store.local else f"{store}/{paths.STUDIES}",
        "tuning": [line for searched in results.values() for line in map(_search, searched.values())],
        "mlflow": {
            "uri": masked(tracking_uri(plans[0], store)),
            "tracked": len(store.tracked() & finished),
            "finished": len(finished),
        },
        "run": _run(store),
    }


def _trouble(trial: Trial, state: str, reason: str, what: str = "") -> dict[str, Any]:
    seed = "" if state == "not tried" else f"seed {trial.seed}"
    where = ", ".join(filter(None, [trial.data.title, shown_setting(setting_label(trial.data)), seed, what]))
    return {"key": trial.key, "method": method_label(trial), "trial": where, "state": state, "reason": reason}


def _beside(
    store: Store,
    shown: set[str],
    results: Mapping[str, Mapping[str, SearchResult]],
    broken: dict[str, str],
) -> list[dict[str, Any]]:
    """The troubles of trials that no row reports: tuning trials that the infrastructure broke (those that a method
    broke are the search's to tell), and trials that others start from."""
    tuning = {t.key: t for searched in results.values() for t in searched_trials(searched) if t.stage == "tune"}
    troubles = [_trouble(tuning[key], "missing", broken[key], "tuning") for key in broken if key in tuning]
    for key in sorted(store.finished() - shown - tuning.keys()):
        with suppress(StoreError, FileNotFoundError):
            record = store.record(key)
            if record.status in ("failed", "diverged"):
                troubles.append(_trouble(record.trial, record.status, record.reason, "others start from it"))
    return troubles


def _run(store: Store) -> dict[str, Any]:
    """What the store's driver tells, if one is at it."""
    told, driven, note = progress(store)
    return {"driven": driven, "note": note, "progress": told.model_dump(mode="json") if told else None}


def _search(result: SearchResult) -> dict[str, Any]:
    states = Counter(c.state for c in result.configurations)
    best = f"{result.winner.value:.1f}" if result.winner and result.winner.value is not None else ""
    name = f"{result.search.label} [{result.search.identity[:12]}]"
    return {"search": name, "trials": result.search.tune.trials} | {
        state: states.get(state, 0) for state in ("complete", "pruned", "failed", "running")
    } | {result.search.tune.metric: best}  # fmt: skip


def _outcome(store: Store, key: str) -> tuple[str, str]:
    try:
        outcome = store.result(key)
    except (StoreError, FileNotFoundError) as error:
        return "damaged", f"{error}; the next run makes it again"
    return outcome.status, outcome.reason


def status_table(facts: dict[str, Any]) -> str:
    """:func:`status_facts` in words."""
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
        text += f"\n\n{table(facts['troubles'])}"
        if any(trouble["state"] != "not tried" for trouble in facts["troubles"]):
            text += f"\n{again if facts['again'] else f'To go on: {go_on}'}"
    text += f"\n\nMLflow has {facts['mlflow']['tracked']} of {facts['mlflow']['finished']} finished trials, at {uri}"
    if uri.startswith("sqlite:"):
        text += f"\nTo look at them: mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri {quote(uri)}"
    return text


def _epochs_words(one: dict[str, Any]) -> str:
    return "" if one["fit"] else f": {one['epoch']} of {one['epochs']} epochs"


def _run_words(run: dict[str, Any]) -> str:
    progress = run["progress"]
    if progress is None:
        return run["note"]
    elapsed = max(0.0, progress["at"] - progress["began"])
    times = clock({"elapsed": elapsed, "left": progress["left"]})
    words = [f"running: process {progress['pid']} on {progress['host']}, {times}"]
    words += [f"  {one['trial']}{_epochs_words(one)}" for one in progress["running"][:LISTED]]
    more = len(progress["running"]) - LISTED
    words += [f"  and {more} more"] if more > 0 else []
    return "\n".join(words + addresses(progress))
