"""A store in which something is changed at random: each command says in lines what is wrong, or that nothing is, ends
soon, and touches nothing outside. ``make fuzz`` tries three thousand changes, `make test` a few hundred."""

import json
import os
import random
import shutil
import sqlite3
import sys
import time
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tailboard.harness.cli import app
from tailboard.harness.metrics.scores import per_class_accuracy
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.planning.request import RunRequest
from tailboard.harness.registry.datasets import long_tail
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage import index
from tailboard.harness.storage.packed_keys import packed
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.tracking import background
from tailboard.harness.training.job import record_of
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.optuna_study import open_storage
from tailboard.harness.tuning.search import searches

pytestmark = [pytest.mark.slow, pytest.mark.fuzz, pytest.mark.timeout(3600)]

CHANGES = 3000 if os.environ.get("TAILBOARD_FUZZ") == "all" else 150
LONGEST_SECONDS = 30.0
COMMANDS = (["report"], ["report", "--format", "json"], ["status"], ["status", "--json"], ["export", "-o", "b.zip"])
DATA = {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60}
RAW = {"data": DATA, "network": "small", "training": {"epochs": 4, "batch_size": 32}, "seeds": 2}
SPECS = [
    parse(RAW | {"name": "plain", "methods": ["ERM", "M2m"]}),
    parse(RAW | {"name": "tuned", "methods": "Focal Loss", "tune": {"trials": 4, "parameters": ["gamma"], "training": {
        "epochs": 4}}}),
]  # fmt: skip
ODD: list[Any] = [
    None, True, -1, 0, 3, 1e308, 10**30, "", "x", "../x", "/etc/passwd", [], [[]], {}, {"x": 1}, [1] * 50, "\x1b[2J",
    float("nan"), "=1+1", "a\nb", 0.5,
]  # fmt: skip
BYTES = [b"", b"\0", b"[" * 100_000, b"9" * 10_000, b"\xff\xfe", b"{}", b"null", b"PK\x03\x04", b'"\xed\xa0\x80"']


class Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def made_up(trial: Any, store: Store, epochs: int, pruned: bool) -> None:
    """What a trial might have come to; nothing is trained."""
    rng = np.random.default_rng(int(trial.key, 16))
    labels = np.repeat(np.arange(10), 6).astype(np.int16)
    logits = rng.normal(size=(60, 10)).astype(np.float16)
    history = {"history_epoch": np.arange(epochs), "history_loss": np.ones(epochs)}
    arrays = {"last_ema": logits, "last": logits, "labels": labels, **history}
    about = {
        "status": "pruned" if pruned else "complete", "epochs": epochs, "train_seconds": 1.5, "wall_seconds": 2.0,
        "counts": long_tail(trial.data, trial.val_per_class), "test_counts": (6,) * 10, "values": trial.method.values,
        "accuracy": {name: per_class_accuracy(logits, labels) for name in ("last_ema", "last")},
        "data": {"verified": False, "hashes": {}, "fingerprint": "0" * 64}, "environment": {"commit": "x"},
    }  # fmt: skip
    if not pruned:
        store.write_arrays(trial.key, arrays)
        store.write_weights(trial.key, {})
    record = Record.model_validate({"key": trial.key, "trial": trial, **about})
    (store.write_rung if pruned else store.write_record)(record)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A store of two plans, one of them tuned, with a file of each kind."""
    store = Store(tmp_path_factory.mktemp("fuzz") / "store")
    for spec in SPECS:
        save_searches(spec, searches(spec), store)
        store.write_plan(spec)
    with open_storage(store) as opened:
        agenda = JobQueue(store)
        for spec in SPECS:
            fill_queue(agenda, RunRequest(spec), opened, Silent())  # type: ignore[arg-type]
        while job := agenda.pop():
            made_up(job.trial, store, job.target_epoch, pruned=not job.is_final)
            agenda.complete(job, record_of(job, store))
    keys = [trial.key for trial in resolve_dependencies(plan(SPECS[0]), {}).trials]
    found, *_ = index.trial_results(store, packed(keys))
    index.write(store, found, store.stamps())
    store.write_broken(keys[0], "a worker died")
    store.write_silent(keys[0], "in waits\n")
    store.mark_tracked(keys[0], {"run": "x"})
    store.begin_tracking("plain")
    store.identity()
    store.write("driver.json", json.dumps({"host": "x", "pid": 1, "at": 0, "process": []}).encode())
    store.write("progress.json", json.dumps({"host": "x", "pid": 1, "trials": {}}).encode())
    return Path(store.root)


def places(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [path, *(place for key, value in inside for place in places(value, (*path, key)))]


def change_word(path: Path, rng: random.Random) -> str:
    """A part of a text becomes something else, is left out, or is doubled under another name."""
    raw = json.loads(path.read_bytes())
    inner, (*way, last) = raw, rng.choice(places(raw)[1:])
    for key in way:
        inner = inner[key]
    odd, how = rng.choice(ODD), rng.choice(("replaced", "replaced", "removed", "added"))
    if how == "removed":
        del inner[last]
    elif how == "added" and isinstance(inner, dict):
        inner[f"{last}x"] = odd
    else:
        inner[last] = odd
    path.write_text(json.dumps(raw))
    return f"{path.name}: {[*way, last]} {how}, {odd!r}"


def change_bytes(path: Path, rng: random.Random) -> str:
    data = path.read_bytes()
    at = rng.randrange(len(data) + 1)
    bad = rng.choice(BYTES)
    changed = rng.choice((data[:at], data[:at] + bad + data[at + 1 :], bad, data + bad, data[at:] + data[:at]))
    path.write_bytes(changed)
    return f"{path.name}: bytes at {at}, {bad[:9]!r}"


def change_kind(path: Path, rng: random.Random) -> str:
    """It is no file any more, is gone, or has another name."""
    how = rng.choice(("a folder", "a pipe", "a link", "a loop", "gone", "doubled"))
    if how != "doubled":
        path.unlink()
    match how:
        case "a folder":
            path.mkdir()
        case "a pipe":
            os.mkfifo(path)
        case "a link":
            path.symlink_to("/etc/passwd")
        case "a loop":
            path.symlink_to(path)
        case "doubled":
            shutil.copy(path, path.with_name(f"{path.stem} (copy){path.suffix}"))
    return f"{path.name}: {how}"


def change_cell(path: Path, rng: random.Random) -> str:
    """A cell of Optuna's tables, in every row or in one."""
    with closing(sqlite3.connect(path)) as database:
        tables = [name for (name,) in database.execute("select name from sqlite_schema where type = 'table'")]
        table = rng.choice(tables)
        column = rng.choice([row[1] for row in database.execute(f"pragma table_info({table})")])
        value = rng.choice([None, -1, 0, 7, 1e308, "x", "", "{", "[1]", '{"a": 1}', b"\0", "FAIL", 10**17])
        one = rng.choice(("", " where rowid = 1"))
        database.execute(f"update {table} set {column} = ?{one}", (value,))  # noqa: S608
        database.commit()
    return f"{table}.{column}: {value!r}{one}"


def changed(root: Path, rng: random.Random) -> str:
    """What was changed; an earlier change may have left nothing to change."""
    try:
        return change(root, rng)
    except (ValueError, IndexError, OSError, sqlite3.Error) as error:
        return f"nothing: {error}"


def change(root: Path, rng: random.Random) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    texts = [path for path in files if path.suffix == ".json"]
    match rng.randrange(8):
        case 0 | 1 | 2 | 3:
            return change_word(rng.choice(texts), rng)
        case 4:
            return change_bytes(rng.choice(files), rng)
        case 5:
            return change_kind(rng.choice(files), rng)
    return change_cell(root / "studies.db", rng)


def command(words: list[str], patch: pytest.MonkeyPatch) -> int:
    patch.setattr(sys, "argv", ["tailboard", *words])
    with pytest.raises(SystemExit) as ended:
        app.main()
    return int(ended.value.code or 0)


def test_whatever_is_changed_in_a_store_ends_in_lines(whole, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(background, "catch_up_all", lambda *_: "")
    monkeypatch.setattr("tailboard.harness.storage.files.os.fsync", lambda _: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outside.txt").write_text("mine")
    faults = []
    for seed in range(CHANGES):
        rng = random.Random(seed)  # noqa: S311
        shutil.copytree(whole, tmp_path / "store")
        about = "; ".join(changed(tmp_path / "store", rng) for _ in range(rng.choice((1, 1, 1, 3))))
        words = rng.choice(COMMANDS)
        begin = time.monotonic()
        try:
            code = command([words[0], "store", *words[1:]], monkeypatch)
        except Exception as error:
            code = "".join(traceback.format_exception(error)[-3:])
        out, err = capsys.readouterr()
        seconds = time.monotonic() - begin
        bad = code not in (0, 1, 2, 3) or "Traceback" in err or "\x1b" in out + err or seconds > LONGEST_SECONDS
        left = sorted(path.name for path in tmp_path.iterdir() if path.name not in ("store", "b.zip"))
        if bad or left != ["outside.txt"] or (tmp_path / "outside.txt").read_text() != "mine":
            faults.append(f"seed {seed}, {' '.join(words)}, {about}: {code}, {seconds:.0f} s, {left}, {err[-300:]}")
        shutil.rmtree(tmp_path / "store")
        (tmp_path / "b.zip").unlink(missing_ok=True)
    assert not faults, f"{len(faults)} of {CHANGES}:\n" + "\n".join(faults)


def test_the_store_that_is_changed_is_whole(whole, tmp_path, monkeypatch, capsys):
    """Else every change would end at the same early fault."""
    monkeypatch.setattr(background, "catch_up_all", lambda *_: "")
    monkeypatch.chdir(tmp_path)
    assert command(["report", str(whole)], monkeypatch) == 0
    assert command(["status", str(whole)], monkeypatch) == 0
    assert "Focal Loss" in capsys.readouterr().out
