"""From a tuned spec to a plain one with the values that were found, which anyone can read, edit and run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from ...leaderboard.shown_setting import shown_setting
from ...methods.ensemble_names import OWN
from ..errors import SpecError
from ..spec.labels import examples_of, method_label, setting_label
from ..spec.schema import Spec, Value
from ..spec.training import kind_of, name_of
from ..spec.user_files.weights_file import network_words
from ..spec.yaml_format import Dumper
from ..text import table
from ..tuning.plan_rows import PlanRow, plan_rows
from ..tuning.results import SearchResult

Row = PlanRow[SearchResult]

WRITTEN = "# Written by tailboard tune"


@dataclass(frozen=True)
class TunedSpec:
    """A spec, what its searches have come to, and the settings (data, network with its values, training) that it
    holds."""

    spec: Spec
    results: Mapping[str, SearchResult]  # by the canonical text of their rows

    @property
    def unfinished(self) -> bool:
        """Whether a search is still to be gone on with."""
        return not all(result.finished for result in self.results.values())

    @property
    def failed(self) -> bool:
        """Whether a search has no winner."""
        return any(result.winner is None for result in self.results.values())

    @property
    def table(self) -> str:
        """A line for each row: its values, or why there are none."""
        return table([_line(row) for row in self.rows])

    @cached_property
    def rows(self) -> list[Row]:
        """Its rows, each with what its search has come to."""
        return list(plan_rows(self.spec, self.results))

    def settings(self) -> list[list[Row]]:
        """The rows of each setting: values were found for each, so each has a spec of its own. What was found of a
        network is part of it, since all methods of a spec share its networks."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            own = row.experiment
            network = f"{own.network} {sorted(_network_values(row).items())} {own.weights}"
            groups.setdefault(f"{own.data.canonical} {network} {own.training.canonical}", []).append(row)
        return list(groups.values())

    def network(self, row: Row) -> str | dict[str, Any]:
        """The network of a row as a spec names it. An ensemble, which brings its own estimator, stands under the first
        of the spec that is for tables, as it is: it has the same trials under each."""
        own = row.experiment
        if own.network == OWN:
            return next(name_of(network) for network in self.spec.networks if kind_of(network) != "images")
        return network_words(own.network, _network_values(row), own.weights)


def _changed_values(row: Row) -> dict[str, Value]:
    """What was found of a row and is not its own already; nothing where nothing was found."""
    return row.found.search.changed_values(row.found.winner) if row.found and row.found.winner else {}


def _network_values(row: Row) -> dict[str, Value]:
    """What differs from the defaults of a row's network, by the spec and by what was found."""
    return (row.experiment.network_values or {}) | _of("network", _changed_values(row))


def require_tune(spec: Spec) -> None:
    """SpecError where there is nothing to tune."""
    if spec.tune is None:
        raise SpecError(f"{spec.name} has no block tune, so there is nothing to tune; see tailboard run {spec.name}")


def output_path(spec: Spec, output: Path | None) -> Path:
    """Where the new spec goes.

    Args:
        spec: What is tuned.
        output: What the user named, or None.

    Returns:
        The path; NAME-tuned.yaml where none was named.

    Raises:
        SpecError: where there is nothing to tune, or no folder for it.
    """
    require_tune(spec)
    goal = output or Path(f"{spec.name}-tuned.yaml")
    if not goal.parent.is_dir():
        raise SpecError(f"--output: there is no folder {goal.parent}")
    if goal.exists() and (goal.is_dir() or not goal.read_bytes().startswith(WRITTEN.encode())):
        raise SpecError(f"--output: {goal} is there and is no tuned spec; name another file")
    return goal


def save(tuned: TunedSpec, goal: Path) -> list[Path]:
    """Write what was found as specs.

    Args:
        tuned: The spec with what its searches found.
        goal: The path of the spec; where there are several, each gets a number.

    Returns:
        The paths: one spec for each setting in which values were found, and the plugins that they name, beside them.

    Raises:
        SpecError: where another file is in the way.
    """
    settings, specs = tuned.settings(), dict[Path, str]()
    for number, rows in enumerate(settings, start=1):
        path = goal if len(settings) == 1 else goal.with_stem(f"{goal.stem}-{number}")
        if text := _text(tuned, rows, path.stem):
            specs[path] = text
    if not specs:
        return []
    texts = specs | {goal.parent / _plugin(digest): text for digest, text in tuned.spec.plugins.items()}
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise SpecError(f"{path} is there and holds something else; name another file with --output")
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(specs)


def _plugin(digest: str) -> str:
    return f"method-{digest[:12]}.py"


def _line(row: Row) -> dict[str, Any]:
    trial, result = row.first, row.found
    line = {
        "data": trial.data.title,
        "long tail": shown_setting(setting_label(trial.data)),
        "method": method_label(trial),
    }
    if result is None:
        return line | {"values": row.not_tried or "nothing to tune", "trials": 0, "validation": ""}
    if result.winner is None or not result.finished:
        return line | {"values": result.unfinished_reason, "trials": result.ended, "validation": ""}
    words = [
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in _changed_values(row).items()
    ]
    values, validation = ", ".join(words) or "the defaults", f"{result.winner.value:.1f}"
    return line | {"values": values, "trials": result.ended, "validation": validation}


def _text(tuned: TunedSpec, rows: Sequence[Row], name: str) -> str:
    """The spec of one setting; nothing where no row has values."""
    spec, first = tuned.spec, rows[0].experiment
    methods = [entry for row in rows for entry in _entries(row)]
    if not methods:
        return ""
    raw = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:100] or "tuned",
        "data": [first.data.model_dump(exclude_defaults=True)],
        "methods": methods,
        "network": tuned.network(rows[0]),
        "training": {"preset": "tables"} if first.training.learner == "estimator" else first.training.model_dump(),
        "seeds": list(spec.seeds),
        "resources": spec.resources.model_dump(),
        "tracking": spec.tracking.model_dump(exclude_none=True),
        "shots": spec.shots.model_dump(),
    }
    about = [
        f"{WRITTEN} {spec.name}: each method at the values that were found on validation {examples_of([spec])}.",
        "# A method that is not mentioned here had nothing to tune.",
        *_comments(rows),
    ]
    head = "".join(f"{' '.join(line.split())}\n" for line in about)
    return head + yaml.dump(raw, Dumper=Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)


def _of(slot: str, values: Mapping[str, Value]) -> dict[str, Value]:
    """Those of the values that are of the network or the routine, under their names there."""
    return {name.removeprefix(f"{slot}."): value for name, value in values.items() if name.startswith(f"{slot}.")}


def _entries(row: Row) -> Iterator[dict[str, Any]]:
    """The row as a spec names it; nothing of a row whose every trial failed, or that is not tried."""
    if row.not_tried or (row.found and row.found.winner is None):
        return
    changed = _changed_values(row)
    of_method = {n: value for n, value in changed.items() if n.partition(".")[0] not in ("training", "network")}
    entrant = row.experiment.entrant
    entry = {
        "name": entrant.name,
        "values": entrant.values | of_method,
        "training": entrant.training | _of("training", changed),
        "plugin": _plugin(entrant.plugin) if entrant.plugin else None,
    }
    yield {name: value for name, value in entry.items() if value}


def _comments(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        result, name = row.found, json.dumps(row.experiment.entrant.name)
        if result and result.winner:
            defaults, best = result.configurations[0], result.winner
            complete = defaults.state == "complete"
            before = f"{defaults.value:.1f} at the defaults" if complete else f"defaults {defaults.state}"
            number, metric = f"trial {best.number + 1} of {result.ended}", result.search.tune.metric
            yield f"# {name}: {number}, {metric} {best.value:.1f} ({before})"
        elif why := result.unfinished_reason if result else row.not_tried:
            yield f"# {name}: left out; {why}"
