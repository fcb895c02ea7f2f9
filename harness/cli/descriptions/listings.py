"""Facts and tables of methods, data sets, networks and shipped specs, for the terminal and for ``--json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....datasets.builtin import catalog
from ....datasets.catalog import Dataset
from ....datasets.files import folders_for
from ....datasets.user_images.image_sets import IMAGE_SETS
from ....datasets.user_images.near_duplicates import LACKING
from ....datasets.user_images.source import HINT
from ....datasets.user_tables.source import HINT as HINT_OF_TABLES
from ....leaderboard.shown_setting import shown_setting
from ....methods.names import nearest
from ...errors import SpecError
from ...metrics.definitions import DEFINITIONS
from ...metrics.shots import class_groups
from ...registry.network_names import NETWORKS
from ...spec.labels import setting_label
from ...spec.learners import ESTIMATORS, TABLE_NETWORKS, installed_estimators
from ...spec.parser import read, shipped
from ...spec.schema import Shots
from ...spec.training import name_of
from ...text import table

if TYPE_CHECKING:
    from ....methods.recipe import Entry


def method_facts(plugins: Iterable[Path] = ()) -> list[dict[str, Any]]:
    """The registered methods, and those of ``plugins``, with parts and values. MethodError where a plugin fails."""
    from ....methods.plugin import plugin_file
    from ....methods.registry import registry

    entries = registry()
    for file in plugins:
        entries |= plugin_file(file)[1]
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
    """:func:`method_facts` in words, a paragraph a method."""
    blocks = []
    for method in facts:
        parts = ", ".join(f"{slot}: {part}" for slot, part in method["parts"].items()) or "none"
        head = f"{method['name']} - {method['description']}\n  {method['source']}; {method['cost']:g} ERM-steps a step"
        values = f"\n{table(method['values'], indent='    ')}" if method["values"] else ""
        blocks.append(f"{head}\n  parts: {parts}{values}")
    return "\n\n".join(blocks)


def dataset_facts() -> list[dict[str, Any]]:
    """The data sets that are known: kind, classes, images, sizes, terms, and where each is or how to get it."""
    facts = [
        {"name": d.name, "kind": "table" if d.columns else "images of one size", "classes": len(d.classes),
         "train": sum(d.available), "test": sum(d.tested) or None, "head": d.head, "shape": "x".join(map(str, d.shape)),
         "terms": d.terms,
         "where": _where(d.name, f"tailboard data prepare {d.name}" if d.prepare else d.how or d.layout),
         "description": d.description}
        for d in catalog().values()
    ]  # fmt: skip
    facts += [
        {"name": s.name, "kind": "images of any size", "classes": len(s.classes), "train": s.images, "test": None,
         "head": None, "shape": s.size, "terms": s.terms, "where": _where(s.name, s.how), "description": s.description}
        for s in IMAGE_SETS.values()
    ]  # fmt: skip
    images = {"kind": "images of your own", "where": "wherever you say", "description": HINT}
    tables = {"kind": "tables of your own and of collections", "where": "wherever you say; tailboard data prepare NAME"}
    blank = dict.fromkeys(facts[0])
    return [
        *facts,
        blank | {"name": "folder:, csv:, npz:, hf:"} | images,
        blank | {"name": "csv:, parquet:, openml:, imblearn:", "description": HINT_OF_TABLES} | tables,
    ]


def _where(name: str, how: str) -> str:
    """The folder of that name in which data sets are looked for, where it holds something; else how to get it."""
    return next((str(place) for place in folders_for(name, None) if place.name == name and _holds(place)), how)


def _holds(folder: Path) -> bool:
    try:
        return next(folder.iterdir(), None) is not None
    except OSError:
        return False


def network_facts() -> list[dict[str, str]]:
    """The networks by name, each with a description."""
    wide = {"name": "wrn-DEPTH-WIDTH", "description": "WideResNet, such as wrn-28-10"}
    tables = {
        **TABLE_NETWORKS,
        **ESTIMATORS,
        **dict.fromkeys(sorted(installed_estimators()), "of an installed package"),
    }
    rows = [{"name": name, "description": f"{words} (tables)"} for name, words in tables.items()]
    return [{"name": name, "description": words} for name, words in NETWORKS.items()] + [wide, *rows]


def metric_facts() -> list[dict[str, str]]:
    """What ``list metrics --json`` prints: each metric, of what it is, what it is made from, its word in searches."""
    after = {"class": ":CLASS", "share": ":SHARE"}
    return [
        {"name": name + after.get(about.of, ""), "of": about.scope, "from": about.source,
         "tuned": f"val/{name}" if about.tuned else "", "description": about.text.format(of="named")}
        for name, about in DEFINITIONS.items()
    ]  # fmt: skip


def spec_facts() -> list[dict[str, Any]]:
    """The shipped specs: data, number of methods and seeds, networks."""
    facts = []
    for name in shipped():
        spec = read(name)
        data = ", ".join(f"{d.name} ({shown_setting(setting_label(d))})" for d in spec.data)
        facts.append({"name": name, "data": data, "methods": len(spec.methods), "seeds": len(spec.seeds),
                      "network": ", ".join(map(name_of, spec.networks))})  # fmt: skip
    return facts


def spec_text(kind: str, name: str) -> str:
    """The text of a shipped spec. SpecError where ``kind`` is another list, or there is none of that name."""
    if kind != "specs":
        raise SpecError(f"list {kind} {name}: only specs are printed by their names")
    if name not in shipped():
        raise SpecError(f"there is no shipped spec named {name!r}" + nearest(name, shipped()))
    return shipped()[name].read_text(encoding="utf-8")


def profile_facts(dataset: Dataset, counts: Sequence[int], by: Shots | None) -> list[dict[str, Any]]:
    """A fact for each class, from the largest: its label, name, training images or rows, and shots.

    Args:
        dataset: Whose names the classes have.
        counts: The training images or rows of each class, in the order of the classes.
        by: How Few, Med and Many are counted; None as a spec that says nothing of it.
    """
    groups, what = class_groups(tuple(counts), by or Shots()), "rows" if dataset.columns else "images"
    return [
        {"class": label, "name": name, what: n, "shots": group}
        for label, (name, n, group) in enumerate(zip(dataset.classes, counts, groups, strict=True))
    ]


def profile_table(facts: list[dict[str, Any]]) -> str:
    """:func:`profile_facts` as a table, with the sums below it."""
    groups = Counter(line["shots"] for line in facts)
    shots = ", ".join(f"{group} {groups.get(group, 0)}" for group in ("many", "med", "few"))
    what = "rows" if "rows" in facts[0] else "images"
    return f"{table(facts)}\n\n{sum(line[what] for line in facts)} {what}; classes: {shots}"


def images_table(facts: dict[str, Any]) -> str:
    """What ``data inspect`` prints."""
    lines = [
        f"{facts['name']}: {facts['images']} images of {len(facts['classes'])} classes",
        "",
        table(facts["classes"]),
    ]
    for topic in ("sizes", "modes"):
        lines.append(f"{topic}: " + ", ".join(f"{name} ({count})" for name, count in facts[topic].items()))
    if facts["ready"]:
        balanced = "balanced" if facts["balanced_test"] else "not balanced"
        lines.append(f"imbalance factor {facts['factor']:g}; the test set is {balanced}")
    for topic in ("copies", "conflicts", "leaks"):
        lines += [f"{topic}: {', '.join(names)}" for names in facts[topic]]
    lines += _near(facts)
    lines += [f"{facts['unreadable_files']} files cannot be used:", *facts["unreadable"]] if facts["unreadable"] else []
    lines += [*facts["notes"], *filter(None, [facts.get("validation")])]
    lines += [f"--metric {name}: {why}" for name, why in facts.get("metrics", {}).items()]
    lines.append("ready to be trained on" if facts["ready"] else f"not ready: {facts['reason']}")
    return "\n".join(lines)


def rows_table(facts: dict[str, Any]) -> str:
    """What ``data inspect`` prints of a table."""
    roles = ", ".join(f"{word} {facts[word]!r}" for word in ("label", "group", "split", "weight") if facts[word])
    balanced = "balanced" if facts["balanced_test"] else "not balanced"
    lines = [
        f"{facts['name']}: {facts['rows']} rows of {len(facts['classes'])} classes; {roles}",
        "",
        table(facts["classes"]),
        f"imbalance factor {facts['factor']:g}; the test set is {balanced}",
        "",
        table(facts["columns"]),
        "",
        f"test rows that repeat a training row: {facts['repeated']}, {facts['conflicting']} of another class",
        *facts["notes"],
        facts["validation"],
    ]
    lines += [f"--metric {name}: {why}" for name, why in facts["metrics"].items()]
    return "\n".join([*lines, "ready to be trained on"])


def _near(facts: dict[str, Any]) -> list[str]:
    if facts["near_duplicates"] is None:
        return [LACKING]
    of = "" if facts["looked_at"] == facts["images"] else f", of {facts['looked_at']:,} images that were looked at"
    lines = [f"groups of images that look alike: {facts['near_duplicate_groups']}{of}"]
    lines += [f"look alike: {', '.join(names)}" for names in facts["near_duplicates"]]
    lines += [f"of them in training and test images both: {facts['near_leak_groups']}"] * bool(facts["near_leaks"])
    return lines + [f"look alike, in training and test images: {', '.join(names)}" for names in facts["near_leaks"]]


LISTS = ("methods", "datasets", "networks", "metrics", "specs")


def listing(kind: str, plugins: Iterable[Path] = ()) -> tuple[list[dict[str, Any]], str]:
    """One of LISTS, as facts and as text."""
    if kind == "methods":
        facts = method_facts(plugins)
        return facts, method_table(facts)
    facts = {
        "datasets": dataset_facts, "networks": network_facts, "metrics": metric_facts, "specs": spec_facts,
    }[kind]()  # fmt: skip
    return facts, table(facts)
