"""What ``tailboard show`` prints: a method whole, as the source of its parts."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ....methods.part import Part
from ....methods.plugin import MODULE, plugin_file
from ....methods.recipe import Entry
from ....methods.registry import recipe, registry

ROOT = Path(__file__).resolve().parents[3]


def method_source(name: str, plugins: Iterable[Path] = ()) -> str:
    """A method as text that can be read from top to bottom.

    Args:
        name: A registered method, one of ``plugins``, or a sum of several.
        plugins: Files that register methods.

    Returns:
        Its description, paper and cost, then for each slot that it fills the file, the line and the class.

    Raises:
        MethodError: for an unknown name, with the nearest right word, or a plugin that fails.
    """
    texts: dict[str, str] = {}
    plugin_entries: dict[str, Entry] = {}
    for path in plugins:
        texts[str(path)], entries = plugin_file(path)
        plugin_entries |= entries
    parts = recipe(name, plugin_entries).parts()
    entry = (registry() | plugin_entries).get(name)
    about = [f"# {entry.description}", f"# {entry.source}; {entry.cost:g} ERM-steps a step"] if entry else []
    head = "\n".join([f"# {name}", *about])
    blocks = [
        f"# {slot}: {_where_and_source(kind, texts)}"
        for slot, part in parts.items()
        for kind in reversed(type(part).mro())  # what it inherits first
        if issubclass(kind, Part) and kind is not Part
    ]
    return "\n\n\n".join([head, *(blocks or ["# no slot is filled: the training routine alone"])])


def _where_and_source(part: type[Part], texts: Mapping[str, str]) -> str:
    if part.__module__.startswith(MODULE):
        for path, text in texts.items():
            for node in ast.parse(text).body:
                if isinstance(node, ast.ClassDef) and node.name == part.__name__:
                    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                    lines = text.splitlines()[first - 1 : node.end_lineno]
                    return "\n".join([f"{path}, line {first}", *lines])
    module = sys.modules.get(part.__module__)
    path = Path(getattr(module, "__file__", None) or next(iter(texts), part.__module__)).resolve()
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    try:
        lines, first = inspect.getsourcelines(part)
    except (OSError, TypeError):  # made by a call
        return f"{shown}, without a class statement\n{_declaration(part)}"
    return f"{shown}, line {first}\n{''.join(lines).rstrip()}"


def _declaration(part: type[Part]) -> str:
    """What the class statement would be of a part that was made by a call, as imbalanced-learn's adapters are."""
    values = {name: value for name, value in vars(part).items() if not name.startswith("_")}
    hyperparameters = {each.name: each for each in dataclasses.fields(part) if each.name in part.__annotations__}
    lines = [f"    {name} = {value!r}" for name, value in values.items() if name not in hyperparameters]
    lines += [
        f"    {name}: {each.type.__name__ if isinstance(each.type, type) else each.type} = {each.default!r}"
        for name, each in hyperparameters.items()
    ]
    bases = ", ".join(base.__name__ for base in part.__bases__)
    return "\n".join([f"class {part.__name__}({bases}):", *(lines or ["    pass"])])
