"""One job in a worker's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

from .agenda import Job, is_done
from .spec import Trial
from .store import Store
from .trial import Drained, Setting, run_trial


def done(
    config: Mapping[str, Any],
    setting: Setting,
    report: Callable[[dict[str, float]], None],
    draining: Callable[[], bool],
) -> Literal["whole", "rung", ""]:
    """Train what ``config`` names, unless the store has it: a finished trial never runs again.

    What the store holds of it now: its record, only that of a rung, or nothing where it was drained.
    """
    trial, until = Trial.model_validate_json(config["trial"]), config["until"]
    store = Store(setting.store)
    if not is_done(Job(trial, until, keep=trial.key in setting.kept), store):
        try:
            run_trial(trial, replace(setting, alone=config["gpu"] >= 1), report, draining, until)
        except Drained:
            return ""
    return "whole" if store.has(f"records/{trial.key}.json") else "rung"
