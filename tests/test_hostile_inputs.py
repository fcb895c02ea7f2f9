"""What strangers, accidents and odd environments bring, a row for each: what is there, how the command ends, what it
says, and that nothing else has changed. Rows that need a cluster, a server or a forged file stand where ``ELSEWHERE``
says."""

from __future__ import annotations

import ast
import gzip
import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from tailboard import LONGEST, UserError
from tailboard.datasets.files import checksum, read_bytes
from tailboard.datasets.readers import eurosat
from tailboard.datasets.user_images.readers import table
from tailboard.datasets.user_images.source import Source
from tailboard.datasets.user_tables.collections_of_tables import DESCRIPTION
from tailboard.datasets.user_tables.openml_cache import OpenmlSet
from tailboard.harness.cli import run
from tailboard.harness.prediction.table_rows import _of_csv
from tailboard.harness.reporting import natural_frequencies, recommendation, report
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.plugin_files import with_plugin
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store

FIELDS = {
    "name": "t",
    "data": "{name: fashion-mnist-mini, imbalance_factor: 10, head: 60}",
    "methods": "ERM",
    "network": "small",
    "seeds": "1",
}
HUNDRED = f"[{', '.join(map(str, range(1, 101)))}]"
LONG = f'x: &x "{"x" * 500_000}"\n'
PLUGIN = 'from tailboard.methods.recipe import Recipe, register\nregister("Mine", Recipe())\n'
BOM = b"\xef\xbb\xbf"


def text(before: str = "", **changes: str) -> str:
    return before + "".join(f"{key}: {value}\n" for key, value in (FIELDS | changes).items())


def spec(before: str = "", **changes: str) -> Callable[[Path], None]:
    """A folder with the spec t.yaml, a pipe, and a plugin; specs and plugins begin with a byte order mark."""

    def prepare(folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        (folder / "mine.py").write_bytes(BOM + PLUGIN.encode())
        (folder / "t.yaml").write_bytes(BOM + text(before, **changes).encode())

    return prepare


def store(name: str) -> Callable[[Path], None]:
    """A complete store of one trial, which no tracker has to be told of."""

    def prepare(folder: Path) -> None:
        spec()(folder)
        made, wanted = Store(name), parse({"name": "t", "data": "fashion-mnist-mini", "methods": "ERM", "seeds": 1})
        made.write_plan(wanted)
        (trial,) = plan(wanted)
        about = {"counts": [30] * 10, "accuracy": {"last_ema": [50.0] * 10}}
        made.write_record(Record.model_validate({"key": trial.key, "trial": trial, "status": "complete"} | about))
        made.mark_tracked(trial.key, {})
        assert Path(name, "plans").is_dir()

    return prepare


def photos(folder: Path) -> None:
    """A spec of two classes of images, and a pipe among them."""
    spec(data="folder:photos")(folder)
    for name in ("cat", "dog"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(3):
            Image.new("RGB", (16, 16), (10 * number, 0, 0)).save(folder / "photos" / name / f"{number}.png")
    os.mkfifo(folder / "photos/dog/pipe.png")


def packed(folder: Path) -> None:
    (folder / "x.csv.gz").write_bytes(gzip.compress(b"method,seed,value\nERM,0,1\nSAM,0,2\n"))


def endless(path: Path, size: int) -> None:
    """A file of so many bytes, none of which is on the disk."""
    path.touch()
    os.truncate(path, size)


class Row(NamedTuple):
    """``words``: a pattern of what is said; ``makes``: what may be new or changed, by the beginning of its path."""

    prepare: Callable[[Path], None]
    line: str
    code: int
    words: str
    makes: tuple[str, ...] = ()
    environment: dict[str, str] = {}


def refused(words: str, before: str = "", **changes: str) -> Row:
    return Row(spec(before, **changes), "plan t.yaml", 1, words)


SIX = ", ".join(f"f{i}: {HUNDRED}" for i in range(6))
TAIL = "train.y: labels are 0 to 2, not 1 to 3"
ROWS = {
    "seeds: [0, 0, 1]": refused("seeds: 0 stands twice", seeds="[0, 0, 1]"),
    "seeds of 2**63": refused("seeds.0: should be less than or equal to 9223372036854775807", seeds=f"[{2**63}]"),
    "seeds of 5,001 digits": refused("is no int", seeds=f"[{'1' * 5001}]"),
    "name: 2026-31-12": refused("a spec has no dates; in quotes it is a word", name="2026-31-12"),
    "!!int x": refused("'x' is no int", seeds="!!int x"),
    "!!timestamp y": refused("'y' is no timestamp", name="!!timestamp y"),
    "seven lists of 100": refused(
        "data: its lists stand for 100,000,000,000,000 entries", data=f"{{name: [{'cifar10, ' * 100}], {SIX}}}"
    ),
    "aliases in name": refused("its aliases stand for more", LONG, name="[" + "*x, " * 500 + "]"),
    "aliases in tracking.uri": refused("unknown key 'x'", LONG, tracking="{uri: [" + "*x, " * 7 + "]}"),
    "half a megabyte in tracking.uri": refused(r" \.\.\. \(500,", tracking=f'{{uri: ["{"x" * 500_000}"]}}'),
    "plugin: a pipe": refused("no file but a folder, a pipe or a device", methods="{name: X, plugin: pipe}"),
    "plugin: /dev/zero": refused("no file but a folder, a pipe or a device", methods="{name: X, plugin: /dev/zero}"),
    'experiment: ""': refused("tracking.experiment: a name is expected", tracking='{experiment: ""}'),
    "a byte order mark": Row(spec(methods="{name: Mine, plugin: mine.py}"), "plan t.yaml", 0, "Mine"),
    "one method in three spellings": Row(
        spec(methods='["SAM + Focal Loss", "Focal Loss + SAM", "Focal Loss+SAM"]'),
        "plan t.yaml", 0, r"(?s)1 trials: .*Focal Loss \+ SAM is the same method as SAM \+ Focal Loss",
        makes=("cache/tailboard/methods",),
    ),
    **{f"--store {name}": Row(store(name), f"report {name}", 0, "50.0") for name in ("exp::1", "a::b", "s3:x")},
    "--store memory://x": Row(spec(), "run t.yaml --store memory://x", 1, "in the memory of this process"),
    "no store in memory": Row(spec(), "report memory://x", 1, "there is no store at memory://x"),
    "--address auto, no Ray": Row(
        spec(), "run t.yaml --address auto", 1, "no Ray runs on this machine|nobody listens there", ("runs/", "cache/"),
        {"RAY_TMPDIR": "/nowhere"},
    ),
    "a pipe among images": Row(photos, "plan t.yaml", 1, r"pipe\.png is no file but a pipe or a device", ("cache/",)),
    "a packed CSV of results": Row(packed, "report --audit x.csv.gz", 1, "x.csv.gz: packed; unpack it first"),
    "RAY_ADDRESS where nobody listens": Row(
        spec(), "run t.yaml", 1, "nobody listens there", ("runs/", "cache/"), {"RAY_ADDRESS": "127.0.0.1:9"}
    ),
}  # fmt: skip
ELSEWHERE = {  # the function that tests it
    "a journal whose super-journal names a file": "test_a_journal_that_names_a_file_of_the_user_s_deletes_it_not",
    "forged epochs, seconds, values in studies/NAME.json": "test_a_search_that_would_have_chosen_otherwise_is_found",
    "forged rungs": "test_a_rung_that_is_better_than_its_predictions_is_found",
    "Ray's folder in the temporary folder": "test_where_sockets_lie_the_path_is_short_and_nobody_else_may_enter",
    "Ray's folder under Slurm": "test_a_job_uses_no_folder_that_another_user_may_enter",
    "MLFLOW_TRACKING_URI=sqlite:///mlflow.db": "test_a_relative_database_is_written_to",
    "an experiment deleted in MLflow": "test_an_experiment_that_was_deleted_is_told_with_the_remedy",
    "a data set plug-in that breaks the contract": "test_a_data_set_that_breaks_the_contract_names_the_field",
    "SIGTERM to the process group": "test_sigterm_drains_like_ctrl_c",
    "SIGHUP": "test_a_terminal_that_is_closed_drains_like_ctrl_c",
    "HOME=/ or none": "test_a_home_that_cannot_be_written_is_replaced_for_the_run",
    "a uid without a name": "test_a_user_without_a_name_has_one_in_a_run",
    "two drivers of a remote store": "test_two_drivers_never_fill_one_store_at_once",
    "LC_ALL=C, PYTHONIOENCODING=ascii": "test_a_terminal_without_the_character_gets_another",
    "a stranger's studies.db": "test_what_no_run_of_ours_writes_is_told_in_a_line",
    "a wrong word in a stored plan": "test_a_stored_plan_with_a_wrong_word_of_a_routine_is_told_in_one_line",
    "a setuid or executable bit in a bundle": "test_bytes_that_no_hash_covers_are_refused",
    "=HYPERLINK(...) and ESC": "test_no_form_holds_a_formula_or_moves_a_cursor",
    "kill -9 during export": "test_what_a_killed_export_left_is_gone_after_the_next_and_a_living_one_s_stays",
    "power loss after the rename": "test_what_is_written_outlasts_a_loss_of_power",
    "the store deleted in mid-run": "test_a_store_that_is_deleted_while_it_is_filled_has_its_plan_again",
    "an EPS named .png, a 16-bit PNG": "test_an_image_is_a_small_png_or_jpeg_of_bytes",
    "a gzip bomb as an IDX file": "test_a_bomb_is_not_unpacked",
    "a --prior with a byte order mark": "test_a_byte_order_mark_is_no_character",
    "CIFAR with bytes keys": "test_cifar_that_was_pickled_again_is_read",
    "CIFAR pickled by another NumPy": "test_cifar_that_another_numpy_wrote_is_read",
    "CIFAR of other software": "test_cifar_of_other_numbers_is_not_called_damaged",
    "K (copy).json, K.sync-conflict-1.json": "test_a_copy_in_a_store_is_no_trial_and_no_plan",
    "a full /tmp": "test_a_ray_that_does_not_start_is_one_line_which_says_where_space_lacks",
    "report X | head -1": "test_a_reader_who_leaves_is_no_error",
    "RAY_ADDRESS where something else answers": "test_an_address_where_nobody_listens_is_said_at_once",
}


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes()) for path in files}


def rows() -> Iterator:
    """Those that import Ray are slow."""
    for name, row in ROWS.items():
        yield pytest.param(row, id=name, marks=[pytest.mark.slow] if "address" in name.lower() else [])


@pytest.mark.parametrize("row", rows())
def test_it_ends_soon_in_a_line_and_nothing_else_has_changed(tailboard, tmp_path, monkeypatch, row):
    row.prepare(tmp_path)
    for name, value in row.environment.items():
        monkeypatch.setenv(name, value)
    before, began = contents(tmp_path), time.monotonic()
    code, out, err = tailboard(*row.line.split())
    assert code == row.code, err
    assert re.search(row.words, out + err), out + err
    if code:
        progress = r"(\d+ of \d+ trials are already finished\n|joining the cluster .*\n)*"
        assert out == "" and re.fullmatch(rf"{progress}error: .*\n", err) and len(err) < LONGEST + 200
    after = {name: what for name, what in contents(tmp_path).items() if not name.startswith(row.makes or ("\0",))}
    assert after == before
    assert time.monotonic() - began < 60


def test_a_pipe_is_not_waited_for_and_an_endless_file_is_not_read(tmp_path, monkeypatch):
    """What a stranger's folder may hold in the place of each file that is read in it, or be itself."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setattr("tailboard.harness.prediction.table_rows.LONGEST_LINE", 1000)
    openml, listed = tmp_path / "openml.org", tmp_path / "eurosat-train.txt"
    (openml / DESCRIPTION.format(1)).parent.mkdir(parents=True)
    os.mkfifo(openml / DESCRIPTION.format(1))
    endless(listed, eurosat.LARGEST + 1)
    endless(images := tmp_path / "images.csv", table.MOST_BYTES + 1)
    endless(rows := tmp_path / "rows.csv", 2**33)
    for read, words in (
        (lambda: read_bytes(pipe, 9), "a pipe or a device"),
        (lambda: checksum(pipe, "md5"), "a pipe or a device"),
        (lambda: OpenmlSet(openml, "1"), "a pipe or a device"),
        (lambda: eurosat._listed(tmp_path, []), "holds more than"),
        (lambda: table.listing(Source("csv", images)), "holds more than"),
        (lambda: next(_of_csv(pipe)), "a pipe or a device"),
        (lambda: next(_of_csv(rows)), "a line has more than 1,000 characters"),
    ):
        with pytest.raises(UserError, match=words):
            read()


def test_a_plugin_that_a_store_brings_is_run_only_by_who_says_so(tailboard, tmp_path, monkeypatch, capsys):
    text, folder = "open('trace', 'a').close()\nraise ValueError('it ran')\n", tmp_path / "plugins"
    raw = {"name": "t", "data": "fashion-mnist-mini", "methods": "ERM", "seeds": 1}
    wanted = with_plugin(parse(raw), text, ["Mine"])
    made, trial = Store("s"), next(each for each in plan(wanted) if each.method.plugin)
    made.write_plan(wanted)
    about = {"counts": [30] * 10, "accuracy": {"last_ema": [50.0] * 10}}
    made.write_record(Record.model_validate({"key": trial.key, "trial": trial, "status": "complete"} | about))
    folder.mkdir()
    (folder / "mine.py").write_text(text)
    (folder / "other.py").write_text(text + "# edited")
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    for which in ("--method", "Mine"), ("--key", trial.key), ("--method", "Mine", "--plugin", folder / "other.py"):
        code, out, err = tailboard("train", "s", *which, "-o", "m.model")
        assert (code, out) == (1, "") and err.startswith(f"error: {which[0]}: training Mine would run code that the ")
        assert f"plugin {digest}. Read it " in err and "s/plans/t.json), then say --trust-plugins" in err
        assert err.count("\n") == 1 and not Path("trace").exists()
    monkeypatch.setattr(recommendation, "recommendation", lambda *_: recommendation.Recommendation("Mine", trial.key))
    monkeypatch.setattr(natural_frequencies, "sentences", lambda _: [])
    run._recommend(report.Report, made, [folder / "mine.py"])  # pyright: ignore[reportArgumentType]
    command = shlex.split(capsys.readouterr().out.partition(": ")[2])
    assert command[:-2] == ["tailboard", "train", "s", "--method", "Mine", "--plugin", str(folder / "mine.py")]
    for trusted in ("--trust-plugins",), command[5:7]:
        code, _, err = tailboard("train", "s", "--method", "Mine", "-o", "m.model", *trusted)
        assert code == 1 and "it ran" in err and Path("trace").exists()
        Path("trace").unlink()


def test_what_stands_elsewhere_is_tested_there():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in Path(__file__).parent.rglob("test_*.py")]
    tested = {node.name for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert set(ELSEWHERE.values()) <= tested
