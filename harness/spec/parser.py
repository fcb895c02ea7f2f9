"""From a YAML file to a Spec, without torch. A list in the file is an axis; the plan is the product of the axes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ...datasets.user_images.source import HINT
from ...datasets.user_tables.source import HINT as HINT_OF_TABLES
from ...methods.names import nearest, nearest_sentence
from ...methods.text_file import read_text
from ..errors import SpecError, field
from .changes import SpecChanges
from .learners import learner_kind, with_factory
from .plugin_files import with_plugin_files
from .presets import NETWORK_OF, PRESETS, PRESETS_OF, full_name
from .resources import absolute
from .schema import PROTOCOL, Data, MethodEntry, Pretraining, Resources, Shots, Spec, Tracking, Training, Tune
from .studies.figure_block import Figure
from .training import MODELS, Kind, NetworkEntry, Routine, kind_of
from .user_files import user_images, weights_file
from .yaml_format import load

UNION = ("float", "int", "bool", "str")  # as pydantic names the kinds that a value may be of
MOST_SEEDS = 10_000
MOST_ENTRIES = 50_000  # of an axis: each is checked by itself

FIELDS = (
    "name", "data", "methods", "network", "training", "seeds", "resources", "tracking", "shots", "tune", "figure"
)  # fmt: skip
SPECS = Path(__file__).parent / "specs"


def read(
    source: str | Path, plugins: Iterable[Path] = (), changes: SpecChanges | None = None, root: Path | None = None
) -> Spec:
    """The spec in a file.

    Args:
        source: The file, or the name of a shipped spec.
        plugins: Python files whose methods are compared too.
        changes: What is changed of what the file says.
        root: The folder that holds image sets such as ``eurosat``.

    Returns:
        The spec.

    Raises:
        SpecError: with what is wrong and where. MethodError for what is wrong in a plugin.
    """
    path = find(str(source))
    try:
        raw = load(read_text(path))
        raw = changes.applied(raw) if changes and isinstance(raw, dict) else raw
        spec = parse(raw, path.parent, root) if isinstance(raw, dict) else None
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError:
        raise SpecError(f"{path} is nested too deeply") from None
    if spec is None:
        raise SpecError(f"{path} must hold a mapping with name, data and methods, not {type(raw).__name__}")
    return with_plugin_files(spec, plugins)


def shipped() -> dict[str, Path]:
    """The specs that come with the package, by name."""
    return {path.stem: path for path in sorted(SPECS.glob("*.yaml"))}


def parse(raw: Mapping[str, Any], folder: Path = Path(), root: Path | None = None) -> Spec:
    """A spec from its mapping.

    Args:
        raw: What a file would hold.
        folder: What the paths of plugin files are relative to.
        root: The folder that holds image sets such as ``eurosat``.

    Returns:
        The spec.

    Raises:
        SpecError: with the field and the nearest right word. MethodError for what is wrong in a plugin.
    """
    for key in raw:
        if key not in FIELDS:
            raise SpecError(f"unknown key {key!r}" + nearest(str(key), FIELDS))
        if raw[key] == [] or raw[key] is None:
            raise SpecError(f"{key}: nothing is said of it; leave the key out, or name something")
    for key in ("name", "data", "methods"):
        if not raw.get(key):
            raise SpecError(f"{key}: missing; a spec needs a name, data and methods")
    _check_size(raw)
    resources = _valid(Resources, raw.get("resources", {}), "resources")
    plugins: dict[str, str] = {}
    networks = _networks(raw, folder, root, resources)
    data = map(_whole_choice, _named(raw["data"], "data"))
    spec = {
        "name": raw["name"],
        "data": [parse_data(item, folder, root) for item in _axes(data, "data")],
        "methods": [_method(item, folder, plugins) for item in _axes(_named(raw["methods"], "methods"), "methods")],
        **networks,
        "trainings": _trainings(raw.get("training", {}), networks["networks"], resources),
        "seeds": _seeds(raw.get("seeds", 5)),
        "resources": resources,
        "tracking": _tracking(raw.get("tracking", {}), folder),
        "shots": _valid(Shots, raw.get("shots", {}), "shots"),
        "tune": _tune(raw["tune"]) if "tune" in raw else None,
        "figure": _valid(Figure, raw["figure"], "figure") if "figure" in raw else None,
        "plugins": plugins,
        "protocol": PROTOCOL,
    }
    user_images.check_names(spec["data"])
    return _valid(Spec, spec, "")


def parse_data(raw: Mapping[str, Any], folder: Path = Path(), root: Path | None = None, where: str = "data") -> Data:
    """One data set and its long tail, from its words.

    Args:
        raw: An entry of ``data``.
        folder: What a path is relative to.
        root: The folder that holds image sets such as ``eurosat``.
        where: The field that it is an entry of.

    Returns:
        The data set.

    Raises:
        SpecError: with the field and the nearest right word. DataError where images or a table cannot be trained on.
    """
    with field(where):
        words = user_images.resolved(raw, folder, root)
    return _valid(Data, words, where)


def parse_shots(few: int | None, many: int | None, tercile: bool) -> Shots | None:
    """The boundaries of few and many.

    Args:
        few: Few are classes with fewer training images.
        many: Many are classes with more.
        tercile: Rank the classes into thirds instead of counting.

    Returns:
        They; None where nothing is said of them.

    Raises:
        SpecError: where they contradict each other.
    """
    given = {"few": few, "many": many, "by": "tercile" if tercile else None}
    given = {name: value for name, value in given.items() if value is not None}
    return _valid(Shots, given, "shots") if given else None


M = TypeVar("M", bound=BaseModel)


def _valid(model: type[M], raw: Any, where: str) -> M:
    """``model`` from ``raw``, or SpecError with the first field that is wrong."""
    _refuse_booleans(model, raw, where)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        words = [str(part) for part in first["loc"]]
        if len(words) > 1 and words[-1] in UNION:  # of a value that may be of several kinds
            words.pop()
        path = ".".join(part for part in (where, *words) if part)
        if first["type"] == "missing" and words == ["name"]:  # a key without a value of its own may be meant as one
            odd = [key for key in raw if key not in model.model_fields and isinstance(raw[key], dict | None)]
            if odd:
                raise SpecError(
                    f"{where}: a name is missing; is it {odd[0]!r}? Write {{name: {odd[0]}, ...}}"
                ) from None
        if first["type"] == "extra_forbidden":
            word, known = str(first["loc"][-1]), model.model_fields
            own = f"{nearest_sentence(word, known)} {HINT} {HINT_OF_TABLES}" if model is Data else ""
            raise SpecError(f"{where}: unknown key {word!r}{own or nearest(word, known)}") from None
        given = "" if first["type"] in ("missing", "value_error") else f", not {first['input']!r}"
        if first["type"] == "string_pattern_mismatch" and path == "name":
            first["msg"] = "letters and digits, with dots, dashes and underscores between them, are expected"
        if first["type"] == "too_short":
            first["msg"] = f"at least {first.get('ctx', {}).get('min_length')} are expected"
        message = first["msg"].removeprefix("Value error, ").removeprefix("Input ").partition(", unable to parse")[0]
        message = re.sub(r"a valid dictionary( or instance of \w+)?$", "a mapping", message)
        raise SpecError(": ".join(filter(None, [path, f"{message}{given}"]))) from None


def _refuse_booleans(model: type[BaseModel], raw: Any, where: str) -> None:
    """YAML's ``yes`` is Python's True, which pydantic would take for the number 1."""
    for name, value in raw.items() if isinstance(raw, dict) else ():
        if isinstance(value, bool) and name in model.model_fields and model.model_fields[name].annotation is not bool:
            raise SpecError(f"{where}.{name}: {value!r} is not expected here".removeprefix("."))


def find(source: str) -> Path:
    """The file of a spec, or of the shipped one of that name. SpecError where there is neither."""
    path = Path(source)
    if path.is_file():
        return path
    if source in shipped():
        return shipped()[source]
    if path.suffix in (".yaml", ".yml"):
        raise SpecError(f"there is no file {source!r}")
    raise SpecError(f"there is no file and no shipped spec named {source!r}" + nearest(source, shipped()))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _check_size(raw: Mapping[str, Any]) -> None:
    """SpecError where a spec holds what no file can, or its lists stand for too much: their product is counted before
    it is made."""
    try:
        json.dumps(raw, ensure_ascii=False, default=str, skipkeys=True).encode()
    except (ValueError, RecursionError) as error:
        raise SpecError(f"the spec cannot be written down: {error}") from error
    for axis in ("data", "methods", "training"):
        entries = sum(map(_combinations, _listed(raw.get(axis, {}))))
        if entries > MOST_ENTRIES:
            raise SpecError(
                f"{axis}: its lists stand for {entries:,} entries, more than the {MOST_ENTRIES:,} of a spec"
            )


def _combinations(entry: Any) -> int:
    """How many entries :func:`_axes` makes of one."""
    if not isinstance(entry, Mapping):
        return 1
    inner = {key for key in ("values", "training") if isinstance(entry.get(key), Mapping)}
    return prod(_combinations(value) if key in inner else len(_listed(value)) for key, value in entry.items())


def _named(value: Any, where: str) -> list[dict[str, Any]]:
    """Each entry as a mapping: a bare string is its name."""
    entries = [{"name": item} if isinstance(item, str) else item for item in _listed(value)]
    for item in entries:
        if not isinstance(item, dict):
            raise SpecError(f"{where}: each entry is a name or a mapping with a name, not {item!r}")
    return entries


def _whole_choice(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry of ``data`` whose list of classes is one choice, and not an axis; a list of lists is one."""
    classes = entry.get("classes")
    single = isinstance(classes, list) and not any(isinstance(each, list) for each in classes)
    return entry | {"classes": [classes]} if single else entry


def _axes(entries: Iterable[dict[str, Any]], where: str) -> Iterator[dict[str, Any]]:
    """The product of the lists inside each mapping (and inside its ``values`` and ``training``)."""
    for entry in entries:
        if not isinstance(entry, dict):
            raise SpecError(f"{where}: a mapping is expected, not {entry!r}")
        for name in ("values", "training"):
            inner = entry.get(name)
            if isinstance(inner, dict):
                entry = entry | {name: list(_axes([inner], f"{where}.{name}"))}  # noqa: PLW2901
        for key, value in entry.items():
            if value == []:
                raise SpecError(f"{where}.{key}: an empty list leaves nothing to run")
        lists = [_listed(value) for value in entry.values()]
        for combination in product(*lists):
            yield dict(zip(entry, combination, strict=True))


def _method(raw: dict[str, Any], folder: Path, plugins: dict[str, str]) -> MethodEntry:
    values = raw.get("values")
    for part, inner in values.items() if isinstance(values, dict) else ():
        if isinstance(inner, dict) and inner:
            raise SpecError(
                f"methods.values.{part}: a value is expected, not {inner!r}; write {part}.{next(iter(inner))}: ..."
            )
    method = _valid(MethodEntry, raw, "methods")
    _check_routine(method.training, "methods.training")
    if method.plugin is None:
        return method
    try:
        text = read_text(folder / method.plugin)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SpecError(f"methods.plugin: {folder / method.plugin} cannot be read: {why}") from error
    digest = hashlib.sha256(text.encode()).hexdigest()
    plugins[digest] = text
    return method.model_copy(update={"plugin": digest})


def _trainings(raw: Any, networks: Iterable[str | NetworkEntry], resources: Resources) -> list[Routine]:
    """The routines that are named, for each kind of the networks. What is said of a network's routine is not of the
    estimators beside it."""
    kinds: dict[Kind, None] = {kind_of(network): None for network in networks}
    routines = []
    for kind, words in product(kinds, _axes(_listed(raw), "training")):
        if kind == "estimator" and len(kinds) > 1:
            words = {"preset": words["preset"]} if "preset" in words else {}  # noqa: PLW2901
        routine = _training(words, kind, resources)
        if kind != "estimator" or routine not in routines:
            routines.append(routine)
    return routines


def _training(raw: dict[str, Any], kind: Kind, resources: Resources) -> Routine:
    raw, presets = dict(raw), PRESETS_OF[kind]
    preset = raw.pop("preset", next(iter(presets)))
    if not isinstance(preset, str) or preset not in presets:
        raise SpecError(f"training.preset: unknown {preset!r}" + nearest(str(preset), presets))
    # Only the plan's own words may decide the precision: a key must not depend on the machine that reads the spec.
    precision = {"precision": "bfloat16" if resources.gpu else "float32"} if kind != "estimator" else {}
    if kind == "estimator" and raw.keys() - {"kind"}:
        raise SpecError(
            f"training.{min(raw)}: an estimator is fitted once and has no such word; its own stand under network, as "
            "in network: {name: xgboost, values: {max_depth: 6}}"
        )
    return _valid(MODELS[kind], precision | presets[preset] | raw, "training")


def _check_routine(changes: Mapping[str, Any], where: str) -> None:
    """SpecError where a change to a training routine names what no routine has, or has a wrong value."""
    _valid(Training, {"precision": "float32"} | PRESETS["t5"] | dict(changes), where)


def _tracking(raw: Any, folder: Path) -> Tracking:
    tracking = _valid(Tracking, raw, "tracking")
    if not tracking.experiment.strip():
        raise SpecError("tracking.experiment: a name is expected; leave it out for 'tailboard'")
    return tracking.model_copy(update={"uri": absolute(tracking.uri, folder)}) if tracking.uri else tracking


def _tune(raw: Any) -> Tune:
    tune = _valid(Tune, raw, "tune")
    _check_routine(tune.training, "tune.training")
    return tune


def _networks(raw: Mapping[str, Any], folder: Path, root: Path | None, resources: Resources) -> dict[str, Any]:
    """The networks that are named, or the one of the only preset; and the weights that each starts from, if any does.

    The weights' file is looked up relative to ``folder``. Lists of values of an estimator are axes.
    """
    if raw.get("network") is None:
        return {"networks": [_network_of_preset(raw)]}
    names, weights = [], []
    for given in _named(raw["network"], "network"):
        known, entry = ["name", "estimator", "weights", "values"], with_factory(given)
        if wrong := [key for key in entry if key not in known]:
            raise SpecError(f"network: unknown key {str(wrong[0])!r}" + nearest(str(wrong[0]), known))
        name, start = entry.get("name"), entry.get("weights")
        if not isinstance(name, str) or not isinstance(start, str | dict | None):
            raise SpecError(f"network: a name, or {{name: ..., weights: FILE}} is expected, not {entry!r}")
        entries = list(_learner(entry)) if learner_kind(name) != "images" else [full_name(name)]
        if "values" in entry and learner_kind(name) == "images":
            raise SpecError(f"network.values: {name} takes none")
        names += entries
        read = _pretraining(start, folder, root, resources) if isinstance(start, dict) else None
        weights += [weights_file.resolved(start, folder) if isinstance(start, str) and start else read] * len(entries)
    return {"networks": names} | ({"weights": weights} if any(weights) else {})


def _pretraining(raw: dict[str, Any], folder: Path, root: Path | None, resources: Resources) -> Pretraining:
    words = dict(raw)
    if isinstance(words.get("data"), str | dict):
        words["data"] = parse_data(_named(words["data"], "")[0], folder, root, "network.weights.data")
    words["method"] = {"name": words["method"]} if isinstance(words.get("method"), str) else words.get("method")
    if isinstance(training := words.get("training", {}), dict):
        words["training"] = _training(training, "images", resources)
    return _valid(Pretraining, words, "network.weights")


def _learner(entry: dict[str, Any]) -> Iterator[NetworkEntry]:
    """The learners of tables that an entry names."""
    if entry.get("weights"):
        raise SpecError(f"network.weights: {entry['name']} starts from none")
    for words in _axes([entry], "network"):
        yield _valid(NetworkEntry, words | {"kind": learner_kind(words["name"])}, "network")


def _network_of_preset(raw: Mapping[str, Any]) -> str:
    routines = [item for item in _listed(raw.get("training", {})) if isinstance(item, dict)]
    presets = {str(preset) for item in routines for preset in _listed(item.get("preset", "t5"))}
    return NETWORK_OF.get(presets.pop(), "wrn-28-10") if len(presets) == 1 else "wrn-28-10"


def _seeds(raw: Any) -> list[int]:
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 < raw <= MOST_SEEDS:
        return list(range(raw))
    if isinstance(raw, list) and raw and all(isinstance(s, int) and not isinstance(s, bool) and s >= 0 for s in raw):
        return raw
    raise SpecError(f"seeds: a number of seeds or a list of whole numbers is expected, not {raw!r}")
