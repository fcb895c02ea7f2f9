"""Searches whose spaces come from specs and whose outcomes are written by hand: nothing is trained."""

from dataclasses import replace

import pandas as pd

from tailboard.harness.reporting import tuning_tables
from tailboard.harness.reporting.report import Report
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import experiments, plan
from tailboard.harness.storage.record import Record
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.configuration import Configuration
from tailboard.harness.tuning.optuna_study import create_study, open_storage
from tailboard.harness.tuning.results import SearchResult
from tailboard.harness.tuning.search import Search, searches
from tailboard.leaderboard.results import COLUMNS
from tidy_rows import COMPLETE

NASTY = "<img src=x>|_$"
COUNTS = (60, 46, 35, 27, 21, 16, 12, 10, 7, 6)
SPEC = {
    "name": "t",
    "data": [{"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}],
    "methods": ["ERM", "Focal Loss"],
    "network": "small",
    "training": {"epochs": 4},
    "seeds": 2,
    "tune": {"trials": 4, "parameters": ["gamma"]},
}


def spec_of(tune=None, **changes):
    return parse(SPEC | changes | {"tune": SPEC["tune"] | (tune or {})})


def search_of(*words, **changes) -> Search:
    return next(iter(searches(spec_of(*words, **changes)).values()))


def configurations(search: Search, outcomes, shift=0.0) -> tuple[Configuration, ...]:
    """An outcome is the value of a finished trial, or its state, or "failed: reason". Each took 4 epochs, 9 s."""
    made = []
    for number, outcome in enumerate(outcomes):
        values = {n: d.default + (0.1 * number + shift if number else 0) for n, d in search.space.items()}
        state, _, reason = outcome.partition(": ") if isinstance(outcome, str) else ("complete", "", "")
        value = {"complete": outcome, "pruned": 99.0}.get(state)
        made.append(Configuration(number, values, state, value, 4, 9.0, reason))
    return tuple(made)


def line_of(
    outcomes, *, method="Focal Loss", importance=None, exhausted=False, search=None, **names
) -> tuning_tables.TunedRow:
    search = search or search_of({"trials": len(outcomes), "prune": len(outcomes) % 4 == 0})
    tuned = SearchResult(search, configurations(search, outcomes), importance or {}, exhausted)
    return tuning_tables.TunedRow(
        **{"dataset": "d", "setting": "IF 10", "protocol": "p", **names}, method=method, tuned=tuned
    )


def board_of(*lines) -> Report:
    common = {"key": "k", "seed": 0, "group": "all", "classes": 10, "value": 50.0}
    rows = [common | COMPLETE | line.names for line in lines]
    return Report(pd.DataFrame(rows, columns=list(COLUMNS)), [], [], lines)


# Stores


def records(spec, store, trials=None) -> None:
    save_searches(spec, searches(spec), store)
    store.write_plan(spec)
    for trial in plan(spec) if trials is None else trials:
        accuracy = tuple(10.0 * c + trial.seed for c in range(10))
        done = {"status": "complete", "counts": COUNTS, "accuracy": {"last_ema": accuracy}, "train_seconds": 3600.0}
        store.write_record(Record(key=trial.key, trial=trial, **done))
        store.mark_tracked(trial.key, {})


def searched(spec, store, outcomes, shift=0.0) -> list[Configuration]:
    """A plan in a store whose searches have all come to this."""
    save_searches(spec, searches(spec), store)
    store.write_plan(spec)
    with open_storage(store) as opened:
        for search in searches(spec).values():
            study = create_study(opened, search.name)
            found = study.generation(search.space, 0, len(outcomes), "random", search.seed + int(shift))
            for c, made in zip(found, configurations(search, outcomes), strict=True):
                if made.state != "running":
                    study.tell(replace(made, values=c.values), {})
            last = study.configurations()
    return last


def trained(spec, store, outcomes, shift=0.0) -> None:
    """The same, with the trials of the winner and of what is not searched."""
    best = max((c for c in searched(spec, store, outcomes, shift) if c.state == "complete"), key=lambda c: c.value)
    found = searches(spec)
    finals = [found[cell.canonical].reporting_trial(best, s) if cell.canonical in found else cell.trial(s)
              for cell in experiments(spec) for s in spec.seeds]  # fmt: skip
    records(spec, store, finals)
