"""What a data set may not hold, and files that are not what their name says: one DataError before anything trains."""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import pickle
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tailboard.datasets.catalog import DataError, Dataset
from tailboard.datasets.contract import check
from tailboard.datasets.readers import cifar, idx, tree
from tailboard.datasets.split import Images, Pool
from tailboard.harness.spec.schema import Data
from tailboard.harness.training.scoring_process import scoring_process

IMAGES = Images(
    np.random.default_rng(0).integers(0, 256, (6, 1, 8, 8), dtype=np.uint8), np.repeat(np.arange(3), 2).astype(np.int64)
)
POOL = Pool(IMAGES, IMAGES, verified=False)
DATASET = Dataset("mine", ("a", "b", "c"), (2, 2, 2), 2, (1, 8, 8), (0.5,), (0.2,), lambda *_: POOL, "", "", "")


def with_train(**changes) -> Pool:
    return Pool(dataclasses.replace(IMAGES, **changes), IMAGES, verified=False)


@pytest.mark.parametrize(
    ("dataset", "pool", "words"),
    [
        ({}, with_train(y=IMAGES.y + 1), "train.y: labels are 0 to 2, not 1 to 3"),
        ({}, with_train(y=IMAGES.y.astype(np.uint8)), "train.y: one label an image .int64., not uint8"),
        ({}, with_train(y=IMAGES.y[:, None]), r"train.y: .* of shape \(6, 1\)"),
        ({}, with_train(y=IMAGES.y[:5]), "train: 6 images, and 5 labels"),
        ({}, with_train(y=IMAGES.y.tolist()), "train.y: .* not list"),
        ({}, with_train(x=IMAGES.x / 255), "train.x: pixels are bytes .* not float64"),
        ({}, with_train(x=IMAGES.x.transpose(0, 2, 3, 1)), r"train.x: .*\(8, 8, 1\): x.transpose\(0, 3, 1, 2\)"),
        ({}, with_train(x=IMAGES.x[:, 0]), "train.x: images of shape"),
        ({}, Pool(IMAGES, IMAGES.take(np.arange(4)), verified=False), "test.y: no test image of the class 'c'"),
        ({}, Pool(IMAGES, IMAGES.take(np.arange(0)), verified=False), "test.y: labels are 0 to 2, not none"),
        ({"available": (2, 2, 3)}, POOL, "available: 3 training images of the class 'c', but the pool has 2"),
        ({"available": (2, 2)}, POOL, "available: a number of training images for each"),
        ({"tested": (2, 2, 1)}, POOL, "tested: "),
        ({"classes": ("a", "a", "b")}, POOL, "classes: at least two different names"),
        ({"shape": (8, 8)}, POOL, "shape: "),
        ({"mean": (0.5, 0.5)}, POOL, "mean: a number for each of 1 channels"),
        ({"std": (0.0,)}, POOL, "std: a number for each of 1 channels"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_data_set_that_breaks_the_contract_names_the_field(dataset, pool, words):
    with pytest.raises(DataError, match=f"'mine' breaks the contract of data sets: {words}"):
        check(dataclasses.replace(DATASET, **dataset), pool)


def test_what_the_contract_asks_for_is_taken():
    check(DATASET, POOL)


@pytest.mark.slow
def test_it_is_checked_where_the_data_is_prepared(installed_dataset):
    installed_dataset("ones", "Pool(images(20), Images(images(20).x, images(20).y + 1), False)")
    with pytest.raises(DataError, match=r"test\.y: labels are 0 to 2"):
        scoring_process().prepare(Data(name="ones"), None, True)


def picture(form: str, mode: str = "L") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (32, 32)).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (picture("EPS"), "damaged"),
        (picture("BMP"), "damaged"),
        (picture("GIF"), "damaged"),
        (picture("PNG", "I;16"), "I;16 pixels, which do not fit 8 bits"),
        (picture("PNG")[:-4] + b"0" * (2 << 20), "more than 1,048,576 bytes"),
    ],
    ids=["eps", "bmp", "gif", "16-bit", "large"],
)
def test_an_image_is_a_small_png_or_jpeg_of_bytes(tmp_path, data, words):
    for part in tree.PARTS:
        (tmp_path / part / "a").mkdir(parents=True)
        (tmp_path / part / "a" / "1.png").write_bytes(data)
    with pytest.raises(DataError, match=words):
        tree.read_folder(tmp_path, False, ["a"])
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        for part in tree.PARTS:
            archive.add(tmp_path / part, f"x/{part}")
    with pytest.raises(DataError, match=words):
        tree.read_archive(tmp_path, False, ["a"], "x.tar.gz", "md5:0")


def test_a_bomb_is_not_unpacked(tmp_path):
    for name in idx.OFFICIAL:
        with gzip.open(tmp_path / f"{name}.gz", "wb", 1) as file:
            for _ in range(65):
                file.write(bytes(1 << 20))
    with pytest.raises(DataError, match="holds more than 67,108,864 bytes"):
        idx.read(tmp_path, False)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("key", ["labels", b"labels"])
@pytest.mark.parametrize("labels", [list, np.array])
def test_cifar_that_was_pickled_again_is_read(protocol, key, labels):
    x, y = np.random.default_rng(1).integers(0, 256, (3, 3072), dtype=np.uint8), [3, 1, 2]
    data = {"data" if key == "labels" else b"data": x, key: labels(y)}
    found = cifar._parse(pickle.dumps(data, protocol), "labels", Path("batch"))
    assert (found.x == x.reshape(-1, 3, 32, 32)).all() and found.y.tolist() == y and found.y.dtype == np.int64


@pytest.mark.parametrize("module", ["numpy.core", "numpy._core"])
def test_cifar_that_another_numpy_wrote_is_read(module):
    x = np.zeros((2, 3072), np.uint8)
    ours = pickle.dumps({"data": x, "labels": [0, 1]}, 2)
    written = b"numpy._core" if b"numpy._core" in ours else b"numpy.core"
    data = ours.replace(written + b".multiarray", module.encode() + b".multiarray")
    assert len(cifar._parse(data, "labels", Path("batch"))) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02}(X\x04\x00\x00\x00datar\xff\xff\xff\x7f0u.",
        pickle.dumps(
            {"data": np.zeros((1, 3072), np.uint8), "labels": functools.reduce(lambda x, _: [x, x], range(40), 1)}
        ),
    ],
    ids=["memo", "nested"],
)
def test_a_pickle_that_would_fill_the_memory_is_damaged(data):
    tracemalloc.start()
    with pytest.raises(DataError, match="damaged"):
        cifar._parse(data, "labels", Path("batch"))
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


@pytest.mark.parametrize("values", [np.zeros((1, 3072)), np.zeros((1, 3072), ">i4"), np.zeros((1, 3072), np.int64)])
def test_cifar_of_other_numbers_is_not_called_damaged(values):
    with pytest.raises(DataError, match="was written by other software"):
        cifar._parse(pickle.dumps({"data": values, "labels": [0]}, 4), "labels", Path("batch"))
