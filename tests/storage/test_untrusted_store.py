"""A store that someone else may write to: what is hostile in it does no harm. Real files, read as the commands do."""

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from small_spec import SMALL
from tailboard.harness.cli import app
from tailboard.harness.errors import StoreError
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage import lease
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.repair import set_aside
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.optuna_study import open_storage
from tailboard.harness.tuning.search import searches

RAW = SMALL
SPEC = parse(RAW)
(TRIAL,) = plan(SPEC)
KEY = TRIAL.key
SCRIPT = "<script>alert(1)</script> [x](javascript:y) \\input{/etc/passwd} $$ \x1b[2J\x1b]0;owned\x07 \u202eabc\x9b31m"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]")


def record(**changes) -> Record:
    about = {"status": "complete", "counts": [30] * 10, "accuracy": {"last_ema": [50.0] * 10, "last": [50.0] * 10}}
    return Record.model_validate({"key": KEY, "trial": TRIAL, **about, **changes})


@pytest.fixture
def secret(tmp_path) -> Path:
    """What is outside of the store, and stays as it is."""
    path = tmp_path / "outside" / "secret.txt"
    path.parent.mkdir()
    path.write_text("my secret")
    yield path
    assert path.read_text() == "my secret"
    assert [found.name for found in path.parent.iterdir()] == ["secret.txt"]


@pytest.fixture
def store(tmp_path) -> Store:
    store = Store(tmp_path / "store")
    store.write_plan(SPEC)
    return store


@pytest.fixture(params=["disk", "s3"])
def any_store(request, tmp_path) -> Store:
    return Store(f"{request.getfixturevalue('bucket')}/x" if request.param == "s3" else tmp_path / "store")


def everything(store: Store) -> str:
    """All that the store holds, in one text."""
    files = [path for path in Path(store.root).rglob("*") if path.is_file() and not path.is_symlink()]
    return "".join(path.read_text(errors="replace") for path in files)


def command(capsys, *words: str) -> tuple[int, str, str]:
    """A `tailboard` command, but for MLflow's mirror."""
    with pytest.raises(SystemExit) as ended, pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailboard.harness.tracking.background.catch_up_all", lambda *_: "")
        patch.setattr(sys, "argv", ["tailboard", *words])
        app.main()
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return ended.value.code or 0, out, err


@pytest.mark.parametrize(
    "name", ["../../outside/x", "records/../../x", "/etc/x", "records//x", "records/.", "a\\..\\x", ""]
)
def test_no_name_leads_out(any_store, secret, name):
    for action in (
        lambda: any_store.write(name, b"x"), lambda: any_store.read(name), lambda: any_store.has(name),
        lambda: any_store.remove(name), lambda: any_store.move("a", name), lambda: any_store.move(name, "a"),
        lambda: any_store.record(f"../{name}"),
    ):  # fmt: skip
        with pytest.raises(StoreError, match="is no name of a file in a store"):
            action()


def test_no_word_in_a_record_or_a_plan_leads_out(any_store, secret):
    for changes in ({"files": {"../../outside/secret.txt": "0"}}, {"files": {"arrays/../../x.npz": "0"}}):
        raw = record().model_dump(mode="json") | changes
        any_store.write(f"records/{KEY}.json", json.dumps(raw).encode())
        with pytest.raises(StoreError, match="is damaged"):
            any_store.record(KEY)
    any_store.write(f"records/{KEY}.json", record().model_dump_json().replace(f'"{KEY}"', '"../../x"').encode())
    with pytest.raises(StoreError, match=r"it says that it is \.\./\.\./x"):
        any_store.result(KEY)
    any_store.write("plans/t.json", SPEC.model_dump_json().replace('"name":"t"', '"name":"../../x"').encode())
    with pytest.raises(StoreError, match=r"plans/t\.json is damaged"):
        any_store.plans()


@pytest.mark.parametrize("name", ["records", "report", "damaged"])
def test_a_folder_that_is_a_link_is_refused(store, secret, name):
    (Path(store.root) / name).symlink_to(secret.parent)
    for action in (lambda: store.write(f"{name}/x.json", b"x"), lambda: store.read(f"{name}/secret.txt"),
                   lambda: store.names(name), lambda: store.remove(f"{name}/secret.txt")):  # fmt: skip
        with pytest.raises(StoreError, match=f"{name} is a link"):
            action()


def test_a_file_that_is_a_link_is_neither_read_nor_copied(store, secret, capsys):
    """What is moved aside is moved, so that nobody finds the file that it led to."""
    (Path(store.root) / "records").mkdir()
    (Path(store.root) / "records" / f"{KEY}.json").symlink_to(secret)
    (Path(store.root) / "broken").mkdir()
    (Path(store.root) / "broken" / KEY).symlink_to(secret)
    code, out, err = command(capsys, "report", store.url)
    assert code == 2 and "damaged" in err and "my secret" not in out + err
    (message,) = set_aside(store, [KEY])
    assert "is no file but a link" in message
    assert store.finished() == set()
    assert (Path(store.root) / "damaged" / f"{KEY}.json").is_symlink()
    assert "my secret" not in everything(store)
    store.write_record(record())
    assert store.result(KEY).status == "complete"


@pytest.mark.parametrize("name", ["studies.db", "mlflow.db"])
def test_a_database_that_is_a_link_is_not_opened(store, tmp_path, name, monkeypatch):
    from tailboard.harness.tracking.uri import tracking_uri

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mine = tmp_path / "mine.db"
    with sqlite3.connect(mine) as database:
        database.execute("create table mine (x)")
    before = mine.read_bytes()
    (Path(store.root) / name).symlink_to(mine)
    opens = {"studies.db": lambda: open_storage(store).__enter__(), "mlflow.db": lambda: tracking_uri(SPEC, store)}
    with pytest.raises(StoreError, match="a link"):
        opens[name]()
    assert mine.read_bytes() == before


def test_a_lock_that_is_a_link_empties_no_other_file(store, secret):
    from tailboard.harness.storage.lease import only_driver

    (Path(store.root) / ".lock").symlink_to(secret)
    with pytest.raises(StoreError, match="link"), only_driver(store):
        pass


def test_a_pipe_is_not_waited_for(store, capsys):
    for folder, name in (("records", f"{KEY}.json"), ("broken", KEY)):
        (Path(store.root) / folder).mkdir()
        os.mkfifo(Path(store.root) / folder / name)
    code, _, err = command(capsys, "report", store.url)
    assert code == 2 and "a pipe or a device" in err
    assert len(set_aside(store, [KEY])) == 1


@pytest.mark.parametrize("name", ["records/{}.json", "plans/t.json", "arrays/{}.npz", "checkpoints/{}.pt", "broken/{}"])
def test_a_huge_file_is_refused_by_its_size(store, name):
    path = Path(store.root) / name.format(KEY)
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.truncate(1 << 40)  # a hole: it takes no space
    tracemalloc.start()
    with pytest.raises(StoreError, match="is larger than"):
        store.read(name.format(KEY))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_large_object_in_a_bucket_is_refused_by_what_is_read_of_it(bucket, monkeypatch):
    from tailboard.harness.storage import files

    store = Store(f"{bucket}/x")
    monkeypatch.setattr(files, "LARGEST", 1000)
    store.write(f"records/{KEY}.json", b"[" * 1_000_000)
    seen = []
    monkeypatch.setattr(store, "files", Watched(store.files, seen))
    with pytest.raises(StoreError, match="is larger than"):
        store.record(KEY)
    assert seen == [1001]
    assert len(set_aside(store, [KEY])) == 1, "and moved without being read"
    assert store.names("damaged") == {f"{KEY}.json"}


class Watched:
    def __init__(self, files, seen):
        self._files, self._seen = files, seen

    def __getattr__(self, name):
        return getattr(self._files, name)

    def cat_file(self, *args, **options):
        data = self._files.cat_file(*args, **options)
        self._seen.append(len(data))
        return data


def header(shape: tuple[int, ...], kind: str) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": kind, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def zipped(name: str, *parts: bytes) -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as file,
    ):
        for part in parts:
            file.write(part)
    return buffer.getvalue()


READ = """
import resource, sys, torch
from tailboard.harness.storage.store import Store
from tailboard.harness.errors import StoreError
store = Store(sys.argv[1])
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + (600 << 20),) * 2)
for key in sys.argv[2:]:
    try:
        store.tensors(f"checkpoints/{key}.pt") if key == "torch" else store.arrays(key)
    except StoreError as error:
        print(error)
"""


def bomb(says: int) -> bytes:
    """700 MiB of zeros in 3 MiB, of which the archive says that they are so many bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        with archive.open("x.npy", "w") as file:
            file.write(start := header((says,), "|u1"))
            for _ in range(700):
                file.write(bytes(1 << 20))
        archive.infolist()[0].file_size = says + len(start)
    return buffer.getvalue()


def torch_bomb() -> bytes:
    good = io.BytesIO()
    torch.save({"x": torch.zeros(8 << 20)}, good)
    packed = io.BytesIO()
    with zipfile.ZipFile(good) as start, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as goal:
        for entry in start.infolist():
            goal.writestr(entry.filename, start.read(entry))
    return packed.getvalue()


HUGE = {
    "declared": (lambda: zipped("x.npy", header((10**12,), "<f8"), bytes(100)), "as many numbers as it says"),
    "nothing": (lambda: zipped("x.npy", header((10**6, 10**6), "|V0")), "holds no numbers"),
    "negative": (lambda: zipped("x.npy", header((-1, -100), "|u1"), bytes(100)), "as many numbers as it says"),
    "text": (lambda: zipped("x.npy", header((3,), "<U1000"), bytes(12_000)), "holds no numbers"),
    "bomb": (lambda: bomb(says=5 << 30), "would unpack to 5 GiB"),
    "lies": (lambda: bomb(says=1000), "Bad CRC"),
    "torch": (torch_bomb, "would unpack to more than its own size"),
}


@pytest.mark.slow
def test_what_claims_to_be_huge_takes_no_memory(tmp_path):
    """Read in a process that may have 600 MiB more than it has."""
    store = Store(tmp_path)
    for key, (make, _) in HUGE.items():
        store.write(f"checkpoints/{key}.pt" if key == "torch" else f"arrays/{key}.npz", make())
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path), *HUGE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for (key, (_, words)), line in zip(HUGE.items(), done.stdout.splitlines(), strict=True):
        assert f"/{key}." in line and "is damaged" in line and words in line


def test_deep_nesting_and_huge_numbers_are_damage(store):
    for text in (
        "[" * 1_000_000,
        '{"key":' * 100_000,
        '{"key": ' + "9" * 1_000_000 + "}",
        '{"wall_seconds": 1e999999}',
    ):
        store.write(f"records/{KEY}.json", text.encode())
        with pytest.raises(StoreError, match="is damaged"):
            store.record(KEY)
        store.write(lease.FILE, text.encode())
        assert not lease._alive(lease._other(store))


@pytest.mark.slow
@pytest.mark.parametrize(
    "saved",
    [
        [1], {"run": 1, "past": 2}, {"run": {"done": "x"}, "past": {}},
        {"run": {"done": 1}, "past": {"wall_seconds": 1.0, "attempts": 1, "started": ""}},
        {"run": {"done": 1, "trained": {"x": torch.zeros(1).expand(10**12)}},
         "past": {"wall_seconds": 1.0, "attempts": 1, "started": ""}},
    ],
)  # fmt: skip
def test_a_checkpoint_of_something_else_is_not_the_method_s_fault(store, saved):
    store.write_tensors(f"checkpoints/{KEY}.pt", saved)
    try:
        found = run_trial(Job.of(TRIAL), TrialContext(store.url))
    except StoreError as error:  # Tune tries it again
        assert "does not fit its trial" in str(error)
        found = run_trial(Job.of(TRIAL), TrialContext(store.url))
    assert found.status == "complete"


def test_scripts_and_control_characters_are_shown_as_text(store, capsys, monkeypatch):
    """In a reason, a method's name and values: escaped where they are published, harmless on a terminal."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.root}/m.db")
    raw = SPEC.model_dump(mode="json")
    raw["methods"] = [{"name": f"A {SCRIPT}", "values": {f"v {SCRIPT}": SCRIPT}}]
    raw["shots"]["few"], raw["seeds"] = 20, [0, 1, 2]
    spec = type(SPEC).model_validate(raw)
    store.write_plan(spec)
    failed, odd, broken = plan(spec)
    store.write_record(record(key=failed.key, trial=failed, status="failed", reason=SCRIPT, log=SCRIPT))
    store.write(f"records/{odd.key}.json", json.dumps({"key": SCRIPT, "status": "failed"}).encode())
    store.write_broken(broken.key, SCRIPT)
    for words in (["report"], ["report", "--format", "latex"], ["report", "--format", "csv"],
                  ["report", "--format", "json"], ["status"], ["status", "--json"]):  # fmt: skip
        _, out, err = command(capsys, words[0], store.url, *words[1:])
        assert not CONTROL.search(out + err), words
        if words == ["report"]:
            assert "<script" not in out and "&lt;script" in out and "[x](java" not in out
        if "latex" in words:
            assert "\\input" not in out and "\\textbackslash{}input" in out and "$$" not in out


def test_an_identity_and_arrays_of_another_do_not_reach_mlflow(store):
    store.write("identity", b"x' or tags.a = 'b")
    with pytest.raises(StoreError, match="identity is damaged"):
        store.identity()


def test_a_damaged_search_is_told_in_one_line(store, capsys):
    raw = RAW | {"methods": "SAM", "tune": {"trials": 4, "parameters": "all"}}
    save_searches(parse(raw), searches(parse(raw)), store)
    store.write_plan(parse(raw))
    store.write("studies.db", b"no database" * 1000)
    for words in (["report", store.url], ["status", store.url]):
        code, _, err = command(capsys, *words)
        assert code == 1
        assert re.fullmatch(r"error: .*studies\.db cannot be read: .*\n", err)


WRONG_ROUTINES = {
    "tune.training": lambda raw, words: raw["tune"].update(training=words),
    "methods.SAM.training": lambda raw, words: raw["methods"][0].update(training=words),
}


@pytest.mark.parametrize("field", WRONG_ROUTINES)
@pytest.mark.parametrize("words", [{"epoch": 2}, {"epochs": "many"}, {"lr": -1}, {"batch_size": None}])
def test_a_stored_plan_with_a_wrong_word_of_a_routine_is_told_in_one_line(store, capsys, field, words):
    raw = parse(RAW | {"methods": "SAM", "tune": {"trials": 4, "parameters": "all"}}).model_dump(mode="json")
    WRONG_ROUTINES[field](raw, words)
    store.write("plans/t.json", json.dumps(raw).encode())
    for command_ in ("report", "status"):
        code, _, err = command(capsys, command_, store.url)
        word = rf"{field}\.{next(iter(words))}"
        assert code == 1 and re.fullmatch(rf"error: .*plans/t\.json is damaged: .*{word}: .*\n", err), err


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_a_killed_worker_had_begun_to_write_is_gone_when_a_run_has_ended(
    tmp_path, capsys, monkeypatch, interrupted
):
    (tmp_path / "t.yaml").write_text(json.dumps(RAW))
    parts = [tmp_path / "store" / folder / f".{'a' * 32}.part" for folder in ("checkpoints", "records")]

    def killed(*_) -> bool:
        for part in parts:
            part.parent.mkdir(exist_ok=True)
            part.touch()
        return interrupted

    monkeypatch.setattr("tailboard.harness.driver.execute", killed)
    code, _, err = command(capsys, "run", str(tmp_path / "t.yaml"), "--store", str(tmp_path / "store"))
    assert code == (130 if interrupted else 2), err
    assert [part.exists() for part in parts] == [interrupted, True], (
        "a worker of a run that was stopped may still write"
    )


def test_a_store_that_is_deleted_while_it_is_filled_has_its_plan_again(tmp_path, capsys, monkeypatch):
    (tmp_path / "t.yaml").write_text(json.dumps(RAW))
    place = tmp_path / "store"

    def deleted(*_) -> bool:
        place.rename(tmp_path / "gone")
        return False

    monkeypatch.setattr("tailboard.harness.driver.execute", deleted)
    code, _, err = command(capsys, "run", str(tmp_path / "t.yaml"), "--store", str(place))
    assert code == 2 and "was deleted while it was filled: the plan is written again" in err, err
    code, out, err = command(capsys, "report", str(place))
    assert (code, err) == (2, "") and "ERM" in out
