"""A bundle: what leaves a group, and that whatever is changed in it is found. Real trials of one epoch, real files."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import re
import struct
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailboard.datasets.catalog import DataError
from tailboard.harness.bundles import rerun
from tailboard.harness.bundles.bundle import Bundle
from tailboard.harness.bundles.export import export
from tailboard.harness.bundles.rerun import sample_trials
from tailboard.harness.bundles.split_checks import SplitConsistency
from tailboard.harness.bundles.verify import verify
from tailboard.harness.cli import app
from tailboard.harness.errors import BundleError, NoBundle, StoreError
from tailboard.harness.metrics.scores import per_class_accuracy
from tailboard.harness.planning.dependencies import resolve_dependencies
from tailboard.harness.planning.prepare import RunRequest
from tailboard.harness.reporting import gather
from tailboard.harness.scheduling.queue import JobQueue
from tailboard.harness.scheduling.run import fill_queue
from tailboard.harness.scheduling.worker import run_job
from tailboard.harness.spec.parser import parse, with_plugin
from tailboard.harness.spec.schema import Spec, Trial, plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.serialization import pack_arrays
from tailboard.harness.storage.store import Store
from tailboard.harness.training.job import Job, record_of
from tailboard.harness.training.stop_decision import StopDecision
from tailboard.harness.training.trial import TrialContext, run_trial
from tailboard.harness.tuning.archive import save_searches
from tailboard.harness.tuning.optuna_study import open_storage
from tailboard.harness.tuning.search import searches
from tailboard.leaderboard.statistics.repetition import ALPHA, image_error, tolerance
from tailboard.methods.plugin import load_plugin

RAW = {
    "name": "t",
    "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 60},
    "methods": ["ERM", "Reweighting"],
    "network": "small",
    "training": {"epochs": 1, "batch_size": 32},
    "seeds": 2,
    "tracking": {"uri": "sqlite:////home/somebody/secret.db"},
}
PLANTED = """
from tailboard.methods.losses import cross_entropy
from tailboard.methods.recipe import Part, Recipe, register
class Doubled(Part):
    def build(self, scene):
        return lambda logits, y, epsilon: 2 * cross_entropy(logits, y, epsilon)
register("Planted", Recipe(loss=Doubled()))
"""


Arrays = dict[str, np.ndarray]


class Silent:
    """Nobody is told what becomes of a search."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def trained(place: Path, spec: Spec) -> Store:
    """A store in which every trial of the plan has really been trained."""
    store, wanted = Store(place), resolve_dependencies(plan(spec), spec.plugins)
    store.write_plan(spec)
    for trial in wanted.trials:
        job = Job.of(trial, keep_weights=trial.key in wanted.prerequisite_keys)
        run_trial(job, TrialContext(store.url, plugins=spec.plugins))
        store.mark_tracked(trial.key, {})
    return store


def searched(place: Path, spec: Spec) -> Store:
    """A store of a plan that is tuned: its search and its report, one trial at a time."""
    store = Store(place)
    save_searches(spec, searches(spec), store)
    store.write_plan(spec)
    with open_storage(store) as opened:
        agenda = JobQueue(store)
        fill_queue(agenda, RunRequest(spec), opened, Silent())
        while job := agenda.pop():
            run_job(job, TrialContext(store.url), lambda _: None, lambda: StopDecision.CONTINUE)
            agenda.complete(job, record_of(job, store))
    return store


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The disk is not waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailboard.harness.storage.files.os.fsync", lambda _: None)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory, quick) -> Store:
    return trained(tmp_path_factory.mktemp("group") / "store", with_plugin(parse(RAW), PLANTED, ["Planted"]))


@pytest.fixture(scope="module")
def bundle(store) -> Path:
    path = Path(store.root).parent / "b.zip"
    assert export(store, path) == []
    return path


@pytest.fixture(scope="module")
def tuned_bundle(tmp_path_factory, quick) -> Path:
    training = {"preset": "ldam2019", "epochs": 4, "batch_size": 32}
    raw = RAW | {"methods": ["ERM", "Focal Loss"], "training": training, "seeds": 1}
    spec = parse(raw | {"tune": {"trials": 4, "parameters": ["gamma"]}})
    found = searched(tmp_path_factory.mktemp("tuned") / "store", spec)
    path = Path(found.root).parent / "b.zip"
    assert export(found, path) == []
    return path


@pytest.fixture
def tailboard(tmp_path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """``tailboard("verify", "b.zip")`` -> (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nothing listens: no report waits for MLflow

    def run(*words: Any) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tailboard", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return int(ended.value.code or 0), said.out, said.err

    return run


# What a forger does


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive, pytest.warns() if _twice(entries) else _nothing():
        for entry, data in entries:
            archive.writestr(entry, data)
    return path


def _twice(entries) -> bool:
    names = [entry if isinstance(entry, str) else entry.filename for entry, _ in entries]
    return len(set(names)) < len(names)


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


class Forger:
    """A bundle's files, to be changed; ``seal`` makes the manifest fit again, as anybody can."""

    def __init__(self, path: Path, name: str = "t") -> None:
        self.files = contents(path)
        spec = Spec.model_validate_json(self.files[f"plans/{name}.json"])
        self.trial: Trial = plan(spec)[0]
        self.key = self.trial.key
        self.record, self.array = f"records/{self.key}.json", f"arrays/{self.key}.npz"

    def edit(self, name: str, change: Callable[[Any], Any]) -> None:
        raw = json.loads(self.files[name])
        change(raw)
        self.files[name] = json.dumps(raw).encode()

    def arrays(self) -> dict[str, np.ndarray]:
        return dict(np.load(io.BytesIO(self.files[self.array]), allow_pickle=False))

    def put(self, data: bytes) -> None:
        """Other arrays, of which the record has the hash."""
        self.files[self.array] = data
        self.edit(self.record, lambda raw: raw["files"].update({self.array: hashlib.sha256(data).hexdigest()}))

    def arrays_of(self, key: str) -> Arrays:
        return dict(np.load(io.BytesIO(self.files[f"arrays/{key}.npz"]), allow_pickle=False))

    def replace(self, key: str, arrays: Arrays, **data: Any) -> None:
        """Other predictions of a trial, and a record that follows from them."""
        self.record, self.array = f"records/{key}.json", f"arrays/{key}.npz"
        accuracy = {n: per_class_accuracy(arrays[n], arrays["labels"]) for n in ("last_ema", "last")}
        counted = np.bincount(arrays["labels"], minlength=10).tolist()
        self.edit(self.record, lambda raw: raw.update(accuracy=accuracy, test_counts=counted))
        self.edit(self.record, lambda raw: raw["data"].update(data))
        self.put(pack_arrays(arrays))

    def tell(self) -> None:
        """The table that follows from the records, and a manifest that fits: nothing that is made anew differs."""
        with tempfile.TemporaryDirectory() as folder:
            place = Bundle(self.write(Path(folder) / "told.zip"))
            self.files["report/leaderboard.csv"] = gather.gather([place]).rendered("csv").encode()
            place.close()
        self.seal()

    def seal(self) -> None:
        hashes = {n: hashlib.sha256(data).hexdigest() for n, data in self.files.items() if n != "manifest.json"}
        self.edit("manifest.json", lambda raw: raw.update(files=hashes))

    def write(self, path: Path) -> Path:
        return zipped(path, *self.files.items())


def number(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["accuracy"]["last_ema"].__setitem__(3, 77.0))


def number_sealed(f: Forger) -> None:
    number(f)
    f.seal()


def hidden_number(f: Forger) -> None:
    """Of the weights that no table shows."""
    f.edit(f.record, lambda raw: raw["accuracy"]["last"].__setitem__(9, 1.0))
    f.seal()


def prediction(f: Forger) -> None:
    arrays = f.arrays()
    arrays["last_ema"][7, 0] -= 1
    f.files[f.array] = pack_arrays(arrays)


def prediction_sealed(f: Forger) -> None:
    """The manifest fits, the record's own hash does not."""
    prediction(f)
    f.seal()


def prediction_told(f: Forger) -> None:
    """Every hash fits: only that the accuracies do not follow from it any more gives it away."""
    arrays = f.arrays()
    labels, logits = arrays["labels"], arrays["last_ema"]
    at = int(np.flatnonzero(logits.argmax(1) != labels)[0])
    logits[at] = -5
    logits[at, labels[at]] = 0
    f.put(pack_arrays(arrays))
    f.seal()


def hash_changed(f: Forger) -> None:
    f.edit("manifest.json", lambda raw: raw["files"].update({f.record: "0" * 64}))


def hash_in_record(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["files"].update({f.array: "0" * 64}))
    f.seal()


def labels(f: Forger) -> None:
    """Labels that suit the predictions: what follows from them is consistent, and wrong."""
    arrays = f.arrays()
    better = arrays["last_ema"].argmax(1).astype(np.int16)
    better[:300] = arrays["labels"][:300]
    arrays["labels"] = np.where(np.bincount(better, minlength=10).all(), better, arrays["labels"][::-1])
    f.put(pack_arrays(arrays))
    accuracy = {n: per_class_accuracy(arrays[n], arrays["labels"]) for n in ("last_ema", "last")}
    counted = np.bincount(arrays["labels"], minlength=10).tolist()
    f.edit(f.record, lambda raw: raw.update(accuracy=accuracy, test_counts=counted))
    f.seal()


def removed(f: Forger) -> None:
    del f.files[f.record], f.files[f.array]


def removed_sealed(f: Forger) -> None:
    removed(f)
    f.seal()


def added(f: Forger) -> None:
    raw = json.loads(f.files[f.record])
    other = f.trial.model_copy(update={"seed": 99})
    raw |= {"key": other.key, "trial": other.model_dump(), "files": {}, "status": "failed"}
    f.files[f"records/{other.key}.json"] = json.dumps(raw).encode()
    f.seal()


def altered(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["trial"].update(seed=5))
    f.seal()


def renamed(f: Forger) -> None:
    """The record of one seed stands for another's."""
    other = f.trial.model_copy(update={"seed": 1})
    f.files[f.record] = f.files[f"records/{other.key}.json"]
    f.seal()


def table(f: Forger) -> None:
    lines = f.files["report/leaderboard.csv"].decode().splitlines()
    cells = lines[1].split(",")
    at = lines[0].split(",").index("mean") + lines[1].count('"') // 2 * lines[1].split('"')[1].count(",")
    cells[at] = "99.5"
    f.files["report/leaderboard.csv"] = "\n".join([lines[0], ",".join(cells), *lines[2:], ""]).encode()
    f.seal()


def row_removed(f: Forger) -> None:
    lines = f.files["report/leaderboard.csv"].splitlines(keepends=True)
    f.files["report/leaderboard.csv"] = b"".join(lines[:-1])
    f.seal()


def no_table(f: Forger) -> None:
    del f.files["report/leaderboard.csv"]
    f.seal()


def plan_changed(f: Forger) -> None:
    f.edit("manifest.json", lambda raw: raw["plans"]["t"].pop())


def values(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["values"].update({"loss.gamma": 9}))
    f.seal()


def counts(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["counts"].__setitem__(0, 500))
    f.seal()


def easiest(f: Forger) -> None:
    """Only the 100 easiest test images of each class, in every trial, of data that nothing is said to vouch for."""
    keys = [name[8:-5] for name in f.files if name.startswith("records/")]
    arrays = f.arrays()
    right = sum(f.arrays_of(key)["last_ema"].argmax(1) == arrays["labels"] for key in keys)
    kept = np.sort(np.argsort(-right + 1000 * arrays["labels"], kind="stable").reshape(10, 300)[:, :100].ravel())
    for key in keys:
        some = {n: a[kept] if len(a) == 3000 else a for n, a in f.arrays_of(key).items()}
        f.replace(key, some, verified=False)
    f.tell()


def quicker(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw.update(train_seconds=raw["wall_seconds"] + 2))
    f.seal()


def other_files(f: Forger) -> None:
    """Of other bytes, which it says are verified."""
    f.edit(f.record, lambda raw: raw["data"].update(hashes=dict.fromkeys(raw["data"]["hashes"], "sha256:0")))
    f.seal()


def no_data(f: Forger) -> None:
    """Nothing that could be compared."""
    f.edit(f.record, lambda raw: raw.update(data=None))
    f.seal()


def pruned(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw.update(status="pruned"))
    f.seal()


def history(f: Forger) -> None:
    """Of more epochs than the record, in a column that no table shows."""
    f.put(pack_arrays(f.arrays() | {"history_lr": np.zeros(3)}))
    f.seal()


def history_counted(f: Forger) -> None:
    f.put(pack_arrays(f.arrays() | {"history_epoch": np.full(1, 7)}))
    f.seal()


def copied(f: Forger, **data: Any) -> None:
    """The predictions of one seed stand for another's too; which zero is negative says nothing."""
    arrays = f.arrays()
    arrays["last_ema"] = np.where(arrays["last_ema"] == 0, np.float16(-0.0), arrays["last_ema"])
    f.replace(f.trial.model_copy(update={"seed": 1}).key, arrays, **data)
    f.tell()


def copied_with_images(f: Forger) -> None:
    """With what they were trained on, of data that nothing is said to vouch for."""
    copied(f, verified=False, fingerprint=json.loads(f.files[f.record])["data"]["fingerprint"])


def environment(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["environment"].update(processor="another"))
    f.seal()


def fingerprint(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["data"].update(fingerprint="0" * 64))
    f.seal()


def epochs(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw.update(epochs=7))
    f.seal()


def plan_twice(f: Forger) -> None:
    f.files["plans/u.json"] = f.files["plans/t.json"]
    f.seal()


def plugin(f: Forger) -> None:
    (name,) = (name for name in f.files if name.startswith("plugins/"))
    f.files[name] += b"# harmless"
    f.seal()


def plugin_in_plan(f: Forger) -> None:
    f.edit("plans/t.json", lambda raw: raw["plugins"].update({next(iter(raw["plugins"])): "import os"}))
    f.seal()


def pickled(f: Forger) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **f.arrays() | {"last": np.array([print], dtype=object)})
    f.put(buffer.getvalue())
    f.seal()


def not_a_number(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["accuracy"].update(last_ema=[float("nan")] * 10))
    f.seal()


def shorter(f: Forger) -> None:
    arrays = f.arrays()
    f.put(pack_arrays({name: a[:-1] if len(a) > 100 else a for name, a in arrays.items()}))
    f.seal()


def of_another(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw["files"].update({"arrays/" + "0" * 20 + ".npz": "0" * 64}))
    f.seal()


def stray(f: Forger) -> None:
    f.files["arrays/" + "0" * 20 + ".npz"] = f.files[f.array]
    f.seal()


ATTACKS = {
    number: [r"{record}: SHA-256: claimed \w{{64}}, found", r"{record}: accuracy\.last_ema\[3\]: claimed 77\.0, found"],
    number_sealed: [r"{record}: accuracy\.last_ema\[3\]: claimed 77\.0, found \d"],
    hidden_number: [r"{record}: accuracy\.last\[9\]: claimed 1\.0, found"],
    prediction: [r"{array}: SHA-256: claimed", r"{record}: files\.{array}: claimed"],
    prediction_sealed: [r"{record}: files\.{array}: claimed \w{{64}}, found \w{{64}}"],
    prediction_told: [
        r"{record}: accuracy\.last_ema\[\d\]: claimed [\d.]+, found [\d.]+",
        r"leaderboard\.csv: .*: mean",
    ],
    hash_changed: [r"{record}: SHA-256: claimed 0{{64}}, found"],
    hash_in_record: [r"{record}: files\.{array}: claimed 0{{64}}, found"],
    labels: [r"{array}: labels: .*others than fashion-mnist-mini has", r"labels: .*others than in records/"],
    removed: [r"{record}: file: claimed SHA-256 \w{{64}}, found no such file", r"{array}: file: .* found no such file"],
    removed_sealed: [r"leaderboard\.csv: .*ERM, all: status: claimed complete, found incomplete"],
    added: [r"records/\w{{20}}\.json: trial: claimed one of a plan, found of no plan"],
    altered: [r"{record}: key: claimed {key}, found {key}, with a trial whose words hash to \w{{20}}"],
    renamed: [r"{record}: key: claimed {key}, found \w{{20}}"],
    table: [r"report/leaderboard\.csv: .*, fashion-mnist-mini, .*ERM, few: mean: claimed 99\.5, found [\d.]+"],
    row_removed: [r"report/leaderboard\.csv: .*: claimed no row, found a row"],
    no_table: [r"report/leaderboard\.csv: table: claimed one that can be made, found .*no such file"],
    plan_changed: [r"manifest\.json: plans\.t: claimed"],
    values: [r"{record}: values\.loss\.gamma: claimed 9, found 'nothing'"],
    counts: [r"{record}: counts: claimed \[500, .*\], found \[60, "],
    easiest: [r"{record}: test_counts: claimed \[100, .*\], found \[300, "],
    quicker: [r"{record}: train_seconds: claimed [\d.]+, found [\d.]+ s in all"],
    other_files: [r"{record}: data\.hashes\.fashion-mnist-mini\.npy\.xz: claimed sha256:0, found sha256:9ee0"],
    no_data: [r"{record}: data: claimed nothing, found predictions"],
    pruned: [r"{record}: status: claimed pruned, found a reported trial", r"{record}: epochs: claimed 1, found 1 in"],
    history: [r"{array}: predictions: .*found history_lr of shape \(3,\) where the record has 1 epochs"],
    history_counted: [r"{array}: predictions: .*found history_epoch does not count the epochs"],
    copied: [
        r"arrays/\w+\.npz: last_ema: claimed predictions of seed \d, found the bits of seed \d in arrays/\w+\.npz"
    ],
    copied_with_images: [
        r"{record}: data\.fingerprint: claimed images of seed \d, found seed \d's in records/\w+\.json",
        r"last_ema: claimed predictions of seed",
    ],
    environment: [r"manifest\.json: environments: claimed"],
    fingerprint: [r"{record}: data\.fingerprint: claimed 0{{64}}, found \w{{64}}"],
    epochs: [r"{record}: epochs: claimed 7, found 1 in its plan"],
    plan_twice: [r"plans: names\[1\]: claimed u, found t"],
    plugin: [r"plugins/\w{{64}}\.py: text: claimed that of its plan, found another"],
    plugin_in_plan: [r"plans/t\.json: plugins\.\w{{64}}: claimed \w{{64}}, found \w{{64}}"],
    pickled: [r"{array}: predictions: .*holds no numbers \(pickled objects are not read\)"],
    not_a_number: [r"{record}: record: claimed one that can be read, found accuracy\.last_ema"],
    shorter: [r"{record}: test_counts: claimed"],
    of_another: [r"{record}: files: claimed arrays/0{{20}}\.npz, found"],
    stray: [r"arrays/0{{20}}\.npz: file: claimed one of a plan or a record, found of none"],
}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_whatever_is_changed_is_named(bundle, tmp_path, tailboard, attack):
    forger = Forger(bundle)
    attack(forger)
    path = forger.write(tmp_path / "forged.zip")
    code, out, err = tailboard("verify", path)
    assert code == 3, err
    said = {"key": forger.key, "record": re.escape(forger.record), "array": re.escape(forger.array)}
    for pattern in ATTACKS[attack]:
        assert re.search(pattern.format(**said), out), out
    lines = len(out.splitlines()) - 1
    assert f"forged.zip: {lines} difference{'s' * (lines > 1)}: " in out


def test_no_leaderboard_is_made_of_what_does_not_hold(bundle, tmp_path, tailboard):
    forger = Forger(bundle)
    prediction_told(forger)
    code, out, err = tailboard("report", bundle, forger.write(tmp_path / "forged.zip"))
    assert (code, out) == (3, "")
    assert re.fullmatch(r"error: .*forged\.zip does not hold: records/.*, and \d+ more; tailboard verify .*\n", err)


@pytest.mark.parametrize("attack", [number_sealed, hidden_number, table, hash_changed, altered, counts])
def test_one_change_is_one_line_or_what_follows_from_it(bundle, tmp_path, attack):
    """Nothing that was left alone is accused: the lines name the file that was changed, or the table."""
    forger = Forger(bundle)
    attack(forger)
    place = Bundle(forger.write(tmp_path / "forged.zip"))
    found = verify(place)
    assert verify(place) == found, "what was recomputed does not stand for what is claimed"
    assert {each.file for each in found} <= {forger.record, forger.array, "report/leaderboard.csv", "manifest.json"}
    if attack in (number_sealed, hidden_number, table, hash_changed):
        assert len(found) == 1


def test_honest_twins_are_left_alone(groups, tmp_path):
    """A constant predictor is the same whatever its seed, and a method under neutral values is ERM."""

    def constant(record, arrays):
        return record, arrays | {name: np.zeros_like(arrays[name]) for name in ("last_ema", "last")}

    rewritten(groups["erm"], tmp_path / "c.zip", constant)
    raw = {"name": "n", "methods": ["ERM", {"name": "Focal Loss", "values": {"loss.gamma": 0}}]}
    spec = parse(RAW | raw | {"training": RAW["training"] | {"label_smoothing": 0}})
    made = trained(tmp_path / "n", spec)
    erm, _, focal, _ = (made.arrays(trial.key)["last_ema"] for trial in plan(spec))
    assert np.array_equal(erm, focal) and export(made, tmp_path / "n.zip") == []


def test_seeds_of_a_whole_data_set_share_their_images(tmp_path):
    """Nothing is left out, so that every seed trains on the same: that they do is no fault."""
    data = {"name": "fashion-mnist-mini", "imbalance_factor": 1, "head": 600}
    made = trained(tmp_path / "s", parse(RAW | {"methods": "ERM", "data": data}))
    assert len({made.record(key).data.fingerprint for key in made.finished()}) == 1
    assert export(made, tmp_path / "b.zip") == []


# Files that are no bundle, or that would do harm


def entry(name: str, mode: int = 0o100644, **changes: Any) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    found.external_attr = mode << 16
    for field, value in changes.items():
        setattr(found, field, value)
    return found


HOSTILE = {
    "up": (entry("../outside.json"), r"'\.\./outside\.json' climbs out of the bundle"),
    "up later": (entry("records/../../outside.json"), "climbs out of the bundle"),
    "up on Windows": (entry("records\\..\\..\\outside.json"), "climbs out of the bundle"),
    "absolute": (entry("/etc/outside"), "'/etc/outside' is an absolute path"),
    "drive": (entry("C:\\outside"), "is an absolute path"),
    "drive without a slash": (entry("c:outside"), "is an absolute path"),
    "share": (entry("\\\\host\\share"), "is an absolute path"),
    "link": (entry(f"records/{'0' * 20}.json", 0o120777), r"records/0{20}\.json' is a link"),
    "device": (entry(f"records/{'0' * 20}.json", 0o020666), "is no plain file"),
    "folder": (entry("records/"), "'records/' is no file of a bundle"),
    "torch": (entry(f"weights/{'0' * 20}.pt"), r"\.pt' is no file of a bundle"),
    "database": (entry("studies.db"), "is no file of a bundle"),
    "code": (entry("plugins/x.py"), "is no file of a bundle"),
    "escape": (entry("records/\x1b[2J.json"), r"is no file of a bundle"),
    "twice": (entry("plans/t.json"), r"'plans/t\.json' is in it twice"),
    "compressed": (entry("plugins/" + "0" * 64 + ".py", compress_type=zipfile.ZIP_DEFLATED), "is compressed"),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_what_no_export_writes_is_refused_in_one_line(bundle, tmp_path, tailboard, hostile):
    added, words = HOSTILE[hostile]
    path = zipped(tmp_path / "forged.zip", *contents(bundle).items(), (added, b"x" * 100))
    before = sorted(tmp_path.parent.rglob("*"))
    for command in ("verify", "report"):
        code, out, err = tailboard(command, path)
        assert (code, out) == (3, "") and re.fullmatch(rf"error: .*forged\.zip is refused: .*{words}.*\n", err), err
    assert sorted(tmp_path.parent.rglob("*")) == before, "and nothing was unpacked anywhere"


@pytest.mark.parametrize("command", ["verify", "report"])
@pytest.mark.parametrize("what", ["text", "empty", "zip", "cut", "absent"])
def test_what_is_no_bundle_is_said_to_be_none(bundle, tmp_path, tailboard, what, command):
    path = tmp_path / "x.zip"
    if what == "zip":
        zipped(path, ("hello.txt", b"hello"))
    elif what != "absent":
        whole = bundle.read_bytes()
        path.write_bytes({"text": b"no zip at all", "empty": b"", "cut": whole[: len(whole) // 2]}[what])
    code, out, err = tailboard(command, path)
    assert (code, out) == (1, "") and re.fullmatch(r"error: (there is no file|.* is no bundle: ).*\n", err), err


def test_a_folder_is_said_to_be_a_store_or_none(store, tmp_path, tailboard):
    code, out, err = tailboard("verify", store)
    assert (code, out) == (1, "")
    assert err == f"error: {store} is a store: tailboard export {store} -o mine.zip makes a bundle of it\n"
    assert tailboard("verify", tmp_path)[2] == f"error: {tmp_path} is a folder, and a bundle is a file\n"


def peak_of(action: Callable[[], Any]) -> int:
    tracemalloc.start()
    action()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def bomb(size: int) -> bytes:
    """Zeros that say how many they are, as an array file of a record's."""
    buffer, header = io.BytesIO(), {"descr": "|u1", "fortran_order": False, "shape": (size,)}
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("last.npy", "w", force_zip64=True) as file,
    ):
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return buffer.getvalue()


def test_a_compressed_bomb_is_refused_unread(bundle, tmp_path):
    """By its compression, whatever size its header claims: the true one, or a small one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", bytes(64 << 20))
    for claim in (64 << 20, 10):
        data = bytearray(buffer.getvalue())
        at = data.rindex(b"PK\x01\x02")
        data[at + 24 : at + 28] = struct.pack("<I", claim)
        (tmp_path / "x.zip").write_bytes(data)
        with pytest.raises(BundleError, match="is compressed"):
            Bundle(tmp_path / "x.zip")


def test_a_header_that_claims_more_than_there_is_allocates_nothing(bundle, tmp_path):
    data = bytearray(bundle.read_bytes())
    at = data.rindex(b"PK\x01\x02")  # the manifest
    data[at + 20 : at + 28] = struct.pack("<II", 4_000_000_000, 4_000_000_000)
    (tmp_path / "x.zip").write_bytes(data)

    def read() -> None:
        with pytest.raises(BundleError, match="claim to be larger than it is"):
            Bundle(tmp_path / "x.zip")

    assert peak_of(read) < 1 << 20


def test_entries_that_lie_over_each_other_are_a_bomb_too(bundle, tmp_path):
    """One megabyte that a hundred names share."""
    inside = contents(bundle)
    names = [f"arrays/{number:020x}.npz" for number in range(100)]
    path = zipped(
        tmp_path / "x.zip",
        *inside.items(),
        *((name, b"") for name in names),
        (f"arrays/{'f' * 20}.npz", bytes(1 << 20)),
    )
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        large = archive.infolist()[-1]
    for name in names:
        at = data.rindex(name.encode()) - 46
        data[at + 20 : at + 28] = struct.pack("<II", 1 << 20, 1 << 20)
        data[at + 42 : at + 46] = struct.pack("<I", large.header_offset)
    path.write_bytes(data)
    with pytest.raises(BundleError, match="claim to be larger than it is"):
        Bundle(path)


def commented(data: bytes) -> bytes:
    return data[:-2] + struct.pack("<H", 7) + b"comment"


def between(data: bytes) -> bytes:
    """The table of contents later, and where it is said to be."""
    at = struct.unpack_from("<L", data, len(data) - 6)[0]
    return data[:at] + b"hidden" + data[at:-6] + struct.pack("<L", at + 6) + data[-2:]


def extra_field(data: bytes) -> bytes:
    """Six bytes more in the line of the last file."""
    line, size = data.rindex(b"PK\x01\x02"), struct.unpack_from("<L", data, len(data) - 10)[0]
    grown = data[: line + 30] + struct.pack("<H", 6) + data[line + 32 : -22] + b"\x99\x99\x02\x00hi"
    return grown + data[-22:-10] + struct.pack("<L", size + 6) + data[-6:]


def local_name(data: bytes) -> bytes:
    """Another where the file lies than where it is listed: some programs would unpack it under this one."""
    return data.replace(b"report/leaderboard.csv", b"report/leaderboard.exe", 1)


def local_extra(data: bytes) -> bytes:
    """The last file's own header has a field more; all that is behind it is later."""
    line = data.rindex(b"PK\x01\x02")
    at, start = struct.unpack_from("<L", data, line + 42)[0], struct.unpack_from("<L", data, len(data) - 6)[0]
    named = at + 30 + struct.unpack_from("<H", data, at + 26)[0]
    grown = data[: at + 28] + struct.pack("<H", 6) + data[at + 30 : named] + b"\x99\x99\x02\x00hi" + data[named:-6]
    return grown + struct.pack("<L", start + 6) + data[-2:]


def permitted(mode: int) -> Callable[[bytes], bytes]:
    """The first file's line in the table of contents with these permissions, which unzip would give it."""

    def change(data: bytes) -> bytes:
        at = struct.unpack_from("<L", data, len(data) - 6)[0] + 38
        return data[:at] + struct.pack("<L", (0o100000 | mode) << 16) + data[at + 4 :]

    return change


LAID_OUT = {
    **{permitted(mode): "may be executed, or run as another user" for mode in (0o4644, 0o2644, 0o1644, 0o744, 0o645)},
    lambda data: b"#!/bin/sh\nexit\n" + data: r"'report/leaderboard\.csv' begins at byte 15 where 0 is expected",
    lambda data: data + b"behind": "it does not end with its table of contents",
    commented: "it does not end with its table of contents",
    between: r"its table of contents begins at byte \d+ where \d+ is expected",
    extra_field: "has a comment or a field that no export writes",
    local_name: r"'report/leaderboard\.csv' is headed otherwise than its table of contents says",
    local_extra: r"'manifest\.json' is headed otherwise than its table of contents says",
}


@pytest.mark.parametrize("change", LAID_OUT)
def test_bytes_that_no_hash_covers_are_refused(bundle, tmp_path, tailboard, change):
    path = tmp_path / "x.zip"
    path.write_bytes(change(bundle.read_bytes()))
    with zipfile.ZipFile(path) as archive:
        assert len(archive.namelist()) == len(contents(bundle)), "zipfile minds nothing"
    code, out, err = tailboard("verify", path)
    assert (code, out) == (3, "") and re.search(rf"error: .*x\.zip is refused: .*{LAID_OUT[change]}\n", err), err


@pytest.mark.parametrize("limits", [{"ZIP64_LIMIT": 1000}, {"ZIP64_LIMIT": 100_000}, {"ZIP_FILECOUNT_LIMIT": 5}])
def test_a_large_bundle_is_laid_out_by_zip64(store, tmp_path, monkeypatch, limits):
    """Files, offsets and counts that need it, made small: what is read here is what zipfile writes then."""
    for name, most in limits.items():
        monkeypatch.setattr(f"zipfile.{name}", most)
        monkeypatch.setattr(
            f"tailboard.harness.bundles.zip_layout.{'LARGE' if name == 'ZIP64_LIMIT' else 'MANY'}", most
        )
    path = tmp_path / "large.zip"
    assert export(store, path) == [] and b"PK\x06\x06" in path.read_bytes()
    path.write_bytes(b"x" + path.read_bytes())
    with pytest.raises(StoreError, match=r"refused: .* begins at byte 1|is no bundle"):
        Bundle(path)


def test_a_table_of_contents_that_would_fill_memory_is_not_read(tmp_path):
    path = tmp_path / "x.zip"
    with path.open("wb") as file:
        file.truncate(200 << 20)  # a hole
        file.seek(0, 2)
        file.write(struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 200 << 20, 0, 0))

    def read() -> None:
        with pytest.raises(NoBundle, match="its table of contents is larger"):
            Bundle(path)

    assert peak_of(read) < 1 << 20


@pytest.mark.parametrize(("claim", "words"), [(None, "it would unpack to 0.39 GiB"), (200, "Bad CRC")])
def test_arrays_that_are_a_bomb_are_refused_before_they_are_unpacked(bundle, tmp_path, monkeypatch, claim, words):
    """400 MiB, of which the zip around them tells the truth, or that they are a few bytes."""
    monkeypatch.setattr("tailboard.harness.bundles.bundle.LEEWAY", 0)
    forger = Forger(bundle)
    data = bytearray(bomb(400 << 20))
    if claim:
        at = data.rindex(b"PK\x01\x02")
        data[at + 24 : at + 28] = struct.pack("<I", claim)
    forger.put(bytes(data))
    forger.seal()
    path, found = forger.write(tmp_path / "x.zip"), []
    assert peak_of(lambda: found.extend(verify(Bundle(path), SplitConsistency(local=False)))) < 64 << 20
    assert any(each.file == forger.array and words in each.found for each in found), found


def test_many_small_bombs_are_one(bundle, tmp_path, monkeypatch):
    """Each array may be as large as it likes; all together may not be out of proportion to the bundle."""
    monkeypatch.setattr("tailboard.harness.bundles.bundle.LEEWAY", 0)
    forger, data = Forger(bundle), bomb(30 << 20)
    keys = [name[8:-5] for name in forger.files if name.startswith("records/")]
    for key in keys:
        forger.array, forger.record = f"arrays/{key}.npz", f"records/{key}.json"
        forger.put(data)
    forger.seal()
    place = Bundle(forger.write(tmp_path / "x.zip"))
    assert len(keys) * (30 << 20) > 100 * place.size
    refused = [each for each in verify(place, SplitConsistency(local=False)) if "it would unpack to" in each.found]
    assert 0 < len(refused) < len(keys)


def test_an_array_file_of_a_million_entries_is_not_listed(tmp_path):
    from tailboard.harness.storage.serialization import unpack_arrays

    def read() -> None:
        with pytest.raises(ValueError, match="more than 1000 arrays"):
            unpack_arrays(b"PK\x01\x02" * 100_000)

    assert peak_of(read) < 1 << 20


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_whatever_byte_is_changed_is_found_or_says_nothing(bundle, tmp_path, draw):
    """A bundle that still holds is read to the same bytes: what changed was the zip's own, such as a date."""
    data = bytearray(bundle.read_bytes())
    edge = draw.draw(st.integers(0, len(data) - 1))
    at = draw.draw(st.sampled_from([edge, len(data) - 1 - edge % 4000]))  # the table of contents more often
    data[at] ^= 1 << draw.draw(st.integers(0, 7))
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    try:
        place = Bundle(path)
    except StoreError:
        return
    try:
        if not verify(place, SplitConsistency(local=False)):
            assert {name: place.read(name) for name in place.files_inside()} == contents(bundle)
    except BundleError:
        pass
    finally:
        place.close()


ODD = [None, True, -1, 0, 3, 1e308, 10**30, "", "x", "../x", [], [[]], {}, {"x": 1}, [1] * 50, "\x1b[2J"]


def odd_places(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [path, *(place for key, value in inside for place in odd_places(value, (*path, key)))]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_whatever_a_forger_writes_ends_in_lines(tuned_bundle, tmp_path, draw):
    """Any part of any text is anything, and the manifest fits: it is read to its end, or refused with a message."""
    forger = Forger(tuned_bundle)
    name = draw.draw(st.sampled_from(sorted(n for n in forger.files if n.endswith(".json"))))
    raw = json.loads(forger.files[name])
    *path, last = draw.draw(st.sampled_from(odd_places(raw)[1:]))
    inner = raw
    for key in path:
        inner = inner[key]
    inner[last] = draw.draw(st.sampled_from(ODD))
    forger.files[name] = json.dumps(raw).encode()
    if name != "manifest.json":
        forger.seal()
    with suppress(StoreError, DataError):
        found = verify(Bundle(forger.write(tmp_path / "x.zip")), SplitConsistency(local=False))
        assert all("\n" not in str(each) for each in found)


@pytest.mark.parametrize(
    ("many", "why"), [(500, "stands for more trials than manifest.json lists"), (100_000, "that a plan may hold")]
)
def test_a_plan_that_stands_for_more_than_memory_holds_is_not_made(bundle, tmp_path, many, why):
    forger = Forger(bundle)
    forger.edit("plans/t.json", lambda raw: raw.update(seeds=list(range(many)), networks=["small"] * many))
    forger.seal()
    path = forger.write(tmp_path / "x.zip")
    found: list[Any] = []
    assert peak_of(lambda: found.extend(verify(Bundle(path)))) < 64 << 20
    assert any(why in each.found for each in found)


# What leaves a group


def test_the_same_store_gives_the_same_bytes_and_they_hold(store, bundle, tmp_path, tailboard):
    code, out, err = tailboard("export", store, "-o", tmp_path / "again.zip")
    assert (code, err) == (0, "") and re.search(r"again\.zip: \d+ files, 6 records, SHA-256 \w{64}\n", out)
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()
    code, out, err = tailboard("verify", tmp_path / "again.zip", "--json")
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    assert (code, err, json.loads(out)) == (0, "", {"sha256": digest, "differences": []})


def test_what_a_killed_export_left_is_gone_after_the_next_and_a_living_one_s_stays(store, tmp_path, tailboard):
    left, living = tmp_path / ".x.zip.0.part", tmp_path / ".x.zip.1.part"
    for path in (left, living):
        path.write_bytes(b"half")
    with living.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert tailboard("export", store, "-o", tmp_path / "x.zip")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.zip.1.part", "x.zip"]


def test_a_bundle_holds_what_was_asked_for(store, bundle):
    files = contents(bundle)
    (spec,), manifest = store.plans(), json.loads(files["manifest.json"])
    keys = [trial.key for trial in plan(spec)]
    assert manifest["plans"] == {"t": keys}
    assert set(manifest["files"]) == set(files) - {"manifest.json"}
    assert {f"records/{key}.json" for key in keys} | {f"arrays/{key}.npz" for key in keys} <= set(files)
    (digest,) = spec.plugins
    assert files[f"plugins/{digest}.py"].decode() == PLANTED
    (environment,) = manifest["environments"]
    assert environment["records"] == 6 and environment["packages"]["torch"] and environment["instruction_set"]
    assert list(manifest["code"].values()) == [6]
    assert store.record(keys[0]).values == json.loads(files[f"records/{keys[0]}.json"])["values"]
    assert Bundle(bundle).plans()[0] == spec.model_copy(update={"tracking": type(spec.tracking)()})


def test_nothing_private_is_in_a_bundle(tmp_path, tailboard):
    """A failed trial's traceback names folders and users, the plan where MLflow is, a broken trial its machine."""
    spec = parse(RAW | {"methods": "ERM", "name": "p"})
    store = trained(tmp_path / "store", spec)
    failed = plan(spec)[1]
    reason = "ValueError: no such layer in '/home/somebody/my project/net.py' at C:\\Users\\Somebody\\x.txt"
    record = store.record(failed.key)
    changes = {"status": "failed", "reason": reason, "log": "File /home/somebody/x.py, line 3", "accuracy": {}}
    store.remove(f"records/{failed.key}.json")
    store.write_record(record.model_copy(update=changes))
    store.write_broken("0" * 20, "host somebody-laptop is away")
    code, _, err = tailboard("export", store, "-o", "b.zip")
    assert (code, err) == (2, ""), "written, with a failed cell"
    everything = b"".join(contents(Path("b.zip")).values()).lower()
    assert b"no such layer in" in everything and b"net.py" in everything
    assert b"somebody" not in everything and b"/home/" not in everything and b"secret.db" not in everything
    code, out, _ = tailboard("verify", "b.zip")
    assert code == 2 and "every number holds (times and losses are claims of whoever ran it): " in out


def test_what_does_not_hold_is_not_exported(tmp_path, tailboard):
    """Predictions that are gone, or another trial's; and a file that a run is filling."""
    spec = parse(RAW | {"methods": "ERM", "name": "q"})
    store = trained(tmp_path / "store", spec)
    first, second = (trial.key for trial in plan(spec))
    whole = store.read(f"arrays/{first}.npz")
    store.write(f"arrays/{first}.npz", store.read(f"arrays/{second}.npz"))
    code, out, err = tailboard("export", store, "-o", "b.zip")
    assert (code, out) == (3, "") and f"records/{first}.json: files.arrays/{first}.npz: claimed" in err
    store.remove(f"arrays/{first}.npz")
    code, _, err = tailboard("export", store, "-o", "b.zip")
    assert code == 3 and f"arrays/{first}.npz: predictions: " in err
    store.write(f"arrays/{first}.npz", whole)
    store.write(f"records/{second}.json", b"{}")
    code, _, err = tailboard("export", store, "-o", "b.zip")
    assert code == 1 and "is damaged" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere", "-o", "b.zip"], "no plan was run into it"),
        (["nowhere", "-o", "b.tar"], "must end in .zip"),
        (["nowhere"], "Missing option"),
    ],
)
def test_a_wrong_word_is_told(tailboard, words, message):
    code, out, err = tailboard("export", *words)
    assert (code, out) == (1, "") and message in err


def test_nothing_is_written_into_a_bundle(bundle):
    place = Bundle(bundle)
    before = bundle.read_bytes()
    for action in (
        lambda: place.write("plans/x.json", b""), lambda: place.remove("plans/t.json"),
        lambda: place.move("plans/t.json", "plans/x.json"), lambda: place.write_broken("x", "y"),
        lambda: place.path("plans/t.json"),
    ):  # fmt: skip
        with pytest.raises(StoreError):
            action()
    assert bundle.read_bytes() == before


# Searches


def tuned_attack(change: Callable[[Forger], None]) -> Callable[[Path, Path], list[str]]:
    def forged(bundle: Path, path: Path) -> list[str]:
        forger = Forger(bundle)
        change(forger)
        forger.seal()
        return list(map(str, verify(Bundle(forger.write(path)))))

    return forged


def test_a_tuned_bundle_holds_and_reports_as_its_store_does(tuned_bundle, tailboard):
    code, out, _ = tailboard("verify", tuned_bundle)
    assert code == 0 and "every number holds" in out
    reports = [tailboard("report", place, "--format", form)[:2] for form in ("md", "csv")
               for place in (tuned_bundle, tuned_bundle.parent / "store")]  # fmt: skip
    assert reports[0] == reports[1] and reports[2] == reports[3]
    assert "Values used" in reports[0][1] and "Importance" in reports[0][1]
    assert not [name for name in contents(tuned_bundle) if name.endswith(".db")]


def test_a_search_that_would_have_chosen_otherwise_is_found(tuned_bundle, tmp_path):
    """Values that were not the best are claimed to be; a better one is hidden as failed or never tried."""

    def study(raw: dict[str, Any]) -> list[dict[str, Any]]:
        return next(iter(raw.values()))["configurations"]

    def raised(f: Forger) -> None:
        f.edit("studies/t.json", lambda raw: [c.update(value=99.0) for c in study(raw) if c["number"] == 0])

    def hidden(f: Forger) -> None:
        f.edit("studies/t.json", lambda raw: [c.update(state="failed", value=None) for c in study(raw)])

    def cut(f: Forger) -> None:
        f.edit("studies/t.json", lambda raw: study(raw).pop())

    def another(f: Forger) -> None:
        f.edit("studies/t.json", lambda raw: [c["values"].update({"loss.gamma": 2.5}) for c in study(raw)])

    def outside(f: Forger) -> None:
        f.edit("studies/t.json", lambda raw: [c["values"].update({"loss.gamma": -7}) for c in study(raw)])

    def swapped(f: Forger) -> None:
        f.edit("studies/t.json", lambda raw: study(raw).reverse())

    for change, words in {
        raised: r"studies/t\.json: Focal Loss.*configuration 0: claimed \w+ at 99\.0, found",
        hidden: r"studies/t\.json: Focal Loss.*configuration 0: claimed failed, found (complete|pruned) at",
        cut: r"manifest\.json: plans\.t\[\d\]: claimed|leaderboard\.csv",
        another: r"studies/t\.json: .*: claimed .*, found no records of it",
        outside: r"plans: plan: claimed one that can be read, found .*studies/t\.json is damaged",
        swapped: r"configuration 3 stands where 0 is expected",
    }.items():
        found = tuned_attack(change)(tuned_bundle, tmp_path / "x.zip")
        assert any(re.search(words, each) for each in found), (change.__name__, found)


def test_a_rung_that_is_better_than_its_predictions_is_found(tuned_bundle, tmp_path):
    """A search goes by the rung of a trial that it stopped: it must be what the last predictions come to."""

    def last(f: Forger) -> str:
        rungs = sorted(name for name in f.files if name.startswith("rungs/"))
        return next(n for n in rungs if json.loads(f.files[f"records/{n[6:26]}.json"])["epochs"] == int(n[27:31]))

    def better(f: Forger) -> None:
        f.edit(last(f), lambda raw: raw.update(accuracy={"last_ema": [99.0] * 10, "last": [99.0] * 10}))

    def later(f: Forger) -> None:
        """What a trial came to is said to be what it had come to before."""
        f.edit(last(f), lambda raw: raw.update(epochs=raw["epochs"] + 1))

    found = tuned_attack(better)(tuned_bundle, tmp_path / "x.zip")
    assert any(re.search(r"rungs/\S+: accuracy\.last_ema\[0\]: claimed 99\.0, found", each) for each in found), found
    found = tuned_attack(later)(tuned_bundle, tmp_path / "x.zip")
    assert any(re.search(r"rungs/\S+: epochs: claimed \d{4}, found pruned after \d", each) for each in found), found


def test_a_rung_of_another_trial_is_found(tuned_bundle, tmp_path):
    def moved(f: Forger) -> None:
        one, two = sorted(name for name in f.files if name.startswith("rungs/"))[:2]
        f.files[one] = f.files[two]

    found = tuned_attack(moved)(tuned_bundle, tmp_path / "x.zip")
    assert any(re.search(r"rungs/\S+: key: claimed", each) for each in found), found


# Several groups, one leaderboard


@pytest.fixture(scope="module")
def groups(tmp_path_factory, quick) -> dict[str, Path]:
    """ERM of one group, Reweighting of another, both of a third; and ERM with more epochs."""
    folder, found = tmp_path_factory.mktemp("groups"), {}
    base = RAW | {"seeds": 2}
    for name, methods, epochs in (
        ("erm", ["ERM"], 1), ("rw", ["Reweighting"], 1), ("both", ["ERM", "Reweighting"], 1), ("longer", ["ERM"], 2)
    ):  # fmt: skip
        spec = parse(base | {"name": name, "methods": methods, "training": {"epochs": epochs, "batch_size": 32}})
        made = Store(folder / name)
        for trial in plan(spec) if name == "both" else ():
            other = Store(folder / ("erm" if trial.method.name == "ERM" else "rw"))
            made.write(f"arrays/{trial.key}.npz", other.read(f"arrays/{trial.key}.npz"))
            made.write_record(other.record(trial.key))
        made = made if name == "both" else trained(folder / name, spec)
        made.write_plan(spec)
        found[name] = folder / f"{name}.zip"
        assert export(made, found[name]) == []
    return found


def test_bundles_of_several_groups_are_one_leaderboard(groups, tailboard):
    _, whole, _ = tailboard("report", groups["both"], "--format", "csv")
    for places in ([groups["erm"], groups["rw"]], [groups["erm"], groups["rw"].with_suffix("")],
                   [groups["both"], groups["erm"], groups["rw"]]):  # fmt: skip
        code, merged, err = tailboard("report", *places, "--format", "csv")
        assert (code, merged) == (0, whole), err
    _, out, _ = tailboard("report", groups["erm"], groups["rw"])
    assert out.count("###") == 1 and "| ERM " in out and "| Reweighting " in out


def test_other_protocols_stand_in_tables_of_their_own(groups, tailboard):
    code, out, _ = tailboard("report", groups["rw"], groups["longer"])
    assert code == 0
    one, two = out.split("### ")[1:]
    assert "1 epochs" in one and "| Reweighting" in one and "| ERM" not in one
    assert "2 epochs" in two and "| ERM" in two and "| Reweighting" not in two


def rewritten(path: Path, goal: Path, change: Callable[[Record, Arrays], tuple[Record, Arrays]], **shots: int) -> Path:
    """What an honest group with other images, other rounding or other shots would have sent."""
    store = Store(goal.with_suffix(""))
    spec = Store(path.with_suffix("")).plans()[0].model_copy(update={"name": "mine"})
    store.write_plan(spec.model_copy(update={"shots": spec.shots.model_copy(update=shots)}))
    for trial in plan(spec):
        old = Store(path.with_suffix(""))
        arrays = old.arrays(trial.key)
        record, arrays = change(old.record(trial.key), arrays)
        data = store.write_arrays(trial.key, arrays)
        accuracy = {n: per_class_accuracy(arrays[n], arrays["labels"]) for n in ("last_ema", "last")}
        files = {f"arrays/{trial.key}.npz": hashlib.sha256(data).hexdigest()}
        store.write_record(record.model_copy(update={"files": files, "accuracy": accuracy}))
        store.mark_tracked(trial.key, {})
    assert export(store, goal) == []
    return goal


def test_other_boundaries_of_few_and_many_are_refused(groups, tmp_path, tailboard):
    other = rewritten(groups["rw"], tmp_path / "o.zip", lambda record, arrays: (record, arrays), few=5, many=30)
    code, out, err = tailboard("report", groups["erm"], other)
    assert (code, out) == (1, "")
    assert "below 20 and above 100" in err and "below 5 and above 30" in err and "--few and --many" in err
    assert tailboard("report", groups["erm"], other, "--few", 10, "--many", 30)[0] == 0
    assert tailboard("report", groups["erm"], other, "--tercile")[0] == 0


def test_other_images_under_the_same_words_are_refused(groups, tmp_path, tailboard):
    def recoded(record, arrays):
        data = record.data.model_copy(update={"fingerprint": str(record.trial.seed) * 64, "verified": False})
        return record.model_copy(update={"data": data}), arrays

    other = rewritten(groups["rw"], tmp_path / "o.zip", recoded)
    code, out, err = tailboard("report", groups["erm"], other)
    assert (code, out) == (1, "") and re.search(r"trained fashion-mnist-mini, seed \d, on other images", err)


def test_the_same_trial_with_other_numbers_is_told(groups, tmp_path, tailboard):
    def rounded(record, arrays):
        at = int(np.flatnonzero(arrays["last_ema"].argmax(1) != arrays["labels"])[0])
        logits = arrays["last_ema"].copy()
        logits[at] = -1
        logits[at, arrays["labels"][at]] = 0
        return record, arrays | {"last_ema": logits}

    other = rewritten(groups["erm"], tmp_path / "o.zip", rounded)
    code, out, _ = tailboard("report", groups["erm"], other)
    assert code == 0 and "Trained by several, with other numbers" in out
    assert re.search(r"count: ERM, fashion-mnist-mini, IF 10, .*seed 0; ERM, .*seed 1\.", out)
    assert "other numbers" not in tailboard("report", groups["erm"], groups["both"])[1]
    first, second = (tailboard("report", place, "--format", "csv")[1] for place in (groups["erm"], other))
    assert first != second
    assert tailboard("report", groups["erm"], other, "--format", "csv")[1] == first
    assert tailboard("report", other, groups["erm"], "--format", "csv")[1] == second


# Trained again


@pytest.mark.parametrize(("n", "shift"), [(3, 1000), (5, 60), (10, 20)])
def test_an_honest_claim_is_rarely_doubted_and_a_false_one_seen(n, shift):
    """Claim, repetition and the other seeds of n from one normal distribution, 20,000 times; and a claim that is
    ``shift`` points too high, of seeds that vary by 2."""
    rng = np.random.default_rng(n)
    drawn = rng.normal(50, 2, (20_000, n + 1))
    limits = np.array([tolerance(row, 0.0) for row in drawn[:, 2:]])
    away = np.abs(drawn[:, 0] - drawn[:, 1])
    assert np.mean(away > limits) == pytest.approx(ALPHA, abs=0.0025)  # 3.5 standard errors of 20,000
    several = [tolerance(row, 0.0, comparisons=5) for row in drawn[:2000, 2:]]
    assert (np.array(several) > limits[:2000]).all()
    assert np.mean(np.abs(drawn[:, 0] + shift - drawn[:, 1]) > limits) > 0.9


def test_the_tolerance_is_never_below_that_of_the_images_and_never_made_up():
    assert np.isnan(tolerance([], 1.0)) and np.isnan(tolerance([50.0], 1.0))
    assert tolerance([50.0, 50.0, 50.0], 0.5) > 0.5
    rng = np.random.default_rng(0)
    right = rng.binomial([300] * 10, 0.6, (5000, 10)) / 3  # percent
    assert image_error([60.0] * 10, [300] * 10) == pytest.approx(right.mean(axis=1).std(), rel=0.05)
    assert image_error([0.0, 100.0], [100, 100]) > 0


@pytest.mark.slow
def test_trials_trained_again_are_compared(tuned_bundle, tmp_path, tailboard):
    """M2m starts from ERM's trial, which is trained again first; winners keep the values that were found."""
    raw = RAW | {"name": "m", "methods": ["M2m", "ERM"], "seeds": 1, "training": {"epochs": 2, "batch_size": 32}}
    made = trained(tmp_path / "m", parse(raw))
    assert export(made, tmp_path / "m.zip") == []
    code, out, err = tailboard("verify", "m.zip", "--rerun", 3, "--seed", 0)
    assert code == 0 and "drawn with --seed 0: " in err and "training 2 of 2: M2m" in err
    same = [line for line in out.splitlines() if line.endswith("the same kind of machine: the same bits")]
    assert len(same) == 2 and same[0].startswith("same: ERM,") and same[1].startswith("same: M2m,")
    code, out, err = tailboard("verify", tuned_bundle, "--rerun", 2, "--json")
    found = json.loads(out)
    assert code == 0 and [each["verdict"] for each in found["repetitions"]] == ["same", "same"]
    assert f"drawn with --seed {found['seed']}: " in err
    reported = json.loads(contents(tuned_bundle)["manifest.json"])["plans"]["t"]
    assert {each["key"] for each in found["repetitions"]} <= set(reported)


def test_predictions_that_were_made_up_whole_are_found_by_training(groups, tmp_path, tailboard):
    """Everything in it follows from its predictions; only that nobody trained them is wrong."""

    def made_up(record, arrays):
        rng = np.random.default_rng(record.trial.seed)
        logits = arrays["last_ema"][rng.permutation(len(arrays["labels"]))]
        sure = rng.random(len(logits)) < 0.9
        logits[sure] = -9
        logits[sure, arrays["labels"][sure]] = 0
        return record, arrays | {"last_ema": logits}

    forged = rewritten(groups["rw"], tmp_path / "o.zip", made_up)
    assert tailboard("verify", forged)[0] == 0
    code, out, _ = tailboard("verify", forged, "--rerun", 1, "--seed", 3)
    assert code == 3
    assert re.search(r"differs: Reweighting, .*: the same kind of machine: the same bits\n", out)
    assert re.search(r"  last_ema: others for \d{4} of 3000 images\n", out) and re.search(r"  all: claimed 9\d\.", out)
    assert "last: others" not in out


def elsewhere(record: Record, arrays: Arrays) -> tuple[Record, Arrays]:
    return record.model_copy(update={"environment": record.environment | {"instruction_set": "VSX"}}), arrays


@pytest.fixture(scope="module")
def four(tmp_path_factory, quick) -> Path:
    """Four seeds of ERM, long enough that they end near each other."""
    folder = tmp_path_factory.mktemp("four")
    training = {"preset": "ldam2019", "epochs": 4, "batch_size": 32}
    trained(folder / "f", parse(RAW | {"name": "f", "methods": "ERM", "seeds": 4, "training": training}))
    return folder / "f.zip"


def test_another_machine_is_said_and_judged_by_the_other_seeds(four, tmp_path, tailboard):
    honest = rewritten(four, tmp_path / "h.zip", elsewhere)
    code, out, _ = tailboard("verify", honest, "--rerun", 1, "--seed", 1)
    assert code == 0
    assert re.search(r"same: ERM, .*: another machine \(instruction_set VSX there, \w+ here\): ", out)
    assert re.search(r": All [\d.]+ and now [\d.]+, which may differ by [\d.]+ as the other seeds spread\n", out)

    def better(record, arrays):
        logits = np.full_like(arrays["last_ema"], -1 - record.trial.seed)  # or they would be another seed's bits
        right = np.arange(len(logits)) % 100 < 98 - record.trial.seed % 2
        logits[np.arange(len(logits)), np.where(right, arrays["labels"], (arrays["labels"] + 1) % 10)] = 0
        return elsewhere(record, arrays | {"last_ema": logits})

    forged = rewritten(four, tmp_path / "o.zip", better)
    assert tailboard("verify", forged)[0] == 0
    code, out, _ = tailboard("verify", forged, "--rerun", 1, "--seed", 1)
    assert code == 3 and re.search(r"differs: ERM, .*another machine", out)
    assert re.search(r"  All: claimed 9\d\.\d\d, now \d\d\.\d\d", out)


def failed(f: Forger, **changes: Any) -> None:
    """Its seed was not as good as the others."""
    del f.files[f.array]
    told = {"status": "failed", "reason": "ValueError: no", "accuracy": {}, "files": {}} | changes
    f.edit(f.record, lambda raw: raw.update(told))
    f.tell()


def test_a_seed_that_is_called_failed_may_be_drawn_and_differs(groups, tmp_path, tailboard):
    forger = Forger(groups["erm"], "erm")
    failed(forger)
    path = forger.write(tmp_path / "x.zip")
    code, out, _ = tailboard("verify", path)
    assert code == 2 and "every number holds" in out, "which no check can see"
    code, out, _ = tailboard("verify", path, "--rerun", 2)
    assert code == 3 and re.search(r"differs: ERM, .*seed 0 \[\w+\]: the same end\n", out)
    assert re.search(r"  status: claimed failed: ValueError: no after .*\n  status: now complete after", out)


def test_an_honest_failure_is_the_same_again(tmp_path, tailboard):
    text = PLANTED.replace("2 * cross", "1 / 0 * cross")
    spec = with_plugin(parse(RAW | {"seeds": 1}), text, ["Planted"])
    made = trained(tmp_path / "s", spec.model_copy(update={"methods": spec.methods[-1:]}))
    assert tailboard("export", made, "-o", "b.zip")[0] == 2
    code, out, _ = tailboard("verify", "b.zip", "--rerun", 1, "--trust-plugins")
    assert code == 2 and re.search(r"same: Planted, .*: the same end: failed: ZeroDivisionError: .* s of training", out)


@pytest.mark.parametrize(
    ("claim", "now", "verdict"),
    [
        ({}, {"status": "failed", "reason": "ValueError: no"}, "differs"),
        ({}, {"status": "diverged", "reason": "loss not finite"}, "differs"),
        ({}, {"status": "failed", "reason": "TimeLimit: 9 s of training were over after 1 epochs"}, "not judged"),
        ({}, {"status": "failed", "reason": "OutOfMemoryError: CUDA out of memory."}, "not judged"),
        ({"reason": "TimeLimit: no epoch ended within 9 s"}, {}, "not judged"),
        ({"reason": "OutOfMemoryError: CUDA out of memory."}, {}, "not judged"),
        ({"status": "diverged", "reason": "loss not finite"}, {}, "differs"),
        ({"status": "diverged", "environment": {"device": "cuda"}}, {}, "not judged"),
        ({"reason": "ValueError: no", "environment": {"device": "cuda"}}, {}, "differs"),
        ({"reason": "ValueError: no"}, {"status": "failed", "reason": "ValueError: 0 of 7"}, "same"),
        ({"reason": "ValueError: no"}, {"status": "failed", "reason": "KeyError: 7"}, "not judged"),
        ({}, {"status": "failed", "reason": "ModuleNotFoundError: No module named 'mine'"}, "not judged"),
        ({"reason": "ValueError: no"}, {"status": "failed", "reason": "ImportError: no"}, "not judged"),
    ],
)
def test_another_end_differs_unless_the_machine_may_have_brought_it(groups, claim, now, verdict):
    place = Bundle(groups["erm"])
    record = place.record(Forger(groups["erm"], "erm").key)
    ended = {"status": "failed", "accuracy": {}} if claim else {}
    claimed = record.model_copy(update=ended | claim)
    again = record.model_copy(update=({"accuracy": {}} if now else {}) | now)
    apart = rerun.elsewhere(claimed, record)
    found = rerun._ends(claimed, again, apart)
    place.close()
    assert found[0] == verdict and (verdict == "same" or len(found[2]) == 2)


def test_a_trial_that_is_said_to_have_hung_is_not_trained(groups, tmp_path, tailboard):
    """Nobody would stop it here."""
    forger = Forger(groups["erm"], "erm")
    failed(forger, reason="TimeLimit: no epoch ended within 9 s")
    code, out, err = tailboard("verify", forger.write(tmp_path / "x.zip"), "--rerun", 2)
    assert code == 2 and "not judged: ERM, " in out and "it would hang here too" in out
    assert err.count("training ") == 1 and "same: ERM, " in out


def test_a_trial_whose_start_ends_badly_here_is_not_judged(tmp_path, tailboard, monkeypatch):
    made = trained(tmp_path / "m", parse(RAW | {"name": "m", "methods": "M2m", "seeds": 1}))
    assert tailboard("export", made, "-o", "m.zip")[0] == 0

    def badly(trial: Trial, setting: TrialContext) -> Record:
        record = Record(key=trial.key, trial=trial, status="failed", reason="ValueError: no")
        Store(setting.store).write_record(record)
        return record

    monkeypatch.setattr("tailboard.harness.bundles.rerun.run_trial", badly)
    monkeypatch.setattr("tailboard.harness.bundles.rerun.ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    code, out, _ = tailboard("verify", "m.zip", "--rerun", 1)
    assert code == 2 and re.search(r"not judged: M2m, .*: the trial whose network it starts from did not end", out)


def test_two_seeds_say_nothing_of_another_machine(groups, tmp_path, tailboard):
    code, out, _ = tailboard("verify", rewritten(groups["erm"], tmp_path / "h.zip", elsewhere), "--rerun", 1)
    assert code == 2 and re.search(r"not judged: ERM, .*too few, or spread too far, to judge by", out)


def test_a_plugin_is_run_only_by_who_says_so(bundle, tailboard):
    code, out, err = tailboard("verify", bundle, "--rerun", 6, "--seed", 1)
    assert code == 1 and "every number holds" in out and out.count("\n") == 1, "the check is told all the same"
    assert re.search(r"plugins/\w{64}\.py \(Planted\)\. Read it .*--trust-plugins, with the same --seed\n", err)
    code, out, _ = tailboard("verify", bundle, "--rerun", 6, "--seed", 1, "--json")
    assert code == 1 and json.loads(out)["differences"] == [] and json.loads(out)["seed"] == 1


def test_only_the_plugins_of_what_is_drawn_are_asked_for_and_run(bundle, tailboard, monkeypatch):
    """Where ERM alone is drawn, nobody need trust Planted."""
    loaded: list[str] = []
    monkeypatch.setattr(
        "tailboard.harness.registry.methods.load_plugin", lambda text: loaded.append(text) or load_plugin(text)
    )
    monkeypatch.setattr("tailboard.harness.bundles.rerun.ProcessPoolExecutor", lambda *_: ThreadPoolExecutor(1))
    place = Bundle(bundle)
    seed = next(seed for seed in range(99) if sample_trials(place, 1, seed)[0].trial.method.name == "ERM")
    code, out, err = tailboard("verify", bundle, "--rerun", 1, "--seed", seed)
    assert code == 0 and "same: ERM, " in out and "the bundle's own code" not in err and not loaded


def test_verify_and_report_run_no_code_of_a_bundle(tmp_path, tailboard):
    """The plugin of a bundle leaves a trace when it is run: there is none until it is trusted."""
    trace = tmp_path / "trace"
    text = f"open({str(trace)!r}, 'a').close()\n{PLANTED}"
    spec = with_plugin(parse(RAW | {"seeds": 1}), text, ["Planted"])
    made = trained(tmp_path / "s", spec.model_copy(update={"methods": spec.methods[-1:]}))
    assert trace.exists()
    trace.unlink()
    load_plugin.cache_clear()
    assert tailboard("export", made, "-o", "b.zip")[0] == 0
    assert tailboard("verify", "b.zip")[0] == 0 and tailboard("report", "b.zip")[0] == 0
    assert tailboard("verify", "b.zip", "--rerun", 1)[0] == 1 and not trace.exists()
    code, out, err = tailboard("verify", "b.zip", "--rerun", 1, "--trust-plugins")
    assert code == 0 and trace.exists() and out.count("same: Planted, ") == 1
    assert re.search(r"running the bundle's own code: plugins/\w{64}\.py \(Planted\)", err)


def test_a_bundle_of_nothing_has_nothing_to_train_again(tmp_path, tailboard):
    made = Store(tmp_path / "s")
    made.write_plan(parse(RAW))
    assert tailboard("export", made, "-o", "b.zip")[0] == 2
    code, out, err = tailboard("verify", "b.zip", "--rerun", 3, "--seed", 1)
    assert code == 2 and "every number holds" in out and "drawn with --seed 1: nothing, since no trial" in err


def test_what_does_not_hold_is_not_trained_again(bundle, tmp_path, tailboard):
    forger = Forger(bundle)
    number_sealed(forger)
    code, _, err = tailboard("verify", forger.write(tmp_path / "x.zip"), "--rerun", 1, "--trust-plugins")
    assert code == 3 and "nothing is trained again" in err and "training 1" not in err
