"""SQLite files of a store that a stranger made: looking at them deletes nothing, changes nothing and ends soon, and
what is wrong in them is told in a line."""

import re
import shutil
import sqlite3
import struct
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tailboard.harness.cli import app
from tailboard.harness.errors import StoreError
from tailboard.harness.spec.parser import parse
from tailboard.harness.storage.sqlite import require_harmless
from tailboard.harness.storage.store import Store
from tailboard.harness.tracking import background
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.optuna_study import create_study, open_storage
from tailboard.harness.tuning.search import searches

SPEC = parse({
    "name": "t", "data": "fashion-mnist-mini", "methods": "SAM", "network": "small", "seeds": 1,
    "tune": {"trials": 4, "parameters": "all"},
})  # fmt: skip
FOREVER = "with recursive n(x) as (select 1 union all select x + 1 from n) select"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> Path:
    """A store in whose study something has come of two configurations of four."""
    store = Store(tmp_path_factory.mktemp("tuned"))
    (search,) = searches(SPEC).values()
    store.write_plan(SPEC)
    save_searches(SPEC, {search.experiment.canonical: search}, store)
    with open_storage(store) as opened:
        study = create_study(opened, search.name)
        first, second, *_ = study.generation(search.space, 0, 4, "tpe", 3)
        for one, value in ((first, 50.0), (second, 60.0)):
            about = {"state": "complete", "value": value, "epochs": 2, "seconds": 1.0, "keys": ("0" * 20,)}
            study.tell(type(one)(**vars(one) | about), {1: value})
    return Path(store.root)


@pytest.fixture
def store(tuned, tmp_path) -> Store:
    shutil.copytree(tuned, tmp_path / "store")
    return Store(tmp_path / "store")


@pytest.fixture
def secret(tmp_path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text("mine")
    return path


def command(capsys, *words: str) -> tuple[int, str]:
    """The exit code and stderr of a command, but for MLflow's mirror."""
    with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patch:
        patch.setattr(background, "catch_up_all", lambda *_: "")
        patch.setattr(sys, "argv", ["tailboard", *words])
        app.main()
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return int(ended.value.code or 0), err


def journal(names: Path) -> bytes:
    """What a transaction over several databases leaves when it is cut off: it names the file of them all."""
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(names).encode()
    head = magic + struct.pack(">5I", 0, 1, 1, 512, 4096)
    tail = struct.pack(">I", (1 << 30) // 4096 + 1) + name + struct.pack(">2I", len(name), sum(name)) + magic
    return head.ljust(512, b"\0") + tail


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_journal_that_names_a_file_of_the_user_s_deletes_it_not(store, secret, capsys, monkeypatch):
    """For whoever opens the database where it lies, SQLite does delete it."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root = Path(store.root)
    shutil.copy(root / "studies.db", root / "mlflow.db")
    for name in ("studies.db", "mlflow.db"):
        (root / f"{name}-journal").write_bytes(journal(secret))
    before = files(root)
    for words in (["report", str(root)], ["status", str(root)]):
        code, err = command(capsys, *words)
        assert (code, err) == ({"report": 2, "status": 0}[words[0]], ""), err
    store.begin_tracking("t")
    why = background.catch_up(SPEC, store, [])
    store.end_tracking("t")
    assert re.fullmatch(r".*/mlflow\.db is not opened: mlflow\.db-journal beside it leads to another file; .*", why)
    assert files(root) == before and secret.read_text() == "mine"
    with closing(sqlite3.connect(root / "mlflow.db")) as database, suppress(sqlite3.DatabaseError):
        database.execute("select * from sqlite_schema").fetchall()
    assert not secret.exists(), "the trap does work"


def test_a_file_beside_a_database_that_is_a_link_is_not_written_through(store, secret):
    path = Path(store.root) / "studies.db"
    for ending in ("-journal", "-wal", "-shm"):
        beside = path.with_name(path.name + ending)
        beside.symlink_to(secret)
        with pytest.raises(StoreError, match=f"studies.db{ending} beside it leads to another file"):
            require_harmless(path, "studies.db")
        beside.unlink()


HANGS = {
    "a view": f"drop table trials; create view trials as {FOREVER} x as trial_id from n",
    "a trigger": f"create trigger t after insert on trials begin insert into studies {FOREVER} x, x from n; end",
    "a column": "create table t (x, y as (hex(zeroblob(400000000))))",
    "a virtual table": "create virtual table t using fts5(x)",
}
WRONG = {
    "a state": "update trials set state = 'DONE'",
    "a direction": "update study_directions set direction = 'UP'",
    "a value's type": "update trial_values set value_type = 'BIG'",
    "a value": "update trial_values set value = 'much'",
    "an infinite value": "update trial_intermediate_values set intermediate_value_type = 'INF_POS'",
    "a judged value": "update trial_intermediate_values set intermediate_value = 'much'",
    "a step": "update trial_intermediate_values set step = 'late'",
    "a range": "update trial_params set distribution_json = '{}'",
    "no JSON": "update trial_params set distribution_json = '{'",
    "a parameter": "update trial_params set param_value = 'much'",
    "an attribute": "update trial_user_attributes set value_json = '{\"a\": [1]}'",
    "no attribute": "update trial_user_attributes set value_json = '['",
    "a number": "update trials set number = 7",
    "a date": "update trials set datetime_start = 'soon'",
    "a table": "drop table trial_params",
    "a column": "alter table trials drop column datetime_start",
    "blobs": "update trial_user_attributes set value_json = zeroblob(10)",
}


def test_what_is_not_asked_for_may_be_missing(store, capsys):
    with closing(sqlite3.connect(Path(store.root) / "studies.db")) as database:
        database.executescript("delete from study_directions; delete from version_info")
    assert command(capsys, "report", store.url) == (2, "")


@pytest.mark.parametrize("statement", [*HANGS.values(), *WRONG.values()], ids=[*HANGS, *WRONG])
def test_what_no_run_of_ours_writes_is_told_in_a_line(store, capsys, statement):
    root = Path(store.root)
    with closing(sqlite3.connect(root / "studies.db")) as database:
        database.executescript(statement)
    before = files(root)
    for words in (["report", str(root)], ["status", str(root)]):
        code, err = command(capsys, *words)
        reason = "is not opened: it holds 'create" if statement in HANGS.values() else "studies.db cannot be read: "
        assert code == 1 and len(err.splitlines()) == 1 and reason in err.lower(), (code, err)
    assert files(root) == before
