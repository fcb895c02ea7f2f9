"""Whatever is changed in a bundle is found and named."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forged_bundles import RAW, Forger, confusion, contents, number, number_sealed, rewritten, trained, tuned_attack
from tailboard.datasets.catalog import DataError
from tailboard.harness.bundles.bundle import Bundle
from tailboard.harness.bundles.export import export
from tailboard.harness.bundles.split_checks import SplitConsistency
from tailboard.harness.bundles.verify import verify
from tailboard.harness.errors import BundleError, StoreError
from tailboard.harness.metrics.scores import per_class_accuracy
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.serialization import pack_arrays
from tailboard.leaderboard.confusion import Confusion

MUTATIONS = 500 if os.environ.get("TAILBOARD_FUZZ") == "all" else 150  # of each of two kinds


def matrix(f: Forger) -> None:
    """Images are said to have been taken for other classes than they were."""
    arrays = f.arrays()
    arrays["last_ema"] = arrays["last_ema"][:, [*range(1, 10), 0]]
    f.edit(f.record, lambda raw: raw.update(confusion=confusion(arrays)))
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
    told = {"accuracy": accuracy, "test_counts": counted, "confusion": confusion(arrays)}
    f.edit(f.record, lambda raw: raw.update(told))
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


def footnote(f: Forger) -> None:
    """What a report would say of a row that did what its name says, in anybody's words."""
    f.edit(f.record, lambda raw: raw.update(reason="trained at a wrong rate"))
    f.tell()


def note(f: Forger) -> None:
    f.edit(f.record, lambda raw: raw.update(notes={"mixer.acted": 1.0}))
    f.tell()


ATTACKS = {
    footnote: [r"{record}: reason: claimed trained at a wrong rate, found nothing"],
    note: [r"{record}: notes\.mixer\.acted: claimed 1\.0, found nothing"],
    number: [r"{record}: SHA-256: claimed \w{{64}}, found", r"{record}: accuracy\.last_ema\[3\]: claimed 77\.0, found"],
    number_sealed: [r"{record}: accuracy\.last_ema\[3\]: claimed 77\.0, found \d"],
    matrix: [r"{record}: confusion: claimed \S+, found \S+"],
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
    plan_twice: [r"plans: names: claimed \['t', 'u'\], found \['t'\]"],
    plugin: [r"plugins/\w{{64}}\.py: text: claimed that of its plan, found another"],
    plugin_in_plan: [r"plans/t\.json: plugins\.\w{{64}}: claimed \w{{64}}, found \w{{64}}"],
    pickled: [r"{array}: predictions: .*holds no numbers \(pickled objects are not read\)"],
    not_a_number: [r"{record}: record: claimed one that can be read, found accuracy\.last_ema"],
    shorter: [r"{record}: test_counts: claimed"],
    of_another: [r"{record}: files: claimed arrays/0{{20}}\.npz, found"],
    stray: [r"arrays/0{{20}}\.npz: file: claimed one of a plan or a record, found of none"],
}


@pytest.mark.slow
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


@pytest.mark.parametrize("attack", [number_sealed, matrix, hidden_number, table, hash_changed, altered, counts])
def test_one_change_is_one_line_or_what_follows_from_it(bundle, tmp_path, attack):
    """Nothing that was left alone is accused: the lines name the file that was changed, or the table."""
    forger = Forger(bundle)
    attack(forger)
    place = Bundle(forger.write(tmp_path / "forged.zip"))
    found = verify(place)
    assert verify(place) == found, "what was recomputed does not stand for what is claimed"
    assert {each.file for each in found} <= {forger.record, forger.array, "report/leaderboard.csv", "manifest.json"}
    if attack in (number_sealed, matrix, hidden_number, table, hash_changed):
        assert len(found) == 1


@pytest.mark.slow
def test_honest_twins_are_left_alone(groups, tmp_path):
    """A constant predictor and a small tree are the same whatever their seed, and a method under neutral values is
    ERM."""

    def constant(record, arrays):
        return record, arrays | {name: np.zeros_like(arrays[name]) for name in ("last_ema", "last")}

    def stump(record, arrays):
        said = np.zeros_like(arrays["last"])
        said[arrays["labels"] % 2 == 0, 0] = 1
        return record, arrays | {"last_ema": said, "last": said}

    rewritten(groups["erm"], tmp_path / "c.zip", constant)
    rewritten(groups["erm"], tmp_path / "s.zip", stump)
    raw = {"name": "n", "methods": ["ERM", {"name": "Focal Loss", "values": {"loss.gamma": 0}}]}
    spec = parse(RAW | raw | {"training": RAW["training"] | {"label_smoothing": 0}})
    made = trained(tmp_path / "n", spec)
    erm, _, focal, _ = (made.arrays(trial.key)["last_ema"] for trial in plan(spec))
    assert np.array_equal(erm, focal) and export(made, tmp_path / "n.zip") == []


@pytest.mark.slow
def test_seeds_of_a_whole_data_set_share_their_images(tmp_path):
    """Nothing is left out, so that every seed trains on the same: that they do is no fault."""
    data = {"name": "fashion-mnist-mini", "imbalance_factor": 1, "head": 600}
    made = trained(
        tmp_path / "s", parse(RAW | {"methods": "ERM", "data": data, "training": {"epochs": 1, "batch_size": 512}})
    )
    assert len({made.record(key).data.fingerprint for key in made.finished()}) == 1
    assert export(made, tmp_path / "b.zip") == []


@pytest.mark.slow
@pytest.mark.fuzz
@settings(max_examples=MUTATIONS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@pytest.mark.parametrize("claimed", [10**30, 10**12, -5])
def test_a_matrix_of_any_number_of_images_unpacks_to_no_more_than_its_classes_allow(claimed):
    bomb = base64.b64encode(zlib.compress(bytes(1 << 24), 9)).decode()
    tracemalloc.start()
    with pytest.raises(ValueError, match="no packed matrix"):
        Confusion.unpacked(bomb, (claimed, 1))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


ODD = [None, True, -1, 0, 3, 1e308, 10**30, "", "x", "../x", [], [[]], {}, {"x": 1}, [1] * 50, "\x1b[2J"]


def odd_places(raw: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = raw.items() if isinstance(raw, dict) else enumerate(raw) if isinstance(raw, list) else ()
    return [path, *(place for key, value in inside for place in odd_places(value, (*path, key)))]


@pytest.mark.slow
@pytest.mark.fuzz
@settings(max_examples=MUTATIONS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_a_tuned_bundle_holds_and_reports_as_its_store_does(tuned_bundle, tailboard):
    code, out, _ = tailboard("verify", tuned_bundle)
    assert code == 0 and "every number holds" in out
    reports = [tailboard("report", place, "--format", form)[:2] for form in ("md", "csv")
               for place in (tuned_bundle, tuned_bundle.parent / "store")]  # fmt: skip
    assert reports[0] == reports[1] and reports[2] == reports[3]
    assert "Values used" in reports[0][1] and "Importance" in reports[0][1]
    assert not [name for name in contents(tuned_bundle) if name.endswith(".db")]


@pytest.mark.slow
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

    def of(number: int, **changes: Any) -> Callable[[Forger], None]:
        return lambda f: f.edit("studies/t.json", lambda raw: study(raw)[number].update(changes))

    def without_rungs(f: Forger) -> None:
        for name in [name for name in f.files if name.startswith("rungs/")]:
            del f.files[name]

    def exhausted(f: Forger) -> None:
        f.edit("studies/t.json", lambda raw: (study(raw).pop(), next(iter(raw.values())).update(exhausted=True)))

    def stopped(f: Forger) -> None:
        """One that was trained for an epoch is claimed to have come to its end."""
        (c, *_) = [c for c in study(json.loads(f.files["studies/t.json"])) if c["state"] == "complete"]
        for key in c["keys"]:
            f.edit(f"records/{key}.json", lambda raw: raw.update(status="pruned", epochs=1))
        f.edit("studies/t.json", lambda raw: study(raw)[c["number"]].update(epochs=len(c["keys"])))

    def lucky(f: Forger) -> None:
        """The rung of one that was stopped is claimed to be the best: it would have gone on."""
        (c,) = [c for c in study(json.loads(f.files["studies/t.json"])) if c["state"] == "pruned"][:1]
        for key in c["keys"]:
            name = f"rungs/{key}-{c['epochs']:04d}.json"
            f.edit(name, lambda raw: raw.update(accuracy={"last_ema": [100.0] * 10, "last": [100.0] * 10}))

    for change, words in {
        of(0, epochs=3): r"studies/t\.json: Focal Loss.*configuration 0, epochs: claimed 3, found \d",
        of(1, seconds=0.5): r"configuration 1, seconds: claimed 0\.5, found \d",
        of(2, at={}): r"configuration 2, at: claimed \{\}, found \{1: ",
        of(2, at={"1": 99.0}): r"configuration 2, at: claimed \{1: 99\.0\}, found \{1: ",
        of(3, keys=[]): r"configuration 3, keys: claimed \(\), found \('",
        of(3, reason="bad luck"): r"configuration 3, reason: claimed bad luck, found $",
        of(3, state="running", value=None): r"configuration 3, epochs: claimed \d+, found 0",
        without_rungs: r"configuration 0: claimed \w+ at .*, found no records of it",
        stopped: r"configuration \d: claimed complete at .*, found no records of it",
        lucky: r"configuration \d: claimed \w+ at .*, found ",
        exhausted: r"studies/t\.json: Focal Loss.*, exhausted: claimed True, found 3 of \d+ configurations or more",
        raised: r"studies/t\.json: Focal Loss.*configuration 0: claimed \w+ at 99\.0, found",
        hidden: r"studies/t\.json: Focal Loss.*configuration 0: claimed failed, found (complete|pruned) at",
        cut: r"manifest\.json: plans\.t\[\d\]: claimed|leaderboard\.csv",
        another: r"studies/t\.json: .*: claimed .*, found no records of it",
        outside: r"plans: plan: claimed one that can be read, found .*studies/t\.json is damaged",
        swapped: r"configuration 3 stands where 0 is expected",
    }.items():
        found = tuned_attack(change)(tuned_bundle, tmp_path / "x.zip")
        assert any(re.search(words, each) for each in found), (words, found)


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
        rungs = sorted(name for name in f.files if name.startswith("rungs/"))
        f.files[rungs[0]] = f.files[next(name for name in rungs if name[6:26] != rungs[0][6:26])]

    found = tuned_attack(moved)(tuned_bundle, tmp_path / "x.zip")
    assert any(re.search(r"rungs/\S+: key: claimed", each) for each in found), found
