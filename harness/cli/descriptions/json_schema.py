"""The JSON schema of a spec's file, for editors: made from the models, in the words in which a spec is written."""

from __future__ import annotations

from typing import Any

from ....datasets.user_images.source import WORDS
from ....datasets.user_tables.source import WORDS as TABLE_WORDS
from ...spec.learners import FACTORY
from ...spec.presets import PRESETS_OF
from ...spec.schema import Data, MethodEntry, Resources, Shots, Spec, Tracking, Training, Tune
from ...spec.studies.figure_block import Figure

MADE = ("contents", "fused")  # fields that no file holds: they are found by reading the images, or the methods


def json_schema() -> dict[str, Any]:
    """Describe what a spec's file may hold; names of methods and data sets are not checked by it.

    Returns:
        A JSON schema of draft 2020-12.
    """
    definitions: dict[str, Any] = {}
    data = _axes(Data, definitions)
    ratio = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}  # read as the factor's inverse
    data["properties"] |= {"train_ratio": _one_or_many(ratio)}
    kinds = {word: "integer" if word == "size" else "string" for word in (*WORDS, *TABLE_WORDS)}
    data["properties"] |= {word: _one_or_many({"type": kind}) for word, kind in kinds.items()}
    routine = _axes(Training, definitions)
    training = {**routine, "properties": dict(routine["properties"])}
    presets = sorted({preset for presets in PRESETS_OF.values() for preset in presets})
    learners = [kind for kind in PRESETS_OF if kind != "images"]
    training["properties"] |= {"preset": _one_or_many({"enum": presets}), "kind": {"enum": learners}}
    method = _axes(MethodEntry, definitions)
    method["properties"] |= {"values": {"type": "object"}, "training": routine}
    network, name = _network(data, training), {"type": "string"}
    seeds = {"type": "integer", "minimum": 1}, {"type": "array", "items": {"type": "integer", "minimum": 0}}
    properties = {
        "name": Spec.model_json_schema()["properties"]["name"],
        "data": _one_or_many({"anyOf": [name, data]}),
        "methods": _one_or_many({"anyOf": [name, method]}),
        "network": _one_or_many({"anyOf": [name, network]}),
        "training": _one_or_many(training),
        "seeds": {"anyOf": list(seeds)},
    }
    for model in (Resources, Tracking, Shots, Tune):
        properties[model.__name__.lower()] = _closed(model, definitions)
    properties["figure"] = _figure(definitions)
    tune = properties["tune"]["properties"]
    parameters = _one_or_many({"anyOf": [name, tune["parameters"]["items"]]})
    names = [each["name"] for each in tune["parameters"]["default"]]
    tune |= {"parameters": {**parameters, "default": names}, "training": routine}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A spec of tailboard",
        "type": "object",
        "properties": properties,
        "required": ["name", "data", "methods"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _network(data: dict[str, Any], training: dict[str, Any]) -> dict[str, Any]:
    """A network by its name, or an estimator of an installed package by its module and class. What its weights are
    trained on first is one data set and one routine."""
    text, routine = {"type": "string"}, _without_axes(training)
    images = {name: field for name, field in routine["properties"].items() if name != "kind"}
    method = _mapping({"name": text, "values": {"type": "object"}}, "name")
    first = {
        "data": {"anyOf": [text, _without_axes(data)]},
        "method": {"anyOf": [text, method]},
        "training": {**routine, "properties": images | {"preset": {"enum": [*PRESETS_OF["images"]]}}},
    }
    factory = {"type": "string", "pattern": f"^{FACTORY.pattern.partition('@')[0]}$"}
    weights = {"anyOf": [text, _mapping(first, "data", "method")]}
    words = {"name": text, "estimator": factory, "weights": weights, "values": {"type": "object"}}
    either = {"oneOf": [{"required": ["name"]}, {"required": ["estimator"]}]}
    about = (
        "A network by name, and the weights that it starts from: a file, or what it is trained on first. Or a learner "
        "of tables with values that differ from its defaults; ``estimator`` is a classifier of an installed package, "
        "as ``module:class``."
    )
    return {**_mapping(words), **either, "description": about}


def _mapping(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


def _figure(definitions: dict[str, Any]) -> dict[str, Any]:
    """A word where several may stand is one of them, and a number a curve of that value."""
    figure, claim = _closed(Figure, definitions), definitions["FigureClaim"]
    words = {"type": ["string", "number"]}
    for name in ("better", "than"):
        claim["properties"][name] = _instead(claim["properties"][name], _one_or_many(words))
    fields = figure["properties"]
    several = {"group": fields["group"]["items"], "claims": {"$ref": "#/$defs/FigureClaim"}}
    fields |= {name: _instead(fields[name], _one_or_many(each)) for name, each in several.items()}
    fields["baseline"] = _instead(fields["baseline"], words)
    return figure


def _instead(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The new schema of a field, with the default of the old one."""
    return {**new, "default": old["default"]}


def _without_axes(schema: dict[str, Any]) -> dict[str, Any]:
    """The same where a field holds one value: what :func:`_one_or_many` made is undone."""
    fields = {name: field["anyOf"][0] if is_axis(field) else field for name, field in schema["properties"].items()}
    return {**schema, "properties": fields}


def is_axis(schema: dict[str, Any]) -> bool:
    """Whether a schema is of a value or a list of several."""
    first, *rest = schema.get("anyOf", [None])
    return rest == [{"type": "array", "items": first, "minItems": 1}]


def _closed(model: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """A model's own schema, whose parts are added to the definitions; what it does not name is refused."""
    schema = model.model_json_schema()
    definitions |= schema.pop("$defs", {})
    return {**schema, "additionalProperties": False}


def _axes(model: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    """The same where each field may be a list, which is an axis. A preset or a reader gives what is left out."""
    schema = _closed(model, definitions)
    fields = {name: _one_or_many(field) for name, field in schema["properties"].items() if name not in MADE}
    required = [name for name in schema.get("required", []) if name == "name"]
    return {**schema, "properties": fields, "required": required}


def _one_or_many(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [schema, {"type": "array", "items": schema, "minItems": 1}]}
