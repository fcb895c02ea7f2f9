"""EuroSAT, APTOS 2019 and ISIC 2020 on small copies of their layouts, which is all that can be checked of them here;
and data sets of Hugging Face's library."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import tailboard as tb
from tailboard.datasets.catalog import DataError
from tailboard.datasets.readers import eurosat, kaggle
from tailboard.datasets.readers.fang import fifth_of_each_class, training_folds
from tailboard.datasets.user_images.image_sets import IMAGE_SETS
from tailboard.datasets.user_images.locate import located
from tailboard.datasets.user_images.readers import hugging_face
from tailboard.datasets.user_images.scan import scan
from tailboard.datasets.user_images.source import SETS, Source
from tailboard.harness.cli.app import app
from tailboard.harness.errors import SpecError
from tailboard.harness.planning.image_run import ImageRequest, resolve
from tailboard.harness.registry.datasets import dataset_of
from tailboard.harness.spec.parser import parse_data


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TAILBOARD_DATA", raising=False)


def save(path: Path, seed: int, size: int = 12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)).save(path)


def write_csv(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def satellite(tmp_path):
    """EuroSAT as torchvision unpacks it, ten to nineteen images a class."""
    for label, name in enumerate(eurosat.CLASSES):
        for number in range(1, 11 + label):
            save(tmp_path / "data" / "eurosat" / "2750" / name / f"{name}_{number}.jpg", 100 * label + number)
    return tmp_path / "data"


@pytest.fixture
def retina(tmp_path):
    rows = [{"id_code": f"{number:04x}", "diagnosis": number % 5} for number in range(50)]
    write_csv(tmp_path / "aptos2019" / "train.csv", rows)
    for number, row in enumerate(rows):
        save(tmp_path / "aptos2019" / "train_images" / f"{row['id_code']}.png", number, 12 + number % 3)
    return tmp_path


def skin(folder: Path, images: int, folds: int, first: int = 0, place: str = "train") -> list[dict]:
    rows = [
        {"image_name": f"ISIC_{first + n:04}", "patient_id": f"IP_{n // 3}", "target": int(n % 4 == 0),
         "tfrecord": -1 if n % 10 == 9 else n % folds}
        for n in range(images)
    ]  # fmt: skip
    write_csv(folder / "train.csv", rows)
    for number, row in enumerate(rows):
        save(folder / place / f"{row['image_name']}.jpg", first + number)
    return rows


def test_the_names_that_a_spec_knows_are_those_of_the_sets():
    assert tuple(IMAGE_SETS) == SETS and all(name == each.name for name, each in IMAGE_SETS.items())


def test_fangs_fifths_are_those_that_numpys_own_generator_draws():
    labels = [0] * 17 + [1] * 10 + [2] * 4
    np.random.seed(414)
    expected = [np.random.choice([i for i, y in enumerate(labels) if y == c], int(0.2 * n), replace=False)
                for c, n in enumerate((17, 10, 4))]  # fmt: skip
    assert fifth_of_each_class(labels, 414) == set(np.concatenate(expected).tolist())
    counts = (1805, 370, 999, 193, 295)  # APTOS 2019's, of which they evaluate on 361, 74, 199, 38 and 59
    grades = np.repeat(range(5), counts)
    held = sorted(fifth_of_each_class(grades.tolist(), kaggle.APTOS_SEED))
    assert np.bincount(grades[held]).tolist() == [361, 74, 199, 38, 59]


def test_fangs_folds_go_on_from_one_year_to_the_next():
    generator = np.random.RandomState(23)
    assert len(training_folds([-1, *range(15)], generator)) == 12
    again = np.random.RandomState(23)
    again.choice(range(15), 12, replace=False)
    assert training_folds(range(10), generator) == set(again.choice(range(10), 8, replace=False).tolist())


@pytest.mark.parametrize(("split", "tested"), [("fang", 25), ("carved", 29), ("torchgeo", 10)])
def test_eurosat_is_read_at_any_size_with_its_splits(satellite, split, tested):
    top = satellite / "eurosat"
    names = [path.name for path in sorted((top / "2750").glob("*/*.jpg"))]
    held = [name for name in names if name.endswith("_1.jpg")]
    (top / "eurosat-test.txt").write_text("\n".join(held))
    (top / "eurosat-val.txt").write_text("")
    (top / "eurosat-train.txt").write_text("\n".join(set(names) - set(held)))
    data = parse_data({"name": "eurosat", "size": 16, "split": split}, root=satellite)
    assert data.name == "eurosat" and data.profile == "natural" and data.contents.shape == (3, 16, 16)
    assert sum(data.contents.tested) == tested and sum(data.contents.available) == 145 - tested
    assert data.contents.classes[0] == "SeaLake"  # the largest here, as a tail runs
    assert dataset_of(data).load(satellite, True).train.x.shape[1:] == (3, 16, 16)
    assert parse_data({"name": "eurosat", "imbalance_factor": 2}, root=satellite).profile == "exp"


@pytest.mark.slow
def test_a_plan_a_run_and_python_look_for_a_set_below_the_root(satellite, tmp_path):
    spec = {"name": "s", "data": {"name": "eurosat"}, "methods": ["ERM"], "seeds": 1}
    (trial,) = tb.plan(spec, root=satellite)
    file = tmp_path / "s.yaml"
    file.write_text(json.dumps(spec))
    outcome = CliRunner().invoke(app, ["plan", str(file), "--root", str(satellite), "--json"])
    assert [fact["key"] for fact in json.loads(outcome.stdout)] == [trial.key]
    asked, store = resolve(ImageRequest("eurosat"), None, lambda _: None, satellite)
    assert asked.data[0].contents == trial.data.contents and str(store).endswith("runs/eurosat")


def test_another_machine_finds_a_set_by_its_contents_whatever_the_split(satellite, tmp_path):
    contents = parse_data({"name": "eurosat", "split": "carved"}, root=satellite).contents
    (tmp_path / "cache").rename(tmp_path / "other-cache")
    found = located("eurosat", contents.sha256, contents.groups, contents.shape, satellite)
    assert found.contents == contents.sha256 and found.source.split == "carved"


def test_aptos_takes_fangs_images_and_its_own_grades(retina):
    contents = parse_data({"name": "aptos2019", "size": 16}, root=retina).contents
    assert contents.classes == ("0", "1", "2", "3", "4") and contents.tested == (2,) * 5
    held = fifth_of_each_class([number % 5 for number in range(50)], 414)
    scanned = scan(Source("aptos2019", retina / "aptos2019", size=16))
    assert {int(scanned.listing.items[index].name[:4], 16) for index in scanned.test} == held


@pytest.mark.parametrize("place", ["train", "jpeg/train"])
def test_isic_leaves_duplicates_out_and_keeps_patients_whole(tmp_path, place):
    rows = skin(tmp_path / "isic2020", 60, 5, place=place)
    scanned = scan(Source("isic2020", tmp_path / "isic2020"))
    assert len(scanned.train) + len(scanned.test) == 54 and scanned.classes == ("benign", "malignant")
    sides = [{scanned.listing.items[index].group for index in part} for part in (scanned.train, scanned.test)]
    assert not sides[0] & sides[1] and "6 duplicates were left out, by their folds" in " ".join(scanned.notes)
    bare = [{key: row[key] for key in ("image_name", "patient_id", "target")} for row in rows]
    write_csv(tmp_path / "isic2020" / "train.csv", bare)
    with pytest.raises(DataError, match="does not say which images are duplicates"):
        scan(Source("isic2020", tmp_path / "isic2020"))
    write_csv(tmp_path / "isic2020" / kaggle.DUPLICATES, [{"image_name_1": "ISIC_0001", "image_name_2": "ISIC_0002"}])
    assert len(scan(Source("isic2020", tmp_path / "isic2020")).listing.items) == 59


def test_a_csv_of_kaggle_with_an_open_quote_is_refused(tmp_path):
    (tmp_path / "train_images").mkdir()
    (tmp_path / "train.csv").write_text('id_code,diagnosis\n"a,1\nb,2\n')
    with pytest.raises(DataError, match=r"train.csv cannot be read: unexpected end of data"):
        kaggle.read_aptos(tmp_path, "carved")


def test_isic_takes_fangs_folds_of_both_years(tmp_path):
    rows = {year: skin(tmp_path / "isic2020" / year, 40, 5, first)
            for year, first in (("melanoma-2020", 0), ("melanoma-2019", 500))}  # fmt: skip
    scanned = scan(Source("isic2020", tmp_path / "isic2020", split="fang"))
    generator = np.random.RandomState(23)
    for year, of in rows.items():
        trained = set(generator.choice(range(5), 4, replace=False).tolist())
        expected = {row["image_name"] for row in of if row["tfrecord"] >= 0 and row["tfrecord"] not in trained}
        names = {Path(scanned.listing.items[index].name) for index in scanned.test}
        assert {name.stem for name in names if name.parent.name == year} == expected


def test_what_is_missing_or_wrong_is_one_clear_line(retina, satellite, tmp_path):
    with pytest.raises(DataError, match=r"(?s)isic2020.*kaggle competitions download.*CC BY-NC"):
        parse_data({"name": "isic2020"}, root=tmp_path)
    with pytest.raises(DataError, match=r"data\.split: eurosat has fang and torchgeo and carved, not 'official'"):
        parse_data({"name": "eurosat", "split": "official"}, root=satellite)
    with pytest.raises(DataError, match=r"data.label: .*eurosat has none"):
        parse_data({"name": "eurosat", "label": "x"}, root=satellite)
    with pytest.raises(SpecError, match="natural"):
        parse_data({"name": "eurosat", "profile": "natural", "head": 3}, root=satellite)
    (retina / "aptos2019" / "train_images" / "0003.png").unlink()
    with pytest.raises(DataError, match=r"0003\.png of 50 images are missing"):
        parse_data({"name": "aptos2019"}, root=retina)
    for row, words in [
        ({"id_code": "../../x", "diagnosis": 1}, r"names '\.\./\.\./x'"),
        ({"id_code": "0001", "diagnosis": 7}, "'7' where 0 to 4"),
        ({"id_code": "0001", "grade": 7}, "no column 'diagnosis'"),
    ]:
        write_csv(retina / "aptos2019" / "train.csv", [row])
        with pytest.raises(DataError, match=words):
            parse_data({"name": "aptos2019"}, root=retina)


HUGGING = """
import json, sys
from importlib.util import find_spec
from pathlib import Path
if find_spec("datasets") is None:
    sys.exit(77)
import datasets
from tailboard import UserError
from tailboard.datasets.user_images import dataset as user_images
from tailboard.harness.spec.parser import parse_data

columns = {"picture": datasets.Image(), "what": datasets.ClassLabel(names=["cat", "newt"])}
for split, count in (("train", 20), ("test", 10)):
    files = [f"raw/{split}-{number}.png" for number in range(count)]
    table = {"picture": files, "what": [number % 2 for number in range(count)]}
    columns[split] = datasets.Dataset.from_dict(table, datasets.Features(
        {name: columns[name] for name in ("picture", "what")}))
datasets.DatasetDict({split: columns[split] for split in ("train", "test")}).save_to_disk("saved")
data = parse_data({"name": "hf:saved"})
pool = user_images.dataset(data.name, user_images.ImageFacts(**data.contents.model_dump())).load(None, True)
said = []
for words in ({"name": "hf:saved", "label": "who"}, {"name": "hf:nobody/nothing"}):
    try:
        parse_data(words)
    except UserError as error:
        said.append(str(error))
print(json.dumps({"name": data.name, "contents": data.contents.model_dump(), "said": said,
                  "second": pool.train.x[1].tolist()}))
"""


@pytest.mark.slow
def test_a_data_set_of_hugging_face_is_read_without_the_network(tmp_path):
    for split, count in (("train", 20), ("test", 10)):
        for number in range(count):
            save(tmp_path / "raw" / f"{split}-{number}.png", 100 * (split == "test") + number)
    done = subprocess.run([sys.executable, "-c", HUGGING], cwd=tmp_path, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("Hugging Face's datasets is not installed")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["name"] == "hf:saved" and found["contents"]["classes"] == ["cat", "newt"]
    assert found["contents"]["available"] == [10, 10] and found["contents"]["tested"] == [5, 5]
    with Image.open(tmp_path / "raw" / "train-2.png") as image:
        assert np.array_equal(found["second"], np.asarray(image).transpose(2, 0, 1))
    assert "which column is the label? Say label: one of picture, what" in found["said"][0]
    assert "opens no network" in found["said"][1]


class Rows(dict):
    """As much of a table of Hugging Face's as a listing asks for."""

    features = {"label": None}

    def __len__(self):
        return 4

    def select_columns(self, names):
        return self


def test_images_of_hugging_face_whose_group_is_missing_are_no_group(monkeypatch):
    rows = Rows(label=[0, 1, 0, 1], who=[None, 7, float("nan"), "None"])
    monkeypatch.setattr(hugging_face, "_splits", lambda source: {"train": rows})
    monkeypatch.setattr(hugging_face, "_columns", lambda table, source: (table, "image", "label"))
    items = hugging_face.listing(Source("hf", Path("x"), group="who")).items
    assert [item.group for item in items] == ["", "7", "", "None"]


def test_our_own_folder_is_never_taken_for_the_library(tmp_path):
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("")
    code = "from tailboard.harness.spec.parser import parse_data\nparse_data({'name': 'hf:x'})"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "start it in another folder" in done.stderr and str(tmp_path) in done.stderr
