"""Changes to a spec that are given on the command line: a changed spec is a plan of its own, under its own name."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from ..errors import SpecError
from ..text import listed
from .yaml_format import load

LONGEST_NAME = 80  # of one that is made
NO_OTHER_PLAN = ("name", "resources", "tracking", "figure")  # fields that say how a plan is run, not what is compared


@dataclass(frozen=True)
class SpecChanges:
    """What is changed of a spec.

    Args:
        fields: Each ``FIELD=VALUE``: the names of the way to a field with dots between them, and a value in YAML. In a
            list the field of each entry is changed.
        methods: Names with commas between them; those that the spec has keep its values.
        network: Its name.
        seeds: How many.
        name: The name of the changed spec; one is made of the changes if not given.
    """

    fields: Sequence[str] = ()
    methods: str | None = None
    network: str | None = None
    seeds: int | None = None
    name: str | None = None

    def applied(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Change a spec.

        Args:
            raw: What its file holds.

        Returns:
            What a file of the changed one would hold.

        Raises:
            SpecError: where a change is none, or its field cannot be reached.
        """
        changed = dict(raw)
        for words in self.fields:
            field, equals, value = words.partition("=")
            if not equals or not all(field.split(".")):
                raise SpecError(f"--set {words}: FIELD=VALUE is expected, such as training.epochs=60")
            changed = _with(changed, field.split("."), _value(words, value), words)
        if self.methods is not None:
            changed["methods"] = _chosen(changed.get("methods"), self.methods)
        changed |= {key: value for key in ("network", "seeds") if (value := getattr(self, key)) is not None}
        if self.name is not None:
            return changed | {"name": self.name}
        compared = [{k: v for k, v in each.items() if k not in NO_OTHER_PLAN} for each in (raw, changed)]
        return changed if compared[0] == compared[1] else changed | {"name": self._made_name(changed, compared[1])}

    def _made_name(self, changed: Mapping[str, Any], compared: Mapping[str, Any]) -> str:
        """The spec's own name and the changes in letters; a hash of all that is compared tells it from every other."""
        given = {"methods": self.methods, "network": self.network, "seeds": self.seeds}
        words = [*self.fields, *(f"{key}={value}" for key, value in given.items() if value is not None)]
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", "-".join([str(changed.get("name")), *words])).strip("-.")
        digest = hashlib.sha256(json.dumps(compared, sort_keys=True, default=str).encode()).hexdigest()
        return f"{readable[:LONGEST_NAME]}-{digest[:6]}"


def _value(words: str, text: str) -> Any:
    try:
        return load(text)
    except (yaml.YAMLError, RecursionError) as error:
        why = getattr(error, "problem", None) or error
        raise SpecError(f"--set {words}: the value is no YAML: {' '.join(str(why).split())}") from error


def _with(entry: Any, way: Sequence[str], value: Any, words: str) -> Any:
    """The entry with the field at the end of the way changed; of a list, each of its entries."""
    if not way:
        return value
    if isinstance(entry, list):
        return [_with(each, way, value, words) for each in entry]
    if isinstance(entry, str):  # a bare name
        entry = {"name": entry}
    if not isinstance(entry, Mapping | None):
        raise SpecError(f"--set {words}: there is no field {way[0]!r} in {entry!r}")
    entry = dict(entry or {})
    return entry | {way[0]: _with(entry.get(way[0]), way[1:], value, words)}


def _chosen(methods: Any, names: str) -> list[Any]:
    """The methods of these names, as the spec has them."""
    entries = methods if isinstance(methods, list) else [methods]
    chosen = []
    for name in listed(names):
        own = [entry for entry in entries if name in (entry, isinstance(entry, Mapping) and entry.get("name"))]
        chosen += own or [name]
    if not chosen:
        raise SpecError(f"--methods {names!r}: names with commas between them are expected")
    return chosen
