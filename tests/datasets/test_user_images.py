"""A user's own images: read alike from folders, a CSV and an .npz; keyed by their contents; refused in one line."""

import csv
import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tailboard import UserError
from tailboard.datasets.array_cache import open_cached
from tailboard.datasets.catalog import DataError
from tailboard.datasets.readers import tree
from tailboard.datasets.user_images import pictures
from tailboard.datasets.user_images.dataset import dataset, resolve
from tailboard.datasets.user_images.source import source_of
from tailboard.harness.registry.datasets import long_tail
from tailboard.harness.spec.labels import setting_label
from tailboard.harness.spec.parser import parse, parse_data
from tailboard.harness.spec.schema import Spec, plan
from tailboard.harness.training.scoring_process import ScoringProcess

SIZES = {"newt": 4, "cat": 12, "dog": 7}


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(seed: int, size: tuple[int, int] = (10, 9)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8))


def photos(top: Path, sizes: dict[str, int] = SIZES, form: str = "png") -> Path:
    for number, (name, count) in enumerate(sizes.items()):
        (top / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            picture(1000 * number + index).save(top / name / f"{index:03d}.{form}")
    return top


def table(file: Path, rows: list[dict[str, str]]) -> Path:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def lines(top: Path) -> list[dict[str, str]]:
    files = sorted(top.glob("*/*"))
    return [{"image": str(file.relative_to(top.parent)), "label": file.parent.name} for file in files]


def facts(name: str, **words):
    return resolve(source_of({"name": name, **words}, Path("/")))[0]


def pool(name: str, **words):
    source = source_of({"name": name, **words}, Path("/"))
    found, _ = resolve(source)
    return open_cached(dataset(source.name, found), None, True).pool


def key(name: str, folder: Path) -> str:
    spec = {"name": "x", "data": [{"name": name}], "methods": ["ERM"], "seeds": 1}
    return plan(parse(spec, folder))[0].key


def test_the_same_images_are_the_same_data_however_they_are_named(tmp_path):
    top = photos(tmp_path / "photos")
    table(tmp_path / "labels.csv", lines(top))
    of_folder, of_csv = facts(f"folder:{top}"), facts(f"csv:{tmp_path}/labels.csv")
    assert of_folder == of_csv
    assert of_folder.classes == ("cat", "dog", "newt")  # by size, as the tail runs
    assert (of_folder.available, of_folder.tested) == ((10, 6, 3), (2, 1, 1))
    assert of_folder.shape == (3, 9, 10)
    before = key(f"folder:{top}", tmp_path)
    assert key("csv:labels.csv", tmp_path) == before
    top.rename(tmp_path / "elsewhere")
    assert key("folder:elsewhere", tmp_path) == before
    picture(77).save(tmp_path / "elsewhere/cat/000.png")
    assert key("folder:elsewhere", tmp_path) != before


@pytest.mark.parametrize("names", ["images labels", "x y"])
def test_arrays_are_read_as_files_are(tmp_path, names):
    top = photos(tmp_path / "photos")
    files = sorted(top.glob("*/*"))
    x = np.stack([np.asarray(Image.open(file)) for file in files])
    y = np.array([file.parent.name for file in files])
    np.savez(tmp_path / "a.npz", **dict(zip(names.split(), (x, y), strict=True)))
    of_array, of_folder = (pool(name) for name in (f"npz:{tmp_path}/a.npz", f"folder:{top}"))
    assert np.array_equal(of_array.train.x, of_folder.train.x)
    assert np.array_equal(of_array.test.x, of_folder.test.x)


def test_a_folder_with_a_test_set_has_the_pixels_that_a_known_data_set_has(tmp_path):
    """So that a method's numbers are the same through either, where order, mean and deviation are."""
    for part, count in (("train", 3), ("test", 2)):
        for number, name in enumerate(("ant", "bee")):
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for index in range(count):
                picture(100 * number + index + (part == "test") * 50, (32, 32)).save(
                    tmp_path / "set" / part / name / f"{index}.jpg", quality=75
                )
    known = tree.read_folder(tmp_path / "set", False, ("ant", "bee"))
    own = pool(f"folder:{tmp_path}/set")
    for part in ("train", "test"):
        assert np.array_equal(getattr(own, part).x, getattr(known, part).x)
        assert np.array_equal(getattr(own, part).y, getattr(known, part).y)


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path):
    found = pool(f"folder:{photos(tmp_path / 'photos')}")
    x = found.train.x.astype(float) / 255
    told = facts(f"folder:{tmp_path}/photos")
    assert told.mean == pytest.approx(x.mean(axis=(0, 2, 3)), abs=1e-4)
    assert told.std == pytest.approx(x.std(axis=(0, 2, 3)), abs=1e-4)


def test_images_are_turned_laid_on_white_and_brought_to_one_size(tmp_path):
    turned = Image.new("RGB", (4, 2), "red")
    turned.putpixel((0, 0), (0, 0, 255))
    exif = Image.Exif()
    exif[pictures.ORIENTATION] = 6  # to be turned a quarter to the right
    stream = io.BytesIO()
    turned.save(stream, "PNG", exif=exif)
    seen = pictures.pixels(stream.getvalue(), "x", (3, 4, 2))
    assert seen[:, 0, 1].tolist() == [0, 0, 255]
    stream = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(stream, "PNG")
    assert (pictures.pixels(stream.getvalue(), "x", (3, 8, 8)) == 255).all()
    top = photos(tmp_path / "photos")
    picture(5, (40, 70)).convert("L").save(top / "cat/000.png")
    assert facts(f"folder:{top}", size=16).shape == (3, 16, 16)
    assert facts(f"folder:{top}").shape == (3, 32, 32)
    assert any("2 sizes" in note for note in resolve(source_of({"name": f"folder:{top}"}, tmp_path))[1].notes)


def test_grey_images_keep_one_channel(tmp_path):
    for file in photos(tmp_path / "photos").glob("*/*"):
        Image.open(file).convert("L").save(file)
    assert facts(f"folder:{tmp_path}/photos").shape == (1, 9, 10)


def test_a_test_set_is_carved_with_whole_groups_and_copies_on_one_side(tmp_path):
    top = photos(tmp_path / "photos", {"cat": 30, "dog": 20})
    rows = lines(top)
    for index, row in enumerate(rows):
        row["patient"] = f"p{index % 12}"
    _, found = resolve(source_of({"name": f"csv:{table(tmp_path / 'l.csv', rows)}"}, tmp_path))
    sides = [{found.listing.items[index].group for index in part} for part in (found.train, found.test)]
    assert sides[1] and not sides[0] & sides[1]
    for index in range(10, 30):
        picture(4).save(top / f"cat/{index:03d}.png")
    _, found = resolve(source_of({"name": f"folder:{top}"}, tmp_path))
    sides = [{found.facts[index].digest for index in part} for part in (found.train, found.test)]
    assert not sides[0] & sides[1]


def test_a_natural_tail_is_called_by_its_own_factor_and_is_cut_only_where_it_can_be(tmp_path):
    photos(tmp_path / "photos", {"cat": 50, "dog": 25, "newt": 5})
    natural = parse_data({"name": "folder:photos"}, tmp_path)
    assert setting_label(natural) == "natural, IF 10, 10x9"
    assert long_tail(natural) == (40, 20, 4)
    said = parse_data({"name": "folder:photos", "profile": "natural"}, tmp_path)
    assert natural.canonical == said.canonical and "imbalance_factor" not in said.canonical
    assert long_tail(parse_data({"name": "folder:photos", "imbalance_factor": 20}, tmp_path)) == (40, 8, 2)
    with pytest.raises(DataError, match="class 'dog' has 20 training images, and a tail of factor 2 from 40 asks"):
        long_tail(parse_data({"name": "folder:photos", "imbalance_factor": 2}, tmp_path))
    with pytest.raises(DataError, match="class 'newt' has 4 images, of which 4 for validation leave none"):
        long_tail(natural, 4)
    stored = Spec.model_validate_json(
        parse({"name": "x", "data": ["folder:photos"], "methods": ["ERM"]}, tmp_path).model_dump_json()
    )
    assert stored.data[0] == natural and str(tmp_path) not in stored.model_dump_json()


def test_images_that_changed_after_the_plan_are_not_trained_on(tmp_path):
    data = parse_data({"name": f"folder:{photos(tmp_path / 'photos')}"})
    scoring = ScoringProcess()
    try:
        scoring.prepare(data, None, True)
        picture(99).save(tmp_path / "photos/cat/001.png")
        moved = ScoringProcess()  # the first has them mapped
        with pytest.raises(DataError, match="photos holds other images now: they changed after the plan was made"):
            moved.prepare(data, None, True)
        moved.close()
    finally:
        scoring.close()


def test_images_are_found_by_their_contents_below_the_root(tmp_path, monkeypatch):
    data = parse_data({"name": f"folder:{photos(tmp_path / 'photos')}"})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    source = dataset(data.name, resolve(source_of({"name": "folder:photos"}, tmp_path))[0])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a third"))
    with pytest.raises(DataError, match=r"are not at hand: they were never seen on this machine\. Name .* with --root"):
        source.load(None, True)
    (tmp_path / "photos").rename(tmp_path / "renamed")
    assert len(source.load(tmp_path, True).train) == 19


def remove(place: Path) -> None:
    for file in place.glob("*"):
        file.unlink()


def wide(top: Path) -> None:
    for number in range(1000):
        (top / f"c{number}").mkdir()
        picture(number).save(top / f"c{number}/0.png")


def sixteen(top: Path) -> None:
    Image.fromarray(np.arange(90, dtype=np.uint16).reshape(9, 10) * 700).save(top / "cat/000.png")


def bomb(top: Path) -> None:
    """A PNG whose header claims 100,000 x 100,000 pixels."""
    data = bytearray((top / "cat/000.png").read_bytes())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    (top / "cat/000.png").write_bytes(data)


def cut(top: Path) -> None:
    for index in (1, 5):
        file = top / f"cat/{index:03d}.png"
        file.write_bytes(file.read_bytes()[:-60])


def parts(top: Path) -> None:
    for part in ("train", "test"):
        photos(top / part, {"cat": 3, "dog": 3})


def without_train(top: Path) -> None:
    parts(top)
    (top / "train").rename(top / "Training Set")
    for name in SIZES:
        remove(top / name)
        (top / name).rmdir()


def linked_part(top: Path) -> None:
    parts(top)
    (top / "train").rename(top.parent / "elsewhere")
    (top / "train").symlink_to(top.parent / "elsewhere")


def only_tested(top: Path) -> None:
    parts(top)
    photos(top / "test", {"newt": 1})


WRONG = {
    "an empty class": (lambda top: remove(top / "dog"), "class 'dog' has no images in dog"),
    "one class": (lambda top: [remove(top / n) or (top / n).rmdir() for n in ("dog", "newt")], "there is one class"),
    "no class": (lambda top: [remove(top / n) or (top / n).rmdir() for n in SIZES], "holds no folders: a folder for"),
    "a class only in test": (only_tested, "class 'newt' has test images and no training images"),
    "a class of one image": (
        lambda top: photos(top, {"emu": 1}),
        "class 'emu' has a single image: at least two are needed",
    ),
    "copies of one image": (
        lambda top: [picture(4).save(top / f"newt/{i:03d}.png") for i in range(4)],
        "class 'newt' has 4 copies of a single image",
    ),
    "16 bits": (sixteen, "cat/000.png cannot be used: its mode is I;16, of more than 8 bits a channel"),
    "a bomb": (bomb, "cat/000.png cannot be used: it has more than 67,108,864 pixels"),
    "cut short": (cut, r"cat/001.png cannot be used: it is damaged.*cat/005.png.*; 2 of \d+ images in all"),
    "no image": (lambda top: (top / "cat/000.png").write_bytes(b"text"), "cat/000.png cannot be used: it is no image"),
    "a link out": (
        lambda top: (top / "cat/z.png").symlink_to("/etc/hostname"),
        "cat/z.png is a link that leads out of",
    ),
    "a linked part": (linked_part, "photos/train is a link that leads out of .*photos: put the folder itself there"),
    "parts without train": (without_train, "photos has test, and no folder train: rename the one with the training"),
    "classes that differ in case": (lambda top: photos(top, {"Cat": 3}), "'Cat' and 'cat' differ in case only"),
    "classes that differ in form": (
        lambda top: photos(top, {"gr\u00fcn": 3, "gru\u0308n": 3}),
        "differ in Unicode form only: write them alike",
    ),
    "a linked folder": (lambda top: (top / "emu").symlink_to(top / "cat"), "emu is a link to a folder"),
    "one colour": (
        lambda top: [Image.new("RGB", (9, 9 + i)).save(f) for i, f in enumerate(top.glob("*/*"))],
        "all training images have one and the same colour",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_folder_is_refused_in_one_line(tmp_path, what):
    spoil, message = WRONG[what]
    spoil(photos(tmp_path / "photos"))
    with pytest.raises(UserError, match=message) as error:
        facts(f"folder:{tmp_path}/photos")
    assert "\n" not in str(error.value)


def test_a_letter_and_its_capital_are_two_classes(tmp_path):
    words = {"Masse": 3, "Ma\u00dfe": 3, "\u0645\u06cc\u200c\u062e": 3}
    assert set(facts(f"folder:{photos(tmp_path / 'words', words)}").classes) == words.keys()
    assert {"a", "A"} == set(facts(f"folder:{photos(tmp_path / 'photos', {'a': 3, 'A': 3})}").classes)


@pytest.mark.slow
def test_a_thousand_classes_are_read(tmp_path):
    (tmp_path / "photos").mkdir()
    wide(tmp_path / "photos")
    with pytest.raises(DataError, match="class 'c0' has a single image"):
        facts(f"folder:{tmp_path}/photos")
    for number in range(1000):
        picture(5000 + number).save(tmp_path / f"photos/c{number}/1.png")
    assert len(facts(f"folder:{tmp_path}/photos").classes) == 1000


def test_a_folder_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    top, scandir = photos(tmp_path / "photos"), os.scandir

    def refusing(path):
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match="photos/dog cannot be read: Permission denied"):
        facts(f"folder:{top}")


ROWS = {
    "a missing image": ({0: {"image": "photos/no.png"}}, "l.csv, line 2: there is no image photos/no.png in"),
    "other separators": ({0: {"image": "photos\\no.png"}}, "in .*; folders are separated by /"),
    "a duplicate": ({1: {"image": "photos/cat/000.png"}}, "l.csv, line 3: photos/cat/000.png stands on line 2 already"),
    "an empty label": ({2: {"label": " "}}, "l.csv, line 4: the column 'label' is empty"),
    "an unknown split": ({i: {"split": "tset"} for i in range(23)}, "l.csv, line 2: unknown split 'tset'"),
    "a group across splits": (
        {i: {"split": "test" if i % 2 else "train", "group": "g1"} for i in range(23)},
        "group 'g1' has training and test images",
    ),
    "a class in one group": (
        {i: {"group": "g1" if i < 12 else f"h{i}"} for i in range(23)},
        r"all images of class 'cat' are of one group \('g1'\)",
    ),
    "no training images": ({i: {"split": "test"} for i in range(23)}, "there are images for test, but none for train"),
}


@pytest.mark.parametrize("what", ROWS)
def test_a_wrong_csv_is_refused_with_its_line(tmp_path, what):
    changes, message = ROWS[what]
    rows = lines(photos(tmp_path / "photos"))
    for index, change in changes.items():
        rows[index] |= change
    with pytest.raises(DataError, match=message):
        facts(f"csv:{table(tmp_path / 'l.csv', rows)}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,label\ncat/000.png,cat,dog\n", "l.csv, line 2: 3 values, and there are 2 columns"),
        ("image,label\ncat/000.png\n", "l.csv, line 2: 1 value, and there are 2 columns"),
        ("image,label,label\ncat/000.png,cat,dog\n", "two columns are called 'label'"),
        ('image,label\n"cat/000.png,cat\ncat/001.png,cat\n', "l.csv, line 3: unexpected end of data"),
        ("image,label\ncat/000.png,c\u2028at\n", "the class 'c.u2028at' has a sign that is not printed, U.2028"),
        (f"image,label\ncat/000.png,{'1' * 5000}\n", "the class '1111.*'... has more than 200 signs"),
        ("image,label\ncat/000.png,cat\n../photos/cat/000.png,dog\n", "line 3: .* stands on line 2 already"),
    ],
)
def test_a_csv_of_images_is_read_as_strictly_as_one_of_rows(tmp_path, text, message):
    (photos(tmp_path / "photos", {"cat": 2}) / "l.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        facts(f"csv:{tmp_path}/photos/l.csv")


def test_blanks_after_separators_and_a_column_without_a_name_are_left_alone(tmp_path):
    top = photos(tmp_path / "photos")
    text = "".join(f'{i}, {row["image"]}, "{row["label"]}"\n' for i, row in enumerate(lines(top)))
    (tmp_path / "l.csv").write_text(f", image, label\n{text}\n")
    assert facts(f"csv:{tmp_path}/l.csv") == facts(f"folder:{top}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"name": "folder:"}, "folder: is followed by a path"),
        ({"name": "folder:no"}, "no such folder"),
        ({"name": "csv:photos"}, "a folder, not a file"),
        ({"name": "folder:photos", "size": 5}, "data.size: a number of pixels from 8 to 1024 is expected, not 5"),
        ({"name": "folder:photos", "label": "x"}, "data.label: names a column or folder of a csv"),
        ({"name": "csv:l.csv", "label": "labels"}, "data.label: l.csv has no column 'labels'; did you mean label"),
        ({"name": "folder:photos", "path": "x"}, "unknown key 'path'.*For images of your own: folder:PATH"),
        ({"name": "folder:photos", "profile": "natural", "imbalance_factor": 50}, "natural cuts nothing"),
        ({"name": "folder:photos", "profile": "natural", "total": 9}, "natural cuts nothing"),
        ({"name": "cifar10", "profile": "natural"}, "natural is for images of your own; for cifar10, say"),
    ],
)
def test_wrong_words_are_refused(tmp_path, words, message):
    table(tmp_path / "l.csv", lines(photos(tmp_path / "photos")))
    with pytest.raises(UserError, match=message):
        parse_data(words, tmp_path)


def test_two_folders_of_one_name_are_not_one_row(tmp_path):
    photos(tmp_path / "a/photos")
    photos(tmp_path / "b/photos", {"cat": 9, "dog": 4})
    spec = {"name": "x", "data": ["folder:a/photos", "folder:b/photos"], "methods": ["ERM"]}
    with pytest.raises(UserError, match="two data sets would both be shown as 'folder:photos': rename one"):
        parse(spec, tmp_path)


def test_one_file_with_groups_and_without_is_not_one_row(tmp_path):
    rows = lines(photos(tmp_path / "photos"))
    split = [{"split": ("train", "test")[i % 2], "site": f"s{i % 4}"} for i in range(len(rows))]
    table(tmp_path / "l.csv", [row | own for row, own in zip(rows, split, strict=True)])
    data = [{"name": "csv:l.csv", "group": "site"}, {"name": "csv:l.csv"}]
    with pytest.raises(UserError, match=r"data: 'csv:l.csv' stands there with two kinds of groups"):
        parse({"name": "x", "data": data, "methods": ["ERM"]}, tmp_path)


def claimed(file: Path) -> None:
    """An array whose header claims a terabyte that is not there."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": (10**6, 1000, 1000)})
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", stream.getvalue())


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (claimed, "images.npy claims to be larger than it is"),
        (lambda file: file.write_bytes(b"no zip"), "cannot be read as an .npz file of arrays"),
        (lambda file: np.savez(file, a=np.zeros(3)), "holds a: arrays train_images and train_labels"),
        (lambda file: np.savez(file, x=np.zeros((4, 9, 9)), y=np.zeros(4, int)), "x holds float64: images are expec"),
        (lambda file: np.savez(file, x=np.zeros((4, 9, 9), np.uint8), y=np.zeros(3, int)), "for each of the 4 images"),
        (lambda file: np.savez(file, x=np.zeros(4, np.uint8), y=np.zeros(4, int)), r"has the shape \(4,\)"),
        (lambda file: np.savez(file, x=np.array([{}], object), y=np.zeros(1, int)), "cannot be read"),
    ],
)
def test_a_wrong_npz_is_refused(tmp_path, write, message):
    write(tmp_path / "a.npz")
    with pytest.raises(DataError, match=message):
        facts(f"npz:{tmp_path}/a.npz")


def test_labels_from_1_and_those_of_medmnist_are_names(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 12), ("val", 4), ("test", 6)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (count, 8, 8), np.uint8)
        arrays[f"{part}_labels"] = np.arange(count)[:, None] % 2 + 1
    np.savez(tmp_path / "m.npz", **arrays)
    told = facts(f"npz:{tmp_path}/m.npz")
    assert (told.classes, told.available, told.tested) == (("1", "2"), (8, 8), (3, 3))


def test_arrays_without_images_are_refused_and_labels_in_bytes_are_names(tmp_path):
    np.savez(tmp_path / "none.npz", images=np.zeros((0, 8, 8), np.uint8), labels=np.zeros(0, int))
    with pytest.raises(DataError, match="holds no images"):
        facts(f"npz:{tmp_path}/none.npz")
    x = np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8)
    np.savez(tmp_path / "bytes.npz", images=x, labels=np.array(["größe".encode()] * 6 + [b"b"] * 3))
    assert facts(f"npz:{tmp_path}/bytes.npz").classes == ("größe", "b")
