"""What an earlier version made is made again: keys of specs, each form of a report, a bundle's bytes, a trial's bits.

That version is commit f221640, whose protocol is the first. Nothing of tailboard is imported here, so that the file
stays as it is whatever its modules are called. ``golden/`` holds what is compared with:

keys-1.json, keys-2.json  the keys of the specs of ``specs/`` under each protocol, and now of the shipped specs
store.tar.xz              a store of real trials, and the bundle that was exported from it
expected/                 what the commands printed of them
run/, bits.json           the specs of the store, and what their trials come to under the present protocol

Where a change of output is meant, ``python tests/test_golden.py`` makes anew what is not of the first protocol.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import runpy
import shutil
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from warm_process import WarmProcess

GOLDEN = Path(__file__).with_name("golden")
LISTED = 60  # keys that stand in keys.json one by one; of more, the first and the last
SHIPPED = ("quickstart", "table5", "tuned-mini", "fashion-mnist")
TABLES = ("40-adult-of-28-methods.yaml", "41-tables.yaml")
SPECS = (*SHIPPED, *sorted(path.name for path in (GOLDEN / "specs").glob("*.yaml")))
SAME_BITS = ("processor", "instruction_set", "threads", "device")  # of an environment: on a CPU, all that is promised
LIBRARIES = ("torch", "torchvision", "numpy", "scikit-learn", "imbalanced-learn", "xgboost")  # whose versions do, too
REPORTS = {
    "report.md": [],
    "report.tex": ["--format", "latex"],
    "report.csv": ["--format", "csv"],
    "report.json": ["--format", "json"],
    "versus.md": ["--versus", "ERM", "--uncertainty", "ci95"],
    "versus.csv": ["--versus", "ERM", "--format", "csv"],
    "ranks.md": ["--versus", "ERM", "--ranks"],
    "macro-f1.md": ["--metric", "macro_f1"],
    "adjusted.md": ["--metric", "accuracy", "--prior", "train", "--tau", "1"],
    "tercile.md": ["--tercile"],
    "defaults.md": ["--with-defaults"],
    "published.md": ["--published"],
    "noise.md": ["--noise", "images"],
}

Tailboard = Callable[..., tuple[int, str, str]]


def normalised(text: str, folder: Path) -> str:
    """The text without what differs from run to run, which is one thing: the folder in which the command ran, in the
    addresses of stores, bundles, MLflow's database and Optuna's."""
    return text.replace(str(folder), "<FOLDER>")


def summary(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """What a plan's trials come to: a hash over each key in order, with its stage and what it starts from."""
    rows = [[fact["key"], fact["stage"], fact["starts_from"]] for fact in facts]
    keys = [fact["key"] for fact in facts]
    shown = facts if len(facts) <= LISTED else facts[:3] + facts[-3:]
    return {
        "count": len(facts),
        "sha256": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
        "keys": keys if len(keys) <= LISTED else [*keys[:3], "...", *keys[-3:]],
        "starts_from": {fact["key"]: fact["starts_from"] for fact in shown if fact["starts_from"]},
        "first tuning trials": [fact["key"] for fact in facts if fact["stage"] == "tune"][:LISTED],
    }


def parts(page: str) -> dict[str, Any]:
    """What a page shows, without how: its title, the table's content, and the evidence behind the cells."""
    texts = {
        name: re.search(rf'<script[^>]* id="{name}">(.*?)</script>', page, re.S) for name in ("content", "evidence")
    }
    content, evidence = (found.group(1) for found in texts.values() if found)
    return {
        "title": re.findall(r"<title>(.*?)</title>", page),
        "content": json.loads(content),
        "evidence": [json.loads(line) for line in evidence.strip().split("\n")],
    }


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths, data folders and servers of this machine must not matter."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("TAILBOARD_DATA", "MLFLOW_TRACKING_URI", "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tailboard(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Tailboard:
    """``tailboard("plan", "t.yaml")`` -> (exit code, stdout, stderr), normalised."""

    def run(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tailboard", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("tailboard", run_name="__main__")
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), normalised(out, tmp_path), normalised(err, tmp_path)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where ``store/`` and ``bundle.zip`` lie, as the archive holds them, with the times of their files."""
    with tarfile.open(GOLDEN / "store.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def expected(name: str) -> str:
    return (GOLDEN / "expected" / name).read_text(encoding="utf-8")


# What a spec stands for


@pytest.mark.parametrize("protocol", [1, 2])
@pytest.mark.parametrize("name", SPECS)
def test_the_keys_of_a_spec_stay(name: str, protocol: int, tailboard: Tailboard, monkeypatch: pytest.MonkeyPatch):
    """Those of the first protocol are of the earlier version, which had no tables; the shipped specs have other rows
    since."""
    if protocol == 1 and (name in SHIPPED or name in TABLES):
        pytest.skip("the shipped specs have other rows than under the first protocol, which had no tables")
    monkeypatch.setattr("tailboard.harness.spec.parser.PROTOCOL", protocol)
    ldam2019 = import_module("tailboard.harness.spec.presets").LDAM2019
    for word in ("precision", "init", "warmup", "last_batch"):  # the preset has more words since, and so another key
        monkeypatch.delitem(ldam2019, word)
    path = GOLDEN / "specs" / name
    code, out, _ = tailboard("plan", path if path.exists() else name, "--json")
    assert code == 0
    assert summary(json.loads(out)) == json.loads((GOLDEN / f"keys-{protocol}.json").read_text())[name]


# What a store comes to


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_says_the_same(name: str, folder: Path, tailboard: Tailboard):
    code, out, err = tailboard("report", "store", *REPORTS[name])
    assert out == expected(name)
    assert (code, err) == (2, ""), "one method failed"


def test_a_parquet_file_holds_the_same_rows(folder: Path, tailboard: Tailboard):
    code, out, _ = tailboard("report", "store", "--format", "parquet", "-o", "report.parquet")
    assert (code, out) == (2, "")
    found, golden = (
        pyarrow.parquet.read_table(path) for path in ("report.parquet", GOLDEN / "expected/report.parquet")
    )
    assert found.schema.equals(golden.schema)
    assert found.to_pandas().to_csv() == golden.to_pandas().to_csv()


def test_a_curve_and_a_page_hold_the_same(folder: Path, tailboard: Tailboard):
    code, out, _ = tailboard("report", "store", "--curve", "curve.csv", "--html", "page.html", "--site", "site")
    assert (code, out) == (2, expected("report.md"))
    assert Path("curve.csv").read_text() == expected("curve.csv")
    found = parts(Path("page.html").read_text(encoding="utf-8"))
    assert found == json.loads(expected("page.json"))
    assert parts(Path("site/store/index.html").read_text(encoding="utf-8")) == found
    for form in ("md", "csv", "json"):
        assert Path(f"site/store/leaderboard.{form}").read_text(encoding="utf-8").rstrip("\n") == expected(
            f"report.{form}"
        ).rstrip("\n")


def test_a_bundle_reports_as_its_store_does(folder: Path, tailboard: Tailboard):
    for name in ("report.md", "report.csv", "report.json"):
        code, out, _ = tailboard("report", "bundle.zip", *REPORTS[name])
        assert (code, out) == (2, expected(name))


def test_an_export_has_the_same_bytes(folder: Path, tailboard: Tailboard):
    code, out, err = tailboard("export", "store", "-o", "again.zip")
    assert (code, err) == (2, ""), "one method failed"
    assert out.replace("again.zip", "bundle.zip") == expected("export.txt")
    again, golden = (zipfile.ZipFile(name) for name in ("again.zip", "bundle.zip"))
    assert again.namelist() == golden.namelist()
    for name in golden.namelist():
        assert again.read(name) == golden.read(name), name
    assert Path("again.zip").read_bytes() == Path("bundle.zip").read_bytes()


def test_verify_says_the_same(folder: Path, tailboard: Tailboard):
    for name, words in {"verify.txt": [], "verify.json": ["--json"]}.items():
        code, out, err = tailboard("verify", "bundle.zip", *words)
        assert (code, out, err) == (2, expected(name), "")


def test_a_repetition_says_under_which_protocol_a_trial_was_made(folder: Path, tailboard: Tailboard):
    code, out, err = tailboard("verify", "bundle.zip", "--rerun", "2", "--trust-plugins")
    assert out.count("made under protocol 1, and this version trains under protocol 2") == 2, out
    assert code in (0, 2)
    assert "training 1 of" not in err


def test_verify_finds_the_same_faults(folder: Path, tailboard: Tailboard):
    forge(Path("bundle.zip"), Path("forged.zip"))
    for name, words in {"forged.txt": [], "forged.json": ["--json"]}.items():
        code, out, _ = tailboard("verify", "forged.zip", *words)
        assert (code, out) == (3, expected(name))


def forge(bundle: Path, goal: Path) -> None:
    """The bundle with one mean of its table raised by one and one accuracy of a record made 50 percent, and the hashes
    in its manifest put right."""
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(goal, "w") as new:
        texts = {entry.filename: old.read(entry) for entry in old.infolist()}
        (manifest,) = (name for name in texts if "manifest" in name)
        (table,) = (name for name in texts if name.endswith(".csv"))
        record = min(name for name in texts if name.startswith("records/") and b'"complete"' in texts[name])
        raised = re.sub(rb",(\d\d)\.(\d+)", lambda m: b",%d.%s" % (int(m[1]) + 1, m[2]), texts[table], count=1)
        claimed = re.sub(rb'"last_ema":\[[\d.]+,', b'"last_ema":[50.0,', texts[record], count=1)
        for name, changed in ((table, raised), (record, claimed)):
            digests = [hashlib.sha256(text).hexdigest().encode() for text in (texts[name], changed)]
            assert digests[0] != digests[1] and texts[manifest].count(digests[0]) == 1
            texts[name], texts[manifest] = changed, texts[manifest].replace(*digests)
        for entry in old.infolist():
            new.writestr(entry, texts[entry.filename])


def test_status_says_the_same(folder: Path, tailboard: Tailboard):
    for name, words in {"status.txt": [], "status.json": ["--json"]}.items():
        assert tailboard("status", "store", *words) == (0, expected(name), "")


# What a run makes of it


def run(folder: Path, spec: str, **environment: str) -> tuple[int, str]:
    """The exit code and stderr of ``tailboard run``; where MLflow should be nobody listens, and no database is made."""
    words = ["tailboard", "run", f"{spec}.yaml", "--store", "store", "--slots", "1"]
    nobody = os.environ | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"} | environment
    process = WarmProcess(words, folder, nobody)
    _, err = process.communicate(timeout=400)
    return process.wait(), err


def files(folder: Path, *names: str) -> dict[str, bytes]:
    """What each file of these folders of a store holds; of all folders where none is named."""
    found = [path for name in names or ("",) for path in (folder / "store" / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def bits(folder: Path) -> dict[str, Any]:
    """What the records of a store say of the trials' numbers, and of the machine as far as that decides them."""
    records = [json.loads(path.read_text()) for path in sorted((folder / "store/records").glob("*.json"))]
    machine = {name: records[0]["environment"][name] for name in SAME_BITS}
    packages = {name: n for record in records for name, n in record["environment"]["packages"].items()}
    machine |= {name: packages[name] for name in LIBRARIES if name in packages}
    names = ("status", "counts", "test_counts", "values", "epochs", "data", "accuracy", "files")
    return {"machine": machine, "trials": {record["key"]: {name: record[name] for name in names} for record in records}}


def copied(folder: Path) -> Path:
    for path in (GOLDEN / "run").iterdir():
        shutil.copy(path, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["small", "tuned"])
def test_a_plan_of_an_earlier_protocol_is_left_as_it_is(spec: str, folder: Path):
    before = files(copied(folder))
    code, err = run(folder, spec)
    assert code == 1, err
    assert f"store holds {spec} as it was trained under protocol 1" in err
    assert "Traceback" not in err
    after = files(folder)
    assert {name: after[name] for name in before} == before


def check_nothing_is_trained(folder: Path, spec: str, code: int, trials: int) -> None:
    """Where all has been trained already."""
    kept = "records", "arrays", "rungs", "searches", "plans"
    before = files(folder, *kept)
    ended, err = run(folder, spec)
    assert ended == code, err
    assert f"{trials} of {trials} trials are already finished" in err
    assert files(folder, *kept) == before


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "code", "trials"), [("small", 2, 6), ("tuned", 0, 6), ("table", 0, 10)])
def test_a_run_has_the_same_bits_and_a_full_store_trains_nothing(
    spec: str, code: int, trials: int, tmp_path: Path, shared_ray: dict[str, str]
):
    ended, err = run(copied(tmp_path), spec, **shared_ray)
    assert ended == code, err
    found, golden = bits(tmp_path), json.loads((GOLDEN / "bits.json").read_text())[spec]
    assert found["trials"].keys() == golden["trials"].keys()
    if spec != "table":  # of which nothing new would be shown
        check_nothing_is_trained(tmp_path, spec, code, trials)
    if found["machine"] != golden["machine"]:
        pytest.skip(
            f"bits are promised for one kind of machine; here and there: {found['machine']}, {golden['machine']}"
        )
    assert found["trials"] == golden["trials"]


# How what is compared with was made


def write() -> None:
    """Make ``keys-2.json``, ``bits.json`` and ``expected/`` anew, with the tailboard of this interpreter. The store and
    what is of the first protocol stay."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary).resolve()
        with tarfile.open(GOLDEN / "store.tar.xz") as archive:
            archive.extractall(place, filter="data")
        os.chdir(place)
        for variable in ("TAILBOARD_DATA", "MLFLOW_TRACKING_URI"):
            os.environ.pop(variable, None)

        def said(*words: Any) -> str:
            sys.argv = ["tailboard", *map(str, words)]
            with redirect_stdout(StringIO()) as out, suppress(SystemExit):
                runpy.run_module("tailboard", run_name="__main__")
            return normalised(out.getvalue(), place)

        keys = {}
        for source in SPECS:
            path = GOLDEN / "specs" / source
            keys[source] = summary(json.loads(said("plan", path if path.exists() else source, "--json")))
        (GOLDEN / "keys-2.json").write_text(json.dumps(keys, indent=1) + "\n")
        found = {}
        for spec in ("small", "tuned", "table"):
            (place / spec).mkdir()
            run(copied(place / spec), spec)
            found[spec] = bits(place / spec)
        (GOLDEN / "bits.json").write_text(json.dumps(found, indent=1) + "\n")
        goal = GOLDEN / "expected"
        goal.mkdir(exist_ok=True)
        forge(place / "bundle.zip", place / "forged.zip")
        for name, words in {
            **{name: ["report", "store", *words] for name, words in REPORTS.items()},
            "verify.txt": ["verify", "bundle.zip"], "verify.json": ["verify", "bundle.zip", "--json"],
            "forged.txt": ["verify", "forged.zip"], "forged.json": ["verify", "forged.zip", "--json"],
            "status.txt": ["status", "store"], "status.json": ["status", "store", "--json"],
        }.items():  # fmt: skip
            (goal / name).write_text(said(*words), encoding="utf-8")
        said("report", "store", "--format", "parquet", "-o", goal / "report.parquet")
        said("report", "store", "--curve", goal / "curve.csv", "--html", "page.html")
        shown = parts((place / "page.html").read_text(encoding="utf-8"))
        (goal / "page.json").write_text(json.dumps(shown, indent=1) + "\n")
        exported = said("export", "store", "-o", "again.zip").replace("again.zip", "bundle.zip")
        (goal / "export.txt").write_text(exported)


if __name__ == "__main__":
    write()
