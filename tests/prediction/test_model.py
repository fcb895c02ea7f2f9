"""From a store to a model in a file, and its predictions."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import tailboard as tb
from forged_bundles import searched, trained
from tailboard.harness.errors import ModelError
from tailboard.harness.prediction import model as model_module
from tailboard.harness.prediction.choice import by_key, by_method
from tailboard.harness.prediction.fit import Fit
from tailboard.harness.prediction.model_file import WORD
from tailboard.harness.prediction.onnx_export import write_onnx
from tailboard.harness.registry.datasets import split_of
from tailboard.harness.spec.parser import parse
from tailboard.harness.spec.schema import plan
from tailboard.harness.storage.record import Record
from tailboard.harness.storage.store import Store
from tailboard.harness.training.scoring_process import scoring_process
from tailboard.harness.tuning.results import search_results

METHODS = ["ERM", "LDAM-DRW", "M2m", "Resampling + Logit adjustment"]


def photos(top: Path, sizes: dict[str, int], form: str = "jpg") -> Path:
    """Noise around a grey that differs by class, so that something can be learned."""
    for number, (name, count) in enumerate(sizes.items()):
        (top / name).mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng(1000 * number + index)
            pixels = rng.integers(60 * number, 60 * number + 120, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(top / name / f"{index:03d}.{form}", quality=95)
    return top


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with every method, on 30 images for training and 8 for testing, and the images."""
    top = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(top / "cache"))
        scoring_process().close()  # one that was started before knows of another folder
        photos(top / "photos", {"cat": 24, "dog": 9, "newt": 5})
        raw = {
            "name": "photos",
            "data": "folder:photos",
            "methods": METHODS,
            "network": "small",
            "training": {"epochs": 2, "batch_size": 8, "crop_padding": 2},
            "seeds": 1,
        }
        yield top, trained(top / "store", parse(raw, top))
    scoring_process().close()


@pytest.fixture(autouse=True)
def cache_of_its_own(made, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(made[0] / "cache"))


@pytest.fixture(scope="module")
def file(made):
    """ERM's model."""
    top, store = made
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(top / "cache"))
        fit = Fit(store, by_method(store, "ERM"), Store(top / "work"), None, True, lambda _: None)
        fit.model().save(top / "erm.model")
    return top / "erm.model"


def key_of(store: Store, method: str) -> str:
    trials = [store.record(key).trial for key in store.finished()]
    return next(trial.key for trial in trials if trial.method.name == method and not trial.independent)


def stored(logits: np.ndarray) -> np.ndarray:
    """As a store keeps them."""
    return (logits - logits.max(axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS[1:])
def test_a_key_repeats_a_trial_bit_for_bit(made, tmp_path, tailboard, monkeypatch, method):
    """Also where the logits go through a head of the method's own, or are changed once it has trained."""
    (top, store), goal = made, tmp_path / "m.model"
    monkeypatch.setenv("XDG_CACHE_HOME", str(top / "cache"))
    key = key_of(store, method)
    code, out, err = tailboard("train", store, "--key", key, "-o", goal)
    assert code == 0 and "its logits of the test images are those of the store, bit for bit" in err
    assert out.startswith(f"{goal}: {method} on folder:photos, 30 images of 3 classes")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    model, (split, _) = tb.load_model(goal), split_of(store.record(key).trial, None, True)
    assert np.array_equal(stored(model.logits(np.array(split.test.x))), store.arrays(key)["last_ema"])
    about = model.provenance
    assert (about["key"], about["repeats"], about["counts"]) == (key, True, [19, 7, 4])
    assert about["calibration"]["images"] == 3 and about["calibration"]["key"] != key
    assert about["data"]["hashes"] == {"contents": f"sha256:{store.record(key).trial.data.contents.sha256}"}


def test_a_method_is_the_trial_of_its_first_seed_that_is_complete(tmp_path):
    raw = {"name": "t", "data": "fashion-mnist-mini", "methods": "ERM", "network": "small", "seeds": [5, 2]}
    spec = parse(raw)
    store, (first, second) = Store(tmp_path / "s"), plan(spec)
    store.write_plan(spec)
    ended = {"counts": (1, 1), "accuracy": {"last_ema": (50.0, 50.0)}}
    store.write_record(Record(key=second.key, trial=second, status="complete", **ended))
    assert by_method(store, "ERM").trial == second
    store.write_record(Record(key=first.key, trial=first, status="complete", **ended))
    assert by_method(store, "ERM").trial == first
    older = second.model_copy(update={"protocol": 1})
    store.write_record(Record(key=older.key, trial=older, status="complete", **ended))
    with pytest.raises(ModelError, match=r"--key: ERM, .* was trained under protocol 1, .*: run its spec again"):
        by_key(store, older.key)
    broken = Store(tmp_path / "b")
    broken.write_plan(spec)
    broken.write_record(Record(key=first.key, trial=first, status="diverged", reason="loss not finite"))
    with pytest.raises(ModelError, match=r"--method: ERM, .*, seed 5 is diverged: loss not finite"):
        by_method(broken, "ERM")


@pytest.mark.slow
def test_a_tuned_row_has_the_values_found_and_its_winning_trial_calibrates_it(tmp_path, cache_of_its_own):
    raw = {
        "name": "t",
        "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 20},
        "methods": "Focal Loss",
        "network": "small",
        "training": {"epochs": 1, "batch_size": 32},
        "seeds": 1,
        "tune": {"trials": 2, "parameters": ["gamma"], "generation": 2, "prune": False, "sampler": "random"},
    }
    spec, said = parse(raw), []
    store = searched(tmp_path / "s", spec)
    (result,) = search_results(spec, store, importance=False).values()
    chosen = by_method(store, "Focal Loss")
    assert chosen.trial == result.search.reporting_trial(result.winner, 0)
    model = Fit(store, chosen, Store(tmp_path / "w"), None, True, said.append).model()
    winner = result.search.trials(result.winner)[0]
    assert model.provenance["calibration"]["key"] == winner.key and "training 1 of 1" in said[0]
    own = Fit(store, by_key(store, winner.key), Store(tmp_path / "w"), None, True, said.append).model()
    assert own.provenance["calibration"] == model.provenance["calibration"] and own.description.repeats


@pytest.mark.slow
def test_what_is_killed_is_not_trained_again_and_the_file_is_the_same_bytes(made, file, tmp_path):
    (top, store), said = made, []
    again = Fit(store, by_method(store, "erm"), Store(top / "work"), None, True, said.append).model()
    assert not [line for line in said if line.startswith("training")]
    again.save(tmp_path / "m.model")
    assert (tmp_path / "m.model").read_bytes() == file.read_bytes()


def test_paths_images_and_arrays_are_predicted_alike(made, file, monkeypatch):
    top, model = made[0], tb.load_model(file)
    path = top / "photos/dog/003.jpg"
    image = Image.open(path)
    of_path, of_image, of_array = (model.predict(x) for x in (path, image, np.asarray(image)))
    assert of_path.logits.shape == (1, 3) and of_path.classes == model.classes == ("cat", "dog", "newt")
    assert np.array_equal(of_path.logits, of_image.logits) and np.array_equal(of_path.logits, of_array.logits)
    many = model.predict([path, str(path)])
    assert many.labels == of_path.labels * 2 and many.probabilities.sum(axis=1) == pytest.approx([1, 1])
    assert model.predict(np.stack([np.asarray(image)] * 2)).logits.shape == (2, 3)
    assert model.predict(image.resize((40, 20)).convert("L")).logits.shape == (1, 3)
    monkeypatch.setattr(model_module, "LARGEST_BATCH", 2 * 3 * 16 * 16)
    assert model.batch_size == 2 and model.predict([path] * 5).logits.shape == (5, 3)
    for wrong in (np.zeros((4, 4, 3)), np.zeros((4, 4, 7), np.uint8), []):
        with pytest.raises(ModelError):
            model.predict(wrong)


def test_predictions_are_a_csv_and_what_cannot_be_read_is_a_line(made, file, tmp_path, tailboard, monkeypatch):
    top = made[0]
    (tmp_path / "new/more").mkdir(parents=True)
    for name in ("b.jpg", "more/=a.jpg"):
        (tmp_path / "new" / name).write_bytes((top / "photos/cat/001.jpg").read_bytes())
    (tmp_path / "new/.hidden.jpg").write_bytes(b"")
    (tmp_path / "new/bad.png").write_bytes(b"no image")
    os.mkfifo(tmp_path / "new/pipe.png")
    monkeypatch.chdir(tmp_path / "new")
    code, out, err = tailboard("predict", file, "more/=a.jpg", ".", "gone.jpg", "--prior", "balanced")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["image", "label", "probability", "p_cat", "p_dog", "p_newt"]
    assert [row[0] for row in rows[1:]] == ["more/=a.jpg", "b.jpg", "more/=a.jpg"]
    expected = tb.load_model(file).predict("b.jpg", prior="balanced")
    assert rows[2][1] == expected.labels[0] and float(rows[2][2]) == pytest.approx(expected.probabilities.max())
    assert code == 2
    assert err.splitlines() == [
        "bad.png cannot be used: it is no image",
        "pipe.png is no file but a pipe or a device",
        "gone.jpg cannot be read: No such file or directory",
    ]
    assert tailboard("predict", file, "b.jpg", "-o", tmp_path / "p.csv") == (0, "", f"{tmp_path}/p.csv: 1 images\n")
    assert (tmp_path / "p.csv").read_text().startswith("image,label,probability,p_cat,p_dog,p_newt\nb.jpg,")
    (tmp_path / "empty").mkdir()
    code, _, err = tailboard("predict", file, tmp_path / "empty")
    assert code == 1 and err.startswith(f"error: there are no images in {tmp_path}/empty (")


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("balancd", "prior: balanced, train or CLASS=SHARE,... is expected, not 'balancd'; did you mean 'balanced'"),
        ("cat=1,dgo=1,newt=1", "prior: the model has no class 'dgo'; did you mean 'dog'"),
        ("cat=1", "prior: a share is missing of dog, newt"),
        ("cat=1,dog=x,newt=1", "prior: the share of 'dog' is a number, not 'x'"),
        ("cat=1,cat=2", "prior: 'cat' stands twice"),
        ("cat=0,dog=0,newt=0", "prior: shares are at least 0, and not all of them 0"),
        ("cat=1,dog=nan,newt=1", "prior: shares are at least 0, and not all of them 0"),
    ],
)
def test_a_wrong_prior_is_one_line(file, tailboard, prior, message):
    code, out, err = tailboard("predict", file, "x.jpg", "--prior", prior)
    assert (code, out) == (1, "") and message in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "M3m"], "has no row 'M3m'; did you mean 'M2m'"),
        (["--key", "0" * 20], "has no finished trial '00000000000000000000'; tailboard report"),
        ([], "train: name a method with --method, or a trial with --key"),
        (["--method", "ERM", "-o", "."], "-o: . is a folder: name the file"),
    ],
)
def test_what_the_store_has_not_is_said(made, tmp_path, tailboard, words, message):
    code, _, err = tailboard("train", made[1], "-o", tmp_path / "m", *words)
    assert code == 1 and message in err and len(err.splitlines()) == 1


def test_predictions_go_into_a_file(tmp_path, tailboard):
    code, _, err = tailboard("predict", "m.model", "a.png", "-o", tmp_path)
    assert code == 1 and err.endswith("is a folder: name the file\n")


def test_a_name_of_several_rows_is_not_guessed(tmp_path):
    raw = {
        "name": "t",
        "data": {"name": "fashion-mnist-mini", "imbalance_factor": 10, "head": 20},
        "methods": ["ERM", {"name": "Focal Loss", "values": {"loss.gamma": [1, 2]}}],
        "network": "small",
        "training": {"epochs": 1, "batch_size": 32},
        "seeds": 1,
    }
    spec = parse(raw)
    store = Store(tmp_path / "s")
    store.write_plan(spec)
    with pytest.raises(ModelError, match=r"'focal loss' is 2 rows .*Focal Loss \(loss.gamma=1\), .*--key \w{20}; "):
        by_method(store, "focal loss")
    with pytest.raises(ModelError, match=r"ERM has no finished trial in .* yet \(the same run trains it\)"):
        by_method(store, "ERM")


def test_onnx_agrees(made, file, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    model = tb.load_model(file)
    write_onnx(model, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    x = np.random.default_rng(0).integers(0, 256, (5, *model.description.shape), dtype=np.uint8)
    logits, each = session.run(None, {"images": x})
    assert np.abs(logits - model.logits(x)).max() < 1e-4
    assert np.abs(each - model.predictions(x, None).probabilities).max() < 1e-4
    assert session.get_modelmeta().custom_metadata_map["classes"] == '["cat", "dog", "newt"]'


def test_without_the_library_onnx_is_said_before_anything_trains(made, tmp_path, tailboard, monkeypatch):
    monkeypatch.setattr("tailboard.harness.prediction.onnx_export.find_spec", lambda _: None)
    code, _, err = tailboard("train", made[1], "--method", "ERM", "-o", tmp_path / "m", "--onnx", tmp_path / "m.onnx")
    assert (code, err) == (1, 'error: --onnx needs the library onnx: pip install "tailboard[onnx]"\n')


# Files that are no models


class Planted:
    def __reduce__(self):
        return os.mkdir, ("planted",)


def described(change):
    """The model with another description."""

    def write(state, text, path):
        save_file(state, path, {WORD: change(text)})

    return write


def without(name):
    return lambda state, text, path: save_file({n: t for n, t in state.items() if n != name}, path, {WORD: text})


def tensor(name, make):
    return lambda state, text, path: save_file(state | {name: make(state.get(name))}, path, {WORD: text})


def cut(state, text, path):
    save_file(state, path, {WORD: text})
    path.write_bytes(path.read_bytes()[:-100])


WRONG = {
    "text": (lambda s, t, path: path.write_text("no model"), "is no model that tailboard train wrote"),
    "nothing": (lambda s, t, path: path.write_bytes(b""), "it does not begin as one"),
    "a pickle": (lambda s, t, path: torch.save(Planted(), path), "it does not begin as one"),
    "a long header": (lambda s, t, path: path.write_bytes(b"\xff" * 7 + b"\x7f{}"), "it does not begin as one"),
    "a deep header": (lambda s, t, path: path.write_bytes((90000).to_bytes(8, "little") + b"[" * 90000), "it does not"),
    "tensors alone": (lambda s, t, path: save_file(s, path), "it does not begin as one"),
    "tensors of others": (lambda s, t, path: save_file(s, path, {"format": "pt"}), "holds tensors, and no description"),
    "cut short": (cut, "cannot be used: "),
    "a missing tensor": (without("head.bias"), "the tensor head.bias is missing"),
    "a further tensor": (tensor("x", lambda _: torch.ones(1)), "its network has no tensor x"),
    "another shape": (tensor("head.bias", lambda _: torch.ones(9)), r"head.bias is F32 \[9\], not F32 \[3\]"),
    "another type": (tensor("head.bias", lambda t: t.double()), r"head.bias is F64 \[3\], not F32 \[3\]"),
    "not a number": (tensor("head.bias", lambda t: t * torch.nan), "the tensor head.bias holds numbers that are not"),
    "no JSON": (described(lambda text: text[:-9]), "its description, as a whole: Invalid JSON"),
    "a later version": (described(lambda text: text.replace('"version":1', '"version":2')), "its description, version"),
    "another network": (described(lambda text: text.replace('"small"', '"resnet20"')), "its network has no tensor"),
    "a huge network": (described(lambda text: text.replace('"small"', '"wrn-94-9999"')), "its network has no tensor"),
    "no network": (described(lambda text: text.replace('"small"', '"smal"')), "unknown network 'smal'"),
    "a class twice": (described(lambda text: text.replace('"dog"', '"cat"')), "the same classes, each once"),
    "a head elsewhere": (described(lambda text: text.replace('"parts":[]', '"parts":["head"]')), "ERM has no head of"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_file_is_refused_in_one_line_and_runs_nothing(file, tmp_path, monkeypatch, what):
    monkeypatch.chdir(tmp_path)
    text = tb.load_model(file).description.model_dump_json()
    write, message = WRONG[what]
    write(load_file(file), text, tmp_path / "w.model")
    with pytest.raises(ModelError, match=message) as error:
        tb.load_model(tmp_path / "w.model")
    assert "\n" not in str(error.value) and not (tmp_path / "planted").exists()
    with pytest.raises(ModelError, match="is a folder"):
        tb.load_model(tmp_path)
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        tb.load_model("gone.model")


def test_the_header_is_held_against_the_file_before_a_tensor_is_read(file, tmp_path, monkeypatch):
    """A sparse file of some GiB, whose header is that of a model, costs nothing to refuse."""
    monkeypatch.setattr("tailboard.harness.prediction.model_file._whole", lambda *_: pytest.fail("it was read"))
    huge = tmp_path / "huge.model"
    huge.write_bytes(file.read_bytes())
    os.truncate(huge, 2**33)
    with pytest.raises(ModelError, match=r"cut short, or damaged: its tensors have \d+ bytes, and 8\d+ follow"):
        tb.load_model(huge)
    save_file(load_file(file), tmp_path / "w.model", {WORD: "{}"})
    with pytest.raises(ModelError, match="its description, trial"):
        tb.load_model(tmp_path / "w.model")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelError, match="no file but a pipe or a device"):
        tb.load_model(tmp_path / "pipe")
