"""The pages of docs/reference that are made from the code: commands, spec, methods, data sets, networks.

They are written at each build and are not committed, so that none of them can be stale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from tailboard.harness.cli.app import app
from tailboard.harness.cli.descriptions.listings import LISTS, listing
from tailboard.harness.spec import schema

WRITTEN = {"networks": "network", "trainings": "training"}  # a spec's word for what the model holds as a list
MADE = ("plugins", "protocol", "contents", "fused")  # never written in a spec
MODELS = ("Spec", "Data", "Method", "MethodEntry", "Training", "Tune", "Searched", "Resources", "Tracking", "Shots")


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
    """The fields of a spec's models, with types and defaults."""
    blocks = [
        "# The spec\n",
        "A spec is a YAML file of these fields. A list inside `data`, `methods`, `network` or `training` is an axis.",
        "A field that is not here is refused, with the nearest right word.",
    ]
    for name in MODELS:
        model: type[BaseModel] = getattr(schema, name)
        rows = [
            (f"`{WRITTEN.get(field, field)}`", f"`{_type(info.annotation)}`", _default(info))
            for field, info in model.model_fields.items()
            if field not in MADE
        ]
        described = (model.__doc__ or "").replace("\n    ", "\n").replace("``", "`")
        blocks += [f"\n## {name}\n", described, "\n" + _table(("field", "type", "default"), rows)]
    return "\n".join(blocks) + "\n"


def _type(annotation: Any) -> str:
    """A type as a reader writes it: ``int or None``, ``tuple[Data, ...]``, ``"exp" or "step"``."""
    if get_origin(annotation) is Annotated:
        return _type(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " or ".join(f'"{value}"' if isinstance(value, str) else str(value) for value in get_args(annotation))
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(map(_type, get_args(annotation)))
    if inner := get_args(annotation):
        return (
            f"{get_origin(annotation).__name__}[{', '.join('...' if each is ... else _type(each) for each in inner)}]"
        )
    return "None" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))


def _default(info: Any) -> str:
    if info.default is PydanticUndefined:
        return "required"
    if isinstance(info.default, BaseModel):
        return "its own defaults"
    return f"`{info.default!r}`"


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
