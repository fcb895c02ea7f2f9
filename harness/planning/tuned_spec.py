"""From a tuned spec to a plain one with the values that were found, which anyone can read, edit and run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import SpecError
from ..spec.labels import method_label, setting_label
from ..spec.schema import Experiment, Spec, experiments
from ..spec.yaml_format import Dumper
from ..storage.store import Store
from ..text import table
from ..tuning.results import SearchResult, search_results

WRITTEN = "# Written by tailboard tune"


@dataclass(frozen=True)
class TunedSpec:
    """A spec, what its searches have come to, and the settings (data, network, training) that it holds."""

    spec: Spec
    found: dict[str, SearchResult]

    @property
    def unfinished(self) -> bool:
        return not all(one.finished for one in self.found.values())

    @property
    def failed(self) -> bool:
        return any(one.winner is None for one in self.found.values())

    @property
    def table(self) -> str:
        """A line for each row: its values, or why there are none."""
        return table([_line(experiment, self.found.get(experiment.canonical)) for experiment in experiments(self.spec)])

    def settings(self) -> list[list[Experiment]]:
        """The rows of each setting: values were found for each, so each has a spec of its own."""
        groups: dict[str, list[Experiment]] = {}
        for experiment in experiments(self.spec):
            setting = f"{experiment.data.canonical} {experiment.network} {experiment.training.canonical}"
            groups.setdefault(setting, []).append(experiment)
        return list(groups.values())


def require_tune(spec: Spec) -> None:
    """SpecError where there is nothing to tune."""
    if spec.tune is None:
        raise SpecError(f"{spec.name} has no block tune, so there is nothing to tune; see tailboard run {spec.name}")


def output_path(spec: Spec, output: Path | None) -> Path:
    """Where the new spec goes. SpecError where there is nothing to tune, or no folder for it."""
    require_tune(spec)
    goal = output or Path(f"{spec.name}-tuned.yaml")
    if not goal.parent.is_dir():
        raise SpecError(f"--output: there is no folder {goal.parent}")
    if goal.exists() and (goal.is_dir() or not goal.read_bytes().startswith(WRITTEN.encode())):
        raise SpecError(f"--output: {goal} is there and is no tuned spec; name another file")
    return goal


def from_store(spec: Spec, store: Store) -> TunedSpec:
    return TunedSpec(spec, search_results(spec, store))


def save(filled: TunedSpec, goal: Path) -> list[Path]:
    """One spec for each setting in which values were found, beside it the plugins that it names. SpecError where
    another file is in the way."""
    settings = filled.settings()
    names = [goal] if len(settings) == 1 else [goal.with_stem(f"{goal.stem}-{i}") for i in range(1, len(settings) + 1)]
    found = {path: text for path, rows in zip(names, settings, strict=True) if (text := _text(filled, rows, path.stem))}
    if not found:
        return []
    texts = found | {goal.parent / _plugin(digest): text for digest, text in filled.spec.plugins.items()}
    for path, text in texts.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise SpecError(f"{path} is there and holds something else; name another file with --output")
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(found)


def _plugin(digest: str) -> str:
    return f"method-{digest[:12]}.py"


def _line(experiment: Experiment, found: SearchResult | None) -> dict[str, Any]:
    where = {
        "data": experiment.data.name,
        "long tail": setting_label(experiment.data),
        "method": method_label(experiment.trial(0)),
    }
    if found is None:
        return where | {"values": "nothing to tune", "trials": 0, "validation": ""}
    if found.winner is None or not found.finished:
        return where | {"values": found.unfinished_reason, "trials": found.ended, "validation": ""}
    changed = found.search.changed_values(found.winner)
    words = ", ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
                      for name, value in changed.items())  # fmt: skip
    return where | {"values": words or "the defaults", "trials": found.ended, "validation": f"{found.winner.value:.1f}"}


def _text(filled: TunedSpec, rows: Sequence[Experiment], name: str) -> str:
    """The spec of one setting; nothing where no row has values."""
    spec = filled.spec
    methods = [entry for experiment in rows for entry in _entries(experiment, filled.found.get(experiment.canonical))]
    if not methods:
        return ""
    first = rows[0]
    raw = {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:100] or "tuned",
        "data": [first.data.model_dump(exclude_defaults=True)],
        "methods": methods,
        "network": first.network,
        "training": first.training.model_dump(),
        "seeds": list(spec.seeds),
        "resources": spec.resources.model_dump(),
        "tracking": spec.tracking.model_dump(exclude_none=True),
        "shots": spec.shots.model_dump(),
    }
    about = [
        f"{WRITTEN} {spec.name}: each method at the values that were found on validation images.",
        "# A method that is not mentioned here had nothing to tune.",
        *_comments(rows, filled),
    ]
    head = "".join(f"{' '.join(line.split())}\n" for line in about)
    return head + yaml.dump(raw, Dumper=Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)


def _entries(experiment: Experiment, found: SearchResult | None) -> Iterator[dict[str, Any]]:
    """The row as a spec names it; nothing of a row whose every trial failed."""
    if found is not None and found.winner is None:
        return
    changed = found.search.changed_values(found.winner) if found and found.winner else {}
    own = {name: value for name, value in changed.items() if not name.startswith("training.")}
    routine = {name.removeprefix("training."): value for name, value in changed.items() if name not in own}
    entry = {"name": experiment.entrant.name}
    entry |= {"values": values} if (values := experiment.entrant.values | own) else {}
    entry |= {"training": training} if (training := experiment.entrant.training | routine) else {}
    yield entry | ({"plugin": _plugin(experiment.entrant.plugin)} if experiment.entrant.plugin else {})


def _comments(rows: Sequence[Experiment], filled: TunedSpec) -> Iterator[str]:
    for experiment in rows:
        found = filled.found.get(experiment.canonical)
        if found and found.winner:
            start, best = found.configurations[0], found.winner
            before = f"{start.value:.1f} at the defaults" if start.state == "complete" else f"defaults {start.state}"
            metric, tried = found.search.tune.metric, f"trial {best.number + 1} of {found.ended}"
            yield f"# {json.dumps(experiment.entrant.name)}: {tried}, {metric} {best.value:.1f} ({before})"
        elif found:
            yield f"# {json.dumps(experiment.entrant.name)}: left out; {found.unfinished_reason}"
