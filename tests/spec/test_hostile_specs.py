"""Specs that nobody meant to write, or that somebody meant to do harm with: each is a plan or one line, soon. More of
them, with what the command says, are in ``test_hostile_inputs.py``."""

from __future__ import annotations

import json
import math
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from tailboard import LONGEST, UserError
from tailboard.harness.errors import SpecError
from tailboard.harness.metrics import rescoring
from tailboard.harness.planning.plan import Plan
from tailboard.harness.spec.parser import parse, read, shipped
from tailboard.harness.spec.schema import LARGEST_SEED, plan
from tailboard.harness.spec.yaml_format import load
from tailboard.methods.part import MethodError
from tailboard.methods.plugin import read_plugin

FIELDS = {
    "name": "t",
    "data": "{name: fashion-mnist-mini, head: 40}",
    "methods": "ERM",
    "network": "small",
    "seeds": "1",
}
HUNDRED = f"[{', '.join(map(str, range(1, 101)))}]"
DOUBLED = "a0: &a0 [lol, lol]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
MERGED = "a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 40))


def text(before: str = "", **changes: str) -> str:
    return before + "".join(f"{key}: {value}\n" for key, value in (FIELDS | changes).items())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (text(seeds=f"[{2**70}]"), "more than 64 bits"),
        (text(seeds=f"0x{'f' * 6000}"), "more than 64 bits"),
        (text(seeds="!!float x"), "'x' is no float"),
        (text(seeds="!!bool x"), "'x' is no bool"),
        (text(name="!!binary x"), "base64"),
        (text(name="2026-12-31"), "a spec has no dates; in quotes it is a word"),
        (text(methods='"\\ud800"'), "is no str"),
        (text(methods=f"{{name: ERM, values: {{{', '.join(f'f{i}: {HUNDRED}' for i in range(6))}}}}}"),
         "methods: its lists stand for"),
        (text(training=f"{{lr: {HUNDRED}, ema: {HUNDRED}, cutmix: {HUNDRED}}}"), "training: its lists stand for"),
        (text(DOUBLED), "its aliases stand for more"),
        (text(MERGED), "its aliases stand for more"),
        (text("a: &a [*a]\n"), "inside of what it repeats"),
        (text(data="&a {name: *a}"), "inside of what it repeats"),
        (text(methods="{name: X, plugin: /}"), "no file but a folder, a pipe or a device"),
        (text(methods="{name: X, plugin: large.py}"), "larger than 1024 KiB"),
        ("# " + "x" * 2_000_000 + "\n" + text(), "larger than 1024 KiB"),
    ],
    ids=lambda value: repr(value)[-40:],
)  # fmt: skip
def test_it_is_one_short_line_at_once(tmp_path, spec, words):
    (tmp_path / "large.py").write_text("#" * 2_000_000)
    (tmp_path / "t.yaml").write_text(spec)
    began = time.monotonic()
    with pytest.raises(SpecError, match=words) as caught:
        read(tmp_path / "t.yaml")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < LONGEST + 100
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "raw", [{"seeds": [10**5000]}, {"methods": "\ud800"}, {"x": "\ud800"}], ids=["digits", "half", "key"]
)
def test_from_python_too(raw):
    with pytest.raises(SpecError):
        parse({"name": "t", "data": "cifar10", "methods": "ERM"} | raw)


def test_the_largest_seed_is_one():
    assert plan(parse({"name": "t", "data": "cifar10", "methods": "ERM", "seeds": [LARGEST_SEED]}))[0].seed == 2**63 - 1


@pytest.mark.parametrize("file", ["pipe", "/dev/zero", "/", "large"])
def test_no_file_that_is_named_is_waited_for_or_fills_the_memory(tmp_path, file):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_text("1 " * 1_000_000)
    with pytest.raises(MethodError, match="cannot be read"):
        read_plugin(tmp_path / file)
    with pytest.raises(UserError, match="--prior"):
        rescoring.parse_metric("accuracy", str(tmp_path / file), 0.0)


def test_a_byte_order_mark_is_no_character(tmp_path):
    (tmp_path / "prior.txt").write_bytes(b"\xef\xbb\xbf1 2 3")
    assert rescoring.parse_metric("accuracy", str(tmp_path / "prior.txt"), 0.0).prior.shares == (1, 2, 3)


# fmt: off
PIECES = [
    "[", "]", "{", "}", ": ", "- ", "&a ", "*a", "<<: ", "!!int ", "!!set ", "!!timestamp ", "!!binary ", "~", "\t",
    "\0", "\x1b", "\x85", "\u202e", "\U0010ffff", '"', "'", "|\n", ">\n", "---\n", "...\n", "%YAML 3.0\n", "? ",
    "1e999", "-1", "0", "99999999999999999999", ".nan", ".inf", "true", "2026-31-12", "1:60:60", "=HYPERLINK(1)",
    "../..", "/dev/zero", "name: ", "seeds: ", "tune: {trials: 4}\n", "choices: [1, 2]", "plugin: /dev/stdin",
]
# fmt: on


def mutated(draw: random.Random, sources: list[str]) -> str:
    """A spec with a few pieces put in, taken out, doubled, or exchanged with another spec's; or with other values."""
    spec = draw.choice(sources)
    if draw.random() < 0.5:
        return json.dumps(revalued(draw, load(spec)))
    for _ in range(draw.randint(1, 3)):
        start = draw.randrange(len(spec) + 1)
        end = min(len(spec), start + draw.choice([0, 0, 1, 1, 5, 40]))
        other = draw.choice(sources)
        at = draw.randrange(len(other))
        pieces = [draw.choice(PIECES), "", spec[start:end] * 2, other[at : at + 60], chr(draw.randrange(1, 0xD800))]
        spec = spec[:start] + draw.choice(pieces) + spec[end:]
    return spec


def revalued(draw: random.Random, value: Any) -> Any:
    """The same with about one of eight values another one."""
    if isinstance(value, dict):
        value = {key: revalued(draw, inner) for key, inner in value.items()}
        if draw.random() < 0.1:
            value[draw.choice(["name", "values", "training", "plugin", "parameters", "choices", "uri", "x"])] = 1
    elif isinstance(value, list):
        value = [revalued(draw, inner) for inner in value] * draw.choice([1, 1, 1, 2])
    odd = [
        None,
        True,
        -1,
        0,
        2,
        1e-9,
        1e308,
        2**63,
        "",
        "ERM",
        "all",
        "\x1b[31m",
        [],
        {},
        [value, value],
        {"name": value},
    ]
    return draw.choice(odd) if draw.random() < 0.12 else value


@pytest.mark.slow
@pytest.mark.fuzz
def test_whatever_a_spec_says_it_is_a_plan_or_one_line(tmp_path, monkeypatch):
    """10,000 mutations with TAILBOARD_FUZZ=all; the same ones each time."""
    monkeypatch.chdir(tmp_path)
    sources = [text(), *(path.read_text(encoding="utf-8") for path in shipped().values())]
    planned = 0
    mutations = 10_000 if os.environ.get("TAILBOARD_FUZZ") == "all" else 600
    for number in range(mutations):
        spec = mutated(random.Random(number), sources)  # noqa: S311
        Path("t.yaml").write_bytes(spec.encode("utf-8", "replace"))
        began = time.monotonic()
        try:
            found = read("t.yaml")
            axes = (found.data, found.methods, found.networks, found.trainings, found.seeds)
            if math.prod(map(len, axes)) < 1000:
                assert Plan(found).all_dependencies.trials
            planned += 1
        except UserError as error:
            assert "\n" not in str(error) and len(str(error)) < LONGEST + 100, (number, spec)
        except Exception as error:
            raise AssertionError(f"mutation {number}: {spec!r}") from error
        assert time.monotonic() - began < 10, (number, spec)
    assert 0.1 * mutations < planned < 0.9 * mutations
