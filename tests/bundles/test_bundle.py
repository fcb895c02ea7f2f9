"""A bundle: what leaves a group, and the leaderboard that several make. Real trials of one epoch, real files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from forged_bundles import PLANTED, RAW, contents, rewritten, trained
from tailboard.harness.bundles.bundle import Bundle
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.columns import reading
from tailboard.harness.storage.store import Store

# What leaves a group


@pytest.mark.slow
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


@pytest.mark.slow
def test_nothing_private_is_in_a_bundle(tmp_path, tailboard, monkeypatch):
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
    monkeypatch.setattr(reading, "SHARED", 1)  # as of a store of many records, which several processes read
    assert tailboard("export", store, "-o", "many.zip")[0] == 2
    assert Path("many.zip").read_bytes() == Path("b.zip").read_bytes()


@pytest.mark.slow
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


def test_a_bundle_is_a_place_to_read_only(bundle):
    reads, writes = Bundle(bundle), {"write", "remove", "move", "path", "write_record", "write_plan", "write_broken"}
    assert reads.has("plans/t.json") and not writes & set(dir(reads))
    assert writes <= set(dir(Store))


@pytest.mark.slow
def test_bundles_of_several_groups_are_one_leaderboard(groups, tailboard):
    _, whole, _ = tailboard("report", groups["both"], "--format", "csv")
    for places in ([groups["erm"], groups["rw"]], [groups["erm"], groups["rw"].with_suffix("")],
                   [groups["both"], groups["erm"], groups["rw"]]):  # fmt: skip
        code, merged, err = tailboard("report", *places, "--format", "csv")
        assert (code, merged) == (0, whole), err
    _, out, _ = tailboard("report", groups["erm"], groups["rw"])
    assert [line for line in out.splitlines() if line.startswith("###")] == [
        "### small, 1 epochs, fashion-mnist-mini, IF 10, head 60",
        "### small, 1 epochs: cost of a training, fashion-mnist-mini, IF 10, head 60",
    ]
    assert "| ERM " in out and "| Reweighting " in out


def test_other_protocols_stand_in_tables_of_their_own(groups, tailboard):
    code, out, _ = tailboard("report", groups["rw"], groups["longer"])
    assert code == 0
    one, two = out.split("### ")[1:]
    assert "1 epochs" in one and "| Reweighting" in one and "| ERM" not in one
    assert "2 epochs" in two and "| ERM" in two and "| Reweighting" not in two


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


@pytest.mark.slow
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
