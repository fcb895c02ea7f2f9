"""The reference of the spec's fields, held against the parser."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tailboard import UserError
from tailboard.datasets.user_images.source import WORDS
from tailboard.datasets.user_tables.source import WORDS as TABLE_WORDS
from tailboard.harness.cli.descriptions.json_schema import MADE, json_schema
from tailboard.harness.spec import schema, training
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.studies.figure_block import Figure, FigureClaim

sys.path.insert(0, str(Path(__file__).parents[2] / "docs"))
import reference_pages

RAW = {"name": "t", "data": "cifar10", "methods": "ERM"}
TABLE = {"data": "simulated-table"}
SAMPLES = {  # a word that may stand there, where it is no whole number
    "": RAW | {"network": "small", "training": {}, "resources": {}, "tracking": {}, "shots": {"few": 2},
               "tune": {"trials": 4}, "figure": {"kind": "fit"}},
    "data": {"name": "cifar10", "profile": "step", "train_ratio": 0.5, "classes": ["cat", "dog"], "total": 10},
    "methods": {"name": "ERM", "values": {}, "plugin": "mine.py", "training": {}},
    "network": {"name": "small", "estimator": "sklearn.svm:LinearSVC", "values": {}, "weights": "w.pt"},
    "network.weights": {"data": "cifar10", "method": "ERM", "training": {}},
    "network.weights.method": {"name": "ERM", "values": {}},
    "training": {"preset": "t5", "kind": "table", "schedule": "step", "momentum": 0, "ema": 0, "label_smoothing": 0,
                 "flip": True, "augment": "none", "precision": "float32", "init": "fan_in", "warmup": "epoch",
                 "last_batch": "kept", "track": "all", "compile": True},
    "resources": {"fuse_seeds": True},
    "tracking": {"uri": "http://host", "experiment": "x"},
    "shots": {"by": "tercile", "many": 200},
    "tune": {"trials": 4, "parameters": "all", "metric": "val/accuracy", "prune": False, "training": {},
             "sampler": "gp", "generation": 2, "val": "natural"},
    "tune.parameters": {"name": "rho", "log": False, "choices": [1, 2]},
    "figure": {"kind": "sweep", "x": "x", "curve": "x", "baseline": "x", "over": "option", "group": "few",
               "metric": "accuracy", "claim": "so", "claims": []},
    "figure.claims": {"better": "A", "than": "B", "group": "few", "panel": "p", "say": "so"},
}  # fmt: skip
SAMPLES |= dict.fromkeys(("methods.training", "tune.training", "network.weights.training"), SAMPLES["training"])
SAMPLES["network.weights.data"] = SAMPLES["data"]
TOGETHER = {  # what stands only beside another word
    **{f"{way}.{word}": {"majority": 2, "minority": 1}
       for way in ("data", "network.weights.data") for word in ("majority", "minority")},
    "tune.parameters.low": {"low": 0, "high": 1}, "tune.parameters.high": {"low": 0, "high": 1},
    "figure.claims.than": {"better": "A"}, "figure.claims.better": {"than": "B"},
    **{f"{way}.{word}": {"track": "all", "track_every": 1}
       for way in ("training", "methods.training", "tune.training", "network.weights.training")
       for word in ("track", "track_every")},
}  # fmt: skip
NEEDED = {"figure": {"kind": "sweep"}, "figure.claims": {"than_at": "largest"}}  # by what a field's value asks for


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the samples name: a plugin, a file of weights, images and a table."""
    folder = tmp_path_factory.mktemp("words")
    (folder / "mine.py").write_text("")
    (folder / "w.pt").write_text("")
    parts = ["test", "train", "train"]
    rows = [f"a{i},{'xy'[i % 4 == 0]},{i // 2},{parts[i // 2 % 3]},{i + 1}" for i in range(48)]
    (folder / "table.csv").write_text("\n".join(["thing,kind,group,split,weight", *rows]))
    listed = ["image,kind,group,split"]
    for i in range(12):
        Image.fromarray(np.full((8, 8, 3), 20 * i, np.uint8)).save(folder / f"{i}.png")
        listed.append(f"{i}.png,{'xy'[i % 2]},{i // 2},{'train' if i < 8 else 'test'}")
    (folder / "images.csv").write_text("\n".join(listed))
    return folder


def placed(path: str, words: object) -> dict:
    """The smallest spec that says so at this place."""
    around = {"network.weights": {"data": "cifar10", "method": "ERM"}, "figure": {"kind": "sweep"}}
    for way in ("network", "network.weights.data", "network.weights.method", "methods", "data"):
        around[way] = {"name": SAMPLES[way]["name"]}
    around["tune"] = {"trials": 4}
    while path:
        path, _, name = path.rpartition(".")
        words = (RAW if not path else around.get(path, {})) | {name: words}
    return words


def least(path: str, mapping: dict) -> dict:
    """Only what is required of a mapping."""
    required = mapping.get("required") or [each["required"][0] for each in mapping.get("oneOf", [])[:1]]
    return {name: SAMPLES[path][name] for name in required} | NEEDED.get(path, {})


MAPPINGS = dict(reference_pages.mappings(json_schema()))
FIELDS = [(path, name) for path, mapping in MAPPINGS.items() for name in mapping["properties"]]
EVERY = {
    *(name for mapping in MAPPINGS.values() for name in mapping["properties"]),
    *(name for model in (*vars(schema).values(), *vars(training).values(), Figure, FigureClaim)
      for name in getattr(model, "model_fields", ())),
    *WORDS, *TABLE_WORDS, "nonsense",
} - {*MADE}  # fmt: skip


def own_data(name: str) -> dict:
    """Data of the user's own that has such a word."""
    if name in ("image", "images", "size"):
        values = {"image": "image", "images": ".", "size": 8}
        return {"name": "csv:images.csv", "label": "kind", name: values[name]}
    return {"name": "csv:table.csv", "label": "kind", name: {"label": "kind"}.get(name, name)}


def test_every_mapping_is_on_the_page_with_its_fields():
    page = reference_pages.spec()
    sections = dict(re.findall(r"\n## (\S+)\n(.*?)(?=\n## |\Z)", page, re.DOTALL))
    assert {"", *sections} == {*MAPPINGS}
    sections[""] = page.partition("\n## ")[0]
    for path, mapping in MAPPINGS.items():
        told = re.search(r"The fields of `(.*?)`(?:, without (.*))?\.", sections[path])
        listed = re.findall(r"^\| `(\w+)` \|", sections[told[1] if told else path], re.MULTILINE)
        without = re.findall(r"`(\w+)`", told[2] or "") if told else []
        assert {*listed} - {*without} == {*mapping["properties"]} and {*without} <= {*listed}, path


@pytest.mark.parametrize(("path", "name"), FIELDS, ids=lambda each: each or "spec")
def test_what_is_listed_is_taken(folder, path, name):
    mapping = MAPPINGS[path]
    words = least(path, mapping) | {name: SAMPLES[path].get(name, 1)} | TOGETHER.get(f"{path}.{name}", {})
    if (path, name) == ("network", "estimator"):
        words.pop("name")
    if path.endswith("data") and name in (*WORDS, *TABLE_WORDS):
        words = own_data(name)
    raw = placed(path, words) if path else words
    if (path, name) in (("training", "kind"), ("network", "estimator"), ("network", "values")):
        raw |= TABLE | ({"network": "mlp"} if path == "training" else {})
        raw["network"] = words | {"name": "mlp"} if name == "values" else raw["network"]
    parse(raw, folder)


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda each: each or "spec")
def test_what_is_required_is_and_nothing_else(path):
    mapping = MAPPINGS[path]
    whole = least(path, mapping)
    parse(placed(path, whole) if path else whole)
    for name in mapping.get("required", ()):
        without = {word: value for word, value in whole.items() if word != name}
        with pytest.raises(UserError, match=name):
            parse(placed(path, without) if path else without)


@pytest.mark.parametrize("path", MAPPINGS, ids=lambda each: each or "spec")
def test_every_key_that_is_taken_is_listed(path):
    for name in sorted(EVERY - {*MAPPINGS[path]["properties"]}):
        words = least(path, MAPPINGS[path]) | {name: "x" if name == "plugin" else 1}
        with pytest.raises(UserError, match=f"unknown key '{name}'|one that is registered here is expected"):
            parse(placed(path, words) if path else words)


def test_the_defaults_that_no_model_knows_are_those():
    told = reference_pages.DEFAULTS
    said = {"network": "wrn-28-10", "seeds": int(told["seeds"][1])}
    assert all(str(value) in told[name] for name, value in said.items())
    assert parse(RAW | said | {"training": {"preset": "t5", "precision": "float32"}}) == parse(RAW)
    of_table = RAW | TABLE | {"network": "mlp"}
    assert parse(of_table | {"training": {"preset": "tables", "kind": "table"}}) == parse(of_table)
    old = RAW | {"training": {"preset": "ldam2019"}}
    assert parse(old | {"network": "resnet32"}) == parse(old)
    with_gpu = RAW | {"resources": {"gpu": 1}}
    assert parse(with_gpu | {"training": {"precision": "bfloat16"}}) == parse(with_gpu)
    for name in ("resources", "tracking", "shots"):
        assert told[name] == reference_pages.ALWAYS and parse(RAW | {name: {}}) == parse(RAW)
    for path, mapping in MAPPINGS.items():
        for name, field in mapping["properties"].items():
            if path.count(".") == 0 and path in ("resources", "tracking", "shots", "tune") and "default" in field:
                small = {"trials": 4} if path == "tune" else {}
                given = json.loads(json.dumps(field["default"]))
                assert parse(placed(path, small | {name: given})) == parse(placed(path, small)), (path, name)
