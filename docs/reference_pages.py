"""The pages of docs/reference that are made from the code: commands, spec, methods, data sets, networks.

They are written at each build and are not committed, so that none of them can be stale.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

from tailboard.harness.cli.app import app
from tailboard.harness.cli.descriptions.json_schema import is_axis, json_schema
from tailboard.harness.cli.descriptions.listings import LISTS, listing

ALWAYS = "its own defaults"
DEFAULTS = {  # where a preset, the network or the machine decides
    "network": "`wrn-28-10`; `resnet32` with the preset `ldam2019`",
    "training": "`preset: t5`; `preset: tables` of what learns from a table",
    "seeds": "`5`, the seeds 0 to 4",
    **dict.fromkeys(("resources", "tracking", "shots"), ALWAYS),
    "network.name": "required, or `estimator`",
    "network.weights.training": "`preset: t5`",
    "training.preset": "`t5`; `tables` of what learns from a table",
    "training.kind": "that of the network",
    "training.precision": "`float32`; `bfloat16` with a GPU",
}
SENTENCES = {  # above the table of what has no description of its own, or one that speaks of what no file holds
    "data": (
        "A data set and the long tail that is cut from it. `train_ratio` (rarest over most frequent) is 1 over "
        "`imbalance_factor`. With the profile `natural` a table, or data of your own, keep their own distribution. "
        "With a `total` the profile says how it is shared among the classes, so that every factor has as many images; "
        "of tables the `natural` one too. `majority` and `minority` are the images of each class of either half; the "
        "minority is the last C // 2 classes. `classes` are those that are left of the data set, each by its name or "
        "that of a superclass.\n\n"
        "Of data of your own (`name: folder:PATH`, `csv:FILE`, ...) `label`, `image`, `group`, `split` and `weight` "
        "name columns, `images` the folder of a csv's images, `size` the side that images are brought to. Of an image "
        "set `split` is one of its splits."
    ),
    "methods": (
        "A method by name, the values that differ from its defaults, and what differs in its training routine, such as "
        "a learning rate of its own. `plugin` is the file that registers it."
    ),
    "network.weights": "What a network is trained on first: data, a method and a routine of their own.",
    "network.weights.method": "A registered method, with the values that differ from its defaults.",
}


def write(folder: Path) -> None:
    """Write every page into ``folder``; one that has not changed keeps its time, so that a second build is quick."""
    folder.mkdir(exist_ok=True)
    pages = {"commands": commands(), "spec": spec()}
    pages |= {what: _listed(what) for what in LISTS if what != "specs"}
    for name, text in pages.items():
        path = folder / f"{name}.md"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def commands() -> str:
    """Each command: what it does, its arguments and options, and its examples."""
    blocks = [
        "# Commands\n",
        "Data goes to stdout, progress and errors to stderr. Exit codes: 0 all cells are complete; 1 bad usage or a",
        "bad spec; 2 some cells failed or are missing; 3 the protocol is violated or a verification failed;",
        "130 interrupted, and the same command goes on.",
    ]
    for name, command in _commands(typer.main.get_command(app), "tailboard"):
        blocks += [f"\n## {name}\n", _paragraphs(command.help), _parameters(command.params)]
        if command.epilog:
            examples = re.sub(r"^Examples?: ", "", command.epilog).split(" | ")
            blocks.append("\n".join(["```text", *examples, "```"]))
    return "\n".join(blocks) + "\n"


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    for word, inner in getattr(command, "commands", {}).items():
        if getattr(inner, "commands", None):
            yield from _commands(inner, f"{name} {word}")
        else:
            yield f"{name} {word}", inner


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(_escaped(" ".join(part.split())) for part in (text or "").split("\n\n"))


def _parameters(parameters: Iterable[Any]) -> str:
    rows = []
    for each in parameters:
        option = each.param_type_name == "option"
        names = ", ".join(each.opts) if option else (each.metavar or each.name)
        default = each.show_default if isinstance(each.show_default, str) else each.default
        shown = "" if default in (None, False, ()) or callable(default) else str(default)
        rows.append(
            (f"`{names.replace('|', chr(92) + '|')}`", _escaped(getattr(each, "help", "") or ""), _escaped(shown))
        )
    return _table(("argument or option", "meaning", "default"), rows) if rows else ""


def spec() -> str:
    """The fields of a spec's file, with types and defaults."""
    schema, whole = json_schema(), dict[str, tuple[str, set[str]]]()
    for path, mapping in sorted(mappings(schema), key=lambda each: (-len(each[1]["properties"]), each[0].count("."))):
        whole.setdefault(mapping.get("title", path), (path, set(mapping["properties"])))
    blocks = [
        "# The spec\n",
        "A spec is a YAML file of these fields. A list inside `data`, `methods`, `network` or `training` is an axis.",
        "A field that is not here is refused, with the nearest right word.",
    ]
    for path, mapping in mappings(schema):
        fields = mapping["properties"]
        first, known = whole[mapping.get("title", path)]
        if first != path:
            without = ", ".join(f"`{name}`" for name in sorted(known - set(fields)))
            blocks.append(f"\n## {path}\n\nThe fields of `{first}`" + (f", without {without}.\n" if without else ".\n"))
            continue
        rows = [(f"`{name}`", _type(field, schema), _default(path, name, mapping)) for name, field in fields.items()]
        described = SENTENCES.get(path) or mapping.get("description", "") if path else ""
        heading = [f"\n## {path}\n", described.replace("``", "`")] if path else []
        blocks += [*heading, "\n" + _table(("field", "type", "default"), rows)]
    return "\n".join(blocks) + "\n"


def mappings(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each mapping of a spec's file by the way to it, such as ``tune.parameters``; the file itself is the first.

    Args:
        schema: The JSON schema of the file.
    """
    waiting = [("", schema)]
    while waiting:
        path, mapping = waiting.pop(0)
        yield path, mapping
        inner = {name: _mapping_in(field, schema) for name, field in mapping["properties"].items()}
        waiting = [(f"{path}.{name}".lstrip("."), each) for name, each in inner.items() if each] + waiting


def _mapping_in(field: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    """The mapping with fields of its own that a field may be, or a list of; None where it is none."""
    if "$ref" in field:
        return _mapping_in(schema["$defs"][field["$ref"].rpartition("/")[2]], schema)
    if "properties" in field:
        return field
    inner = [*field.get("anyOf", ()), *filter(None, [field.get("items")])]
    return next(filter(None, (_mapping_in(each, schema) for each in inner)), None)


def _type(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """A type as a reader writes it: ``a whole number from 1``, ``"exp" or "step", or a list of these``."""
    if "$ref" in field:
        field = schema["$defs"][field["$ref"].rpartition("/")[2]]
    if is_axis(field):
        return f"{_type(field['anyOf'][0], schema)}, or a list of these"
    if "anyOf" in field:
        kinds = dict.fromkeys(_type(each, schema) for each in field["anyOf"] if each != {"type": "null"})
        return " or ".join(kinds)
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if isinstance(field.get("type"), list):
        return " or ".join(_type({"type": kind}, schema) for kind in field["type"])
    if field.get("type") == "array":
        return f"a list of: {_type(field['items'], schema)}"
    names = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "`true` or `false`"}
    bounds = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
    limits = [f" {word} {field[name]}" for name, word in bounds.items() if name in field]
    return names.get(field.get("type", ""), "a mapping") + "".join(limits)


def _default(path: str, name: str, mapping: dict[str, Any]) -> str:
    field, way = mapping["properties"][name], f"{path}.{name}".lstrip(".")
    if way in DEFAULTS or name in mapping.get("required", ()):
        return DEFAULTS.get(way, "required")
    first = field["anyOf"][0] if is_axis(field) and "default" not in field else field
    if "default" not in first:
        return "that of the preset" if path == "training" else "none"
    return f"`{json.dumps(first['default'])}`" if first["default"] not in (None, "", [], {}) else "none"


def _listed(what: str) -> str:
    """What ``tailboard list`` says."""
    facts, _ = listing(what)
    if what != "methods":
        names = list(facts[0])
        rows = [[_escaped(str(fact.get(name, ""))) for name in names] for fact in facts]
        title = {"datasets": "Data sets"}.get(what, what.capitalize())
        return f"# {title}\n\nMade from `tailboard list {what}`.\n\n{_table(names, rows)}\n"
    blocks = [
        "# Methods\n\nMade from `tailboard list methods`; `A + B` is the sum of two. Costs are in ERM-steps a step.\n"
    ]
    for fact in facts:
        blocks += [
            f"## {fact['name']}\n",
            f"{_escaped(fact['description'])}. {_escaped(fact['source'])}; cost {fact['cost']:g}.\n",
        ]
        rows = [
            (f"`{v['name']}`", f"`{v['default']}`", _escaped(v["range"]), _escaped(v["source"])) for v in fact["values"]
        ]
        blocks.append(
            _table(("hyperparameter", "default", "range of a search", "where the default is from"), rows)
            if rows
            else ""
        )
    return "\n".join(blocks) + "\n"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def _escaped(text: str) -> str:
    return re.sub(r"([\\|<>\[\]*_$])", r"\\\1", text)
